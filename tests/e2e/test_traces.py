"""One trace from the HTTP request through the record to the batch, and the same ids in the log lines."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import Stack

from contract.broker import create_app
from contract.catalog import Catalog, ModelSpec
from contract.settings import Settings
from local.processes import free_port
from tests.support.gateway_thread import GatewayThread
from tests.support.trace_collector import Got, TraceCollector
from tests.support.waiting import until
from worker.fingerprint import compute_fingerprint
from worker.health import Health
from worker.task import Predict

ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{ID}-{PARENT}-01", "tracestate": "v=1"}
SERVER, CONSUMER = 2, 5
CREATE = "POST /v1/models/{owner}/{name}/predictions"


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as opened:
        yield opened


class Here:
    """A gateway and a worker's task in this process; the task claims when it is told to."""

    def __init__(self, settings: Settings, runs: Path) -> None:
        options = {"runs": str(runs), "fits": 2}
        spec = ModelSpec(
            name="m", python="tests.e2e.models:Echo", max_batch_size=4, options=options
        )
        self.task = Predict(
            settings, spec, spec.version(compute_fingerprint(spec)), "cpu", Health()
        )
        create_app(settings).register_task(self.task)
        self.task.load()
        self.gateway = GatewayThread(settings, Catalog([spec]))

    def post(self, do: str, headers: dict[str, str] | None = None) -> str:
        url = f"{self.gateway.url}/v1/models/local/m/predictions?key=secret-in-query"
        answer = httpx.post(
            url,
            json={"input": {"do": do, "text": "secret-input"}},
            headers=headers,
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@contextmanager
def here(settings: Settings, folder: Path, **changed: Any) -> Iterator[Here]:
    opened = Here(settings.model_copy(update=changed), folder / "runs")
    with opened.gateway, closing(opened.task):
        yield opened
    opened.task._tracing.close()


def of(spans: list[Got], name: str, id: str) -> Got:
    (found,) = (s for s in spans if s.name == name and s.attributes["soloist.prediction"] == id)
    return found


def lines(caplog: pytest.LogCaptureFixture, message: str) -> dict[str, dict[str, Any]]:
    """The extras of log lines of this process, by prediction."""
    found: dict[str, dict[str, Any]] = {}
    for record in caplog.records:
        if record.getMessage() == message:
            for row in vars(record).get("rows") or [vars(record)]:
                found[row.get("prediction") or ""] = row
    return found


def test_a_prediction_is_one_trace_and_its_batch_another_that_links_to_it(
    settings: Settings, tmp_path: Path, collector: TraceCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with here(settings, tmp_path, otlp_endpoint=collector.url, worker_name="w1") as soloist:
        called, started = soloist.post("echo", CALLER), soloist.post("raise")
        httpx.get(f"{soloist.gateway.url}/v1/predictions/{called}", trust_env=False)
        soloist.task.run(0)
    spans = collector.spans
    batch = next(span for span in spans if span.name == "batch")
    for id in (called, started):
        request, queue, predict = (of(spans, name, id) for name in (CREATE, "queue", "predict"))
        assert queue.trace_id == predict.trace_id == request.trace_id
        assert queue.parent == predict.parent == request.id
        assert predict.links == [batch.place]
        assert predict.place in batch.links
        assert predict.began == pytest.approx(queue.began + queue.seconds, abs=1e-6)
        assert predict.began == pytest.approx(batch.began, abs=1e-6)
        assert lines(caplog, "request")[id]["trace_id"] == request.trace_id
        assert lines(caplog, "prediction")[id]["trace_id"] == request.trace_id
    mine, other = of(spans, CREATE, called), of(spans, CREATE, started)

    assert (mine.trace_id, mine.parent, mine.state) == (ID, PARENT, "v=1")
    assert of(spans, "predict", called).state == "v=1"
    assert (other.parent, len({ID, other.trace_id, batch.trace_id})) == ("", 3)
    assert (batch.parent, len(batch.links)) == ("", 2)
    assert lines(caplog, "batch")[""]["trace_id"] == batch.trace_id
    assert (mine.kind, of(spans, "predict", called).kind) == (SERVER, CONSUMER)
    assert {span.process for span in spans} == {"soloist-gateway", "soloist-worker"}
    assert "GET /v1/predictions/{id}" in {span.name for span in spans}


def test_the_spans_say_what_one_looks_for_and_nothing_of_the_input(
    settings: Settings, tmp_path: Path, collector: TraceCollector
) -> None:
    with here(settings, tmp_path, otlp_endpoint=collector.url, worker_name="w1") as soloist:
        well, ill = soloist.post("echo"), soloist.post("raise")
        soloist.task.run(0)
    spans = collector.spans
    request, failed = of(spans, CREATE, well), of(spans, "predict", ill)
    (batch,) = (span for span in spans if span.name == "batch")
    facts = {
        "soloist.model": "m",
        "soloist.worker": "w1",
        "soloist.device": "cpu",
        "soloist.batch_size": 2,
    }

    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "http.route": "/v1/models/{owner}/{name}/predictions",
        "network.protocol.version": "1.1",
        "url.path": "/v1/models/local/m/predictions",
        "url.scheme": "http",
        "soloist.prediction": well,
        "soloist.model": "m",
    }
    own = {**facts, "soloist.prediction": ill, "soloist.attempt": 1}
    assert failed.attributes == {**own, "error.type": "model_error"}
    assert failed.error == "model_error"
    assert of(spans, "predict", well).error is None
    assert batch.attributes == facts
    assert batch.events == ["split"]
    assert b"secret" not in collector.raw


def test_a_request_that_is_refused_or_unknown_has_a_span_too(
    settings: Settings, tmp_path: Path, collector: TraceCollector
) -> None:
    with here(settings, tmp_path, otlp_endpoint=collector.url) as soloist:
        for path in ("/v1/predictions/nobody", "/nowhere", "/livez"):
            httpx.get(soloist.gateway.url + path, trust_env=False)
    seen = {span.name: span.attributes["http.response.status_code"] for span in collector.spans}

    assert seen == {"GET /v1/predictions/{id}": 404, "GET": 404}


def test_without_traces_a_callers_id_stands_in_the_lines_and_no_other_does(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with here(settings, tmp_path) as soloist:
        called, bare = soloist.post("echo", CALLER), soloist.post("echo")
        soloist.task.run(0)
    requests, predictions = lines(caplog, "request"), lines(caplog, "prediction")

    assert requests[called]["trace_id"] == predictions[called]["trace_id"] == ID
    assert requests[bare]["trace_id"] is None
    assert "trace_id" not in predictions[bare]


def test_what_is_handed_back_and_what_ends_in_the_queue_is_in_its_trace(
    settings: Settings,
    tmp_path: Path,
    collector: TraceCollector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[int] = []
    monkeypatch.setattr("worker.completion.end_process", ends.append)
    with here(settings, tmp_path, otlp_endpoint=collector.url) as soloist:
        id = soloist.post("lose_device")
        with pytest.raises(UnboundLocalError):  # the process would have ended
            soloist.task.run(0)
    predict = of(collector.spans, "predict", id)
    (batch,) = (span for span in collector.spans if span.name == "batch")

    assert ends == [70]
    assert predict.error == "device_lost"
    assert batch.events == ["handed back"]


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_real_processes_send_one_trace_and_log_its_id(
    stack: Stack, collector: TraceCollector, pool: str
) -> None:
    port = free_port()
    told = {"OTLP_ENDPOINT": collector.url}
    gateway = stack.serve("gateway", PORT=port, **told)
    worker = stack.worker("echo", "--pool", pool, **told).ready()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    until("the gateway is ready", answers, 60)
    body = {"input": {"text": "x"}}
    answer = httpx.post(
        f"{url}/v1/models/local/echo/predictions",
        json=body,
        headers={**CALLER, "prefer": "wait"},
        timeout=30,
        trust_env=False,
    )
    id = answer.json()["id"]
    request, queue, predict, _ = collector.named(CREATE, "queue", "predict", "batch")

    assert answer.json()["status"] == "succeeded"
    assert {request.trace_id, queue.trace_id, predict.trace_id} == {ID}
    assert queue.parent == predict.parent == request.id
    for program, message in ((gateway, "request"), (worker, "prediction")):
        program.says(f'"message":"{message}"', 0)
        (line,) = re.findall(rf'.*"message":"{message}".*{id}.*', program.output)
        assert json.loads(line)["trace_id"] == ID


@pytest.mark.slow
def test_a_collector_that_is_away_is_told_of_once_and_delays_nothing(stack: Stack) -> None:
    worker = stack.worker(OTLP_ENDPOINT="http://127.0.0.1:9").ready()
    headers = {**CALLER, "prefer": "wait"}
    for _ in range(3):
        answer = stack.post(headers=headers)
        assert answer.json()["status"] == "succeeded"
    worker.says("traces are lost", 0)
    assert stack.post(headers=headers).json()["status"] == "succeeded"
    assert worker.end() == 0
    assert worker.output.count("traces are lost") == 1
    assert "opentelemetry" not in worker.output
