"""`python -m k8s smoke`: through the API server with pods to look at, and by an address without a cluster."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_result import Run
from fake_cluster import FakeCluster, Object
from release_objects import add_pod, condition
from smoke_gateway import DONE, Answer, FakeGateway, Smoke, prediction, shown

from contract.catalog import load_catalog
from contract.ledger.client import Ledger
from contract.settings import Settings
from k8s import smoke as module
from tests.support.fake_api_server import refusal
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

# --- through the API server -------------------------------------------------------------------------


def test_one_prediction_goes_through(smoke: Smoke) -> None:
    gateway = FakeGateway(prediction("starting", queue_position=1), prediction("processing"), DONE)
    result = smoke(gateway)

    assert result.code == 0
    output, summary = result.lines
    assert json.loads(output) == [{"label": "SPAM", "score": 0.99}]
    assert summary.startswith("local/spam: succeeded in 0.")
    assert "queued 0." in summary
    assert "processing 0." in summary
    assert shown(result) == [
        "asking the gateway",
        "queued (position 1)",
        "processing",
        "succeeded",
    ]


def test_on_a_terminal_one_line_changes(smoke: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = smoke(FakeGateway(prediction("starting", queue_position=1), DONE))

    assert result.code == 0
    assert "\x1b[2K" in result.err


def test_the_sample_is_sent_with_a_key(smoke: Smoke) -> None:
    gateway = FakeGateway(DONE)
    smoke(gateway)
    method, path, body, headers = gateway.seen[0]

    assert (method, path) == ("POST", "/v1/models/local/spam/predictions")
    assert body == {"input": {"text": "Win a free cruise, reply now!"}}
    assert headers["idempotency-key"]


def test_an_input_of_ones_own(smoke: Smoke) -> None:
    gateway = FakeGateway(DONE)
    result = smoke(gateway, "--model", "local/speech", "--input", '{"audio": "AAAA"}')

    assert result.code == 0
    assert gateway.seen[0][1] == "/v1/models/local/speech/predictions"
    assert gateway.seen[0][2] == {"input": {"audio": "AAAA"}}


def test_a_worker_is_followed_from_zero(smoke: Smoke, release: FakeCluster) -> None:
    waiting = prediction("starting", queue_position=1)
    scheduled = condition("PodScheduled", True)

    def pod(*conditions: Object, **status: Any) -> Callable[[], Answer]:
        def answer() -> Answer:
            add_pod(release, conditions=list(conditions), **status)
            return waiting

        return answer

    creating = {"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}
    running = {"name": "worker", "state": {"running": {}}}
    sandbox = condition("PodReadyToStartContainers", True)
    gateway = FakeGateway(
        waiting,
        pod(condition("PodScheduled", False, "Unschedulable", "no GPU")),
        pod(scheduled, containerStatuses=[creating]),
        pod(scheduled, sandbox, containerStatuses=[creating]),
        pod(scheduled, sandbox, initContainerStatuses=[running]),
        pod(scheduled, sandbox, containerStatuses=[running]),
        pod(scheduled, condition("Ready", True), containerStatuses=[running]),
        prediction("processing"),
        DONE,
    )
    result = smoke(gateway)

    assert result.code == 0
    assert shown(result) == [
        "asking the gateway",
        "queued (position 1)",
        "waiting for a node (pod soloist-worker-spam-1: no GPU)",
        "starting the worker",
        "pulling the image",
        "fetching the model",
        "loading the model",
        "processing",
        "succeeded",
    ]
    assert "loading the model 0." in result.lines[-1]


def test_it_goes_on_without_the_right_to_see_pods(smoke: Smoke, release: FakeCluster) -> None:
    release.forbidden.append("/pods$")
    result = smoke(FakeGateway(prediction("starting", queue_position=3), DONE))

    assert result.code == 0
    assert shown(result)[1] == "queued (position 3)"


def test_a_gateway_that_starts_is_waited_for(smoke: Smoke) -> None:
    gateway = FakeGateway(
        refusal(503, "no endpoints available"),
        (429, {"title": "Full", "detail": "the queue is full"}),
        DONE,
    )
    result = smoke(gateway)

    assert result.code == 0
    assert shown(result) == [
        "asking the gateway",
        "asking the gateway (no endpoints available)",
        "asking the gateway (the queue is full)",
        "succeeded",
    ]
    assert len({headers["idempotency-key"] for *_, headers in gateway.seen}) == 1


def test_a_look_that_fails_is_repeated(smoke: Smoke) -> None:
    result = smoke(FakeGateway(prediction("starting"), (500, {}), DONE))

    assert result.code == 0


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (
            [prediction("failed", error="the model broke", error_code="model_error")],
            "local/spam: failed after 0.0 s: the model broke (asking the gateway 0.0 s)",
        ),
        ([(404, {"title": "x", "detail": "no model local/spam"})], "no model local/spam"),
        ([(422, {"title": "x", "detail": "text is missing"})], "text is missing"),
        ([prediction("starting"), (404, {"title": "x", "detail": "gone"})], "gone"),
        ([refusal(403, 'User "we" cannot create services/proxy')], 'User "we" cannot create'),
    ],
)
def test_only_success_is_success(smoke: Smoke, answers: list[Answer], says: str) -> None:
    result = smoke(FakeGateway(*answers))

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith(f"soloist: {says}")


def test_what_takes_too_long_is_canceled(smoke: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Smoke, "_spent", lambda self: 61.0)
    gateway = FakeGateway(prediction("starting", queue_position=2))
    result = smoke(gateway, "--timeout", "60")

    assert result.code == 1
    assert "not done after 60 s, still queued (position 2); `python -m k8s check`" in result.err
    assert gateway.seen[-1][:2] == ("POST", "/v1/predictions/p1/cancel")


def test_a_gateway_that_never_answers_ends_it_too(
    smoke: Smoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Smoke, "_spent", lambda self: 61.0)
    result = smoke(FakeGateway(refusal(503, "no endpoints available")), "--timeout", "60")

    assert result.code == 1
    assert result.err.splitlines()[-1] == "soloist: no endpoints available"


# --- usage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--model", "speech"], 2, "no input for speech can be made up; give one with --input"),
        (["--model", "ham"], 2, "the catalog has no model 'ham'; it has spam, speech"),
        (["--input", "[1]"], 2, "--input takes a JSON object"),
        (["--input", "{"], 2, "--input takes a JSON object"),
        (["--url", "http://x"], 2, "with --url say where the catalog is: --catalog FILE"),
        (["--release", "other"], 1, "namespace ml has no ConfigMap other-catalog; give"),
        (["--timeout", "0"], 2, "Invalid value for '--timeout'"),
        (["--catalog", "/no/such"], 78, "cannot read the catalog /no/such"),
    ],
)
def test_wrong_usage_is_one_sentence(
    smoke: Smoke, arguments: list[str], code: int, says: str
) -> None:
    gateway = FakeGateway(DONE)
    result = smoke(gateway, *arguments)

    assert (result.code, result.out, gateway.seen) == (code, "", [])
    assert says in result.err


def test_a_catalog_that_may_not_be_read(smoke: Smoke, release: FakeCluster) -> None:
    release.forbidden.append("configmaps")
    result = smoke(FakeGateway(DONE))

    assert result.code == 1
    assert "the catalog cannot be read: User" in result.err
    assert "give --catalog FILE" in result.err


def test_without_any_cluster(run: Run) -> None:
    assert run("smoke").code == 2


# --- by an address, as `helm test` does -------------------------------------------------------------


@pytest.fixture
def catalog_file(tmp_path: Path) -> Path:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    file = tmp_path / "catalog.yaml"
    echo = {"python": "nowhere:Nothing", "input_schema": schema}
    file.write_text(yaml.safe_dump({"models": {"echo": echo}}))
    return file


@pytest.fixture
def gateway(settings: Settings, catalog_file: Path) -> Iterator[GatewayThread]:
    with GatewayThread(settings, load_catalog(catalog_file)) as running:
        yield running


def test_by_an_address_it_needs_no_cluster(
    gateway: GatewayThread, ledger: Ledger, catalog_file: Path, run: Run
) -> None:
    worker = FakeWorker(ledger, load_catalog(catalog_file))

    def act(pretend: FakeWorker, model: str, claimed: Any) -> None:
        pretend.succeed(claimed, {"said": json.loads(claimed.input)["text"]}, model)

    with worker.serving({"echo": act}):
        result = run("smoke", "--url", gateway.url, "--catalog", catalog_file)

    assert result.code == 0, result.err
    assert json.loads(result.lines[0]) == {"said": "Soloist plays one model at a time."}
    assert result.lines[1].startswith("local/echo: succeeded in ")
    assert shown(result)[0] == "asking the gateway"
    assert shown(result)[-1] == "succeeded"


def test_by_an_address_a_failure_is_a_failure(
    gateway: GatewayThread, ledger: Ledger, catalog_file: Path, run: Run
) -> None:
    worker = FakeWorker(ledger, load_catalog(catalog_file))
    with worker.serving({"echo": lambda pretend, model, claimed: _fail(pretend, claimed, model)}):
        result = run("smoke", "--url", gateway.url, "--catalog", catalog_file)

    assert result.code == 1
    assert "local/echo: failed after " in result.err
    assert "it broke" in result.err


def _fail(worker: FakeWorker, claimed: Any, model: str) -> None:
    worker.fail(claimed, "it broke", model=model)
