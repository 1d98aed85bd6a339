"""Log lines: one a record, whatever the values hold."""

import json
import logging
import subprocess
import sys

import pytest

from contract.telemetry.logs import JsonFormatter, TextFormatter


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "test"})
    vars(made).update(extra)
    return made


def test_a_json_line_carries_its_extras() -> None:
    line = json.loads(JsonFormatter().format(record("batch", model="tiny", predictions=3)))
    assert (line["message"], line["model"], line["predictions"]) == ("batch", "tiny", 3)
    assert line["level"] == "info"
    assert line["at"].endswith("+00:00")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_value_can_forge_a_second_line(formatter: logging.Formatter) -> None:
    text = formatter.format(record("request", path='/a\n{"level":"error"}\r\n'))
    assert "\n" not in text
    assert "\r" not in text


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_trace_is_shown_where_there_is_one(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        made = record("unexpected")
        made.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: broken" in formatter.format(made)


HOSTILE = "/\x1b]0;owned\x07\x9b31m\x7f\u202e\u2028\x08"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_no_value_reaches_the_terminal_as_a_control_character(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        made = record(f"request {HOSTILE}", path=HOSTILE)
        made.exc_info = (ValueError, error, error.__traceback__)
    made.rows = [{"path": HOSTILE}, {"path": HOSTILE}]
    text = formatter.format(made)
    unseen = [char for char in text.replace("\n", "") if not char.isprintable()]
    assert unseen == []


def test_json_says_the_same_with_its_controls_escaped() -> None:
    assert json.loads(JsonFormatter().format(record("request", path=HOSTILE)))["path"] == HOSTILE


def test_a_letter_of_any_script_stays_as_it_is() -> None:
    text = TextFormatter().format(record("приём", path="日本語"))
    assert "приём" in text
    assert "日本語" in text


THREAD = """
from threading import Thread
from contract.telemetry.logs import set_up_logging
from contract.settings import Settings

set_up_logging(Settings(log_format="json"))
thread = Thread(target=lambda: 1 / 0, name="busy")
thread.start()
thread.join()
"""


def test_a_thread_that_ends_by_an_error_says_so_in_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", THREAD], capture_output=True, text=True)
    line = json.loads(done.stdout)
    assert (line["level"], line["message"]) == ("critical", "a thread ended")
    assert line["thread_name"] == "busy"
    assert "ZeroDivisionError" in line["trace"]
    assert done.stderr == ""
