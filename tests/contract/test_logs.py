"""Log lines: one a record, whatever the values hold."""

import json
import logging

import pytest

from contract.logs import JsonFormatter, TextFormatter


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
