"""docs/tracing-and-logs.md tells of every log line, of its level, and of the fields of those that count."""

import ast
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog, ModelSpec
from contract.ledger.endings import Ending
from contract.ledger.transitions import Claimed, Outcome
from contract.settings import Settings
from contract.telemetry.endings import log_endings
from contract.telemetry.logs import JsonFormatter, start_facts
from contract.telemetry.tracing import OFF
from tests.support.gateway_thread import GatewayThread
from worker import start_log
from worker.batch import Batch, predict_items
from worker.batch_log import BatchLog
from worker.device import Device
from worker.models import torch_memory

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tracing-and-logs.md").read_text(encoding="utf-8")
COMMON = {"at", "level", "logger", "message"}
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
LEVELS = {"exception": "error"}
SAID_BY_A_VARIABLE = {
    "the broker does not answer": "warning",
    "the broker refuses our user or password": "warning",
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    text = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    return set(re.findall("`([^`]+)`", cell))


FIELDS = {row[0].strip("`"): words(row[2]) for row in rows("The lines that count")}


def written() -> dict[str, str]:
    """Every line's message and level, as they stand in the code."""
    found = dict(SAID_BY_A_VARIABLE)
    for room in ("contract", "service", "worker"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(
                            value=ast.Name(id="logger") | ast.Attribute(attr="_logger"), attr=level
                        ),
                        args=[ast.Constant(value=str(message)), *_],
                    ):
                        found[message.replace("%s", "…")] = LEVELS.get(level, level)
    return {m: level for m, level in found.items() if level != "debug" and m != "… (…)"}


def test_every_line_stands_in_the_table_with_its_level() -> None:
    table = {word: row[1] for row in rows("The other lines") for word in words(row[0])}

    assert table == {m: level for m, level in written().items() if m not in FIELDS}


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    """What stdout would get."""
    records = [record for record in caplog.records if record.getMessage() == message]
    text = "\n".join(JsonFormatter().format(record) for record in records)
    return [json.loads(line) for line in text.splitlines()]


class Nobody:
    """A reporter."""

    def follow_predictions(self, claimed: list[Claimed]) -> None:
        pass

    def said(self, id: str) -> None:
        pass

    def take_report(self, *_: object) -> None:
        pass


def batch_of(*ids: str) -> Batch:
    claimed = [Claimed(id, 2, '{"text": "secret"}', 0.25, TRACE) for id in ids]
    return Batch(claimed, Nobody())  # type: ignore[arg-type]


def test_a_worker_has_a_line_for_each_prediction_and_one_for_the_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outcomes = [
        Outcome("a", 2, b'"secret"', predict_seconds=0.5),
        Outcome("b", 2, error="secret", error_code="model_error", predict_seconds=0.5),
        Outcome("c", 2, b"1", predict_seconds=0.5),
    ]
    BatchLog("m", "w1", "cpu", OFF).log_finished(batch_of("a", "b", "c"), outcomes, {"c"})
    first, second, third = lines(caplog, "prediction")
    (batch,) = lines(caplog, "batch")

    assert first["outcome"] == "succeeded"
    assert (second["outcome"], second["error_code"]) == ("failed", "model_error")
    assert third["outcome"] == "fenced"
    assert second.keys() - COMMON == FIELDS["prediction"]
    assert first.keys() == second.keys() - {"error_code"}
    assert (first["queue_seconds"], first["predict_seconds"], first["batch"]) == (0.25, 0.5, 3)
    assert (first["attempt"], first["trace_id"], first["level"]) == (2, "a" * 32, "info")
    assert batch.keys() - COMMON == FIELDS["batch"] - {"trace_id"}
    assert "secret" not in caplog.text
    assert "secret" not in str([vars(record) for record in caplog.records])


class Quoting:
    """A model whose error quotes its input."""

    def predict(self, items: list[Any]) -> list[Any]:
        raise ValueError(f"cannot read {items}")


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_a_model_raises_is_told_by_kind_and_place_and_quoted_at_debug_only(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    caplog.set_level(level)
    predict_items(Quoting(), ["secret"])  # type: ignore[arg-type, list-item]
    (line,) = lines(caplog, "a batch failed")

    assert (line["code"], line["error"]) == ("model_error", "ValueError")
    assert re.fullmatch(r"test_log_lines\.py:\d+", line["place"])
    told = str([JsonFormatter().format(record) for record in caplog.records])
    assert ("secret" in told) is (level == logging.DEBUG)


def test_lines_that_nobody_wants_are_not_made(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.delattr(BatchLog, "_row")
    outcome = Outcome("a", 2, b"1")
    BatchLog("m", "w1", "cpu", OFF).log_finished(batch_of("a"), [outcome], ())

    assert caplog.records == []


def test_the_keeper_has_a_line_for_each_prediction_that_it_ends_or_takes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    whats = ("worker_lost", "timeout", "deadline_exceeded", "queued")
    log_endings(
        logging.getLogger("keeper"), OFF, [Ending("a", "m", what, 3, TRACE) for what in whats]
    )
    told = {
        (line["outcome"], line.get("error_code"), line["level"])
        for line in lines(caplog, "prediction")
    }

    assert told == {
        ("failed", "worker_lost", "warning"),
        ("failed", "timeout", "warning"),
        ("canceled", "deadline_exceeded", "info"),
        ("queued", None, "info"),
    }
    own = {"prediction", "model", "outcome", "error_code", "attempt", "trace_id"}
    assert lines(caplog, "prediction")[0].keys() - COMMON == own <= FIELDS["prediction"]


def test_a_request_has_a_line_with_its_fields_and_no_query(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with GatewayThread(
        settings, Catalog([ModelSpec(name="m", python="nowhere:Nothing")])
    ) as gateway:
        httpx.post(
            f"{gateway.url}/v1/models/local/m/predictions?key=secret",
            json={"input": {"text": "secret"}},
            headers={"traceparent": TRACE},
            trust_env=False,
        )
    (line,) = lines(caplog, "request")

    assert line.keys() - COMMON == FIELDS["request"]
    assert line["trace_id"] == "a" * 32
    assert "secret" not in str(line)


def test_a_worker_says_once_what_it_has_loaded_on_what_and_in_which_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    for number, phase in enumerate(start_log.PHASES):
        start_log.note_seconds(phase, number + 0.12345)
    spec = ModelSpec(name="m", source="team/m", task="fill-mask")
    monkeypatch.setattr(torch_memory, "find_weights_type", lambda model: "bfloat16")
    words = start_log.log_start(spec, "v" * 64, Device("cuda:0", "GPU-1", "NVIDIA H200"), object())
    (line,) = lines(caplog, "ready")

    assert line.keys() - COMMON == FIELDS["ready"] - {"device_memory_bytes"}
    assert (line["device"], line["dtype"]) == ("NVIDIA H200", "bfloat16")
    assert (line["import_seconds"], line["connect_seconds"]) == (0.123, 3.123)
    assert line["memory_bytes"] > 2**20
    assert re.fullmatch(r"bfloat16 on NVIDIA H200, 6 s, \d[\d.]* [MG]iB", words)


def test_a_process_begins_by_saying_what_it_is_and_no_secret() -> None:
    settings = Settings(
        redis_url="redis://u:secret@ledger:7000/0",
        broker_url="amqp://u:secret@broker//",
        otlp_endpoint="http://collector:4318",
    )
    facts = start_facts(settings)

    assert facts.keys() | {"host", "port"} == FIELDS["listening"]
    own = {"model", "model_version", "device", "port", "pool"}
    assert facts.keys() | own == FIELDS["starting"]
    assert (facts["ledger"], facts["broker"]) == ("ledger:7000", "broker:5672")
    assert "secret" not in str(facts)
