"""Two versions of a model with real processes: who runs what, in a rollout and after it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from stack import Stack

from contract.catalog import load_catalog
from contract.prediction import Prediction, Status
from contract.versions import entry_of
from local.processes import PROJECT
from tests.support.programs import Worker
from tests.support.waiting import until

pytestmark = pytest.mark.slow
BOTH = pytest.mark.brokers("shared", "rabbitmq")
MODEL = "single"


@pytest.fixture
def newer(stack: Stack) -> Iterator[Path]:
    """A catalog in which the model is another version."""
    catalog = yaml.safe_load((stack.folder / "catalog.yaml").read_text())
    catalog["models"][MODEL]["options"]["release"] = 2
    file = stack.folder / "newer.yaml"
    file.write_text(yaml.safe_dump(catalog))
    yield file
    for program in (stack.gateway, stack.keeper):
        program.kill()  # they have the newer catalog; the next test wants the other


def entry(catalog: Path) -> str:
    return load_catalog(catalog)[MODEL].entry


def version_of(stack: Stack, worker: Worker) -> str:
    """What a worker says of itself to everybody."""

    def announced() -> str:
        model = stack.http.get(f"/v1/models/local/{MODEL}").json()
        return next(
            (w["model_version"] for w in model["workers"] or [] if w["name"] == worker.called), ""
        )

    return until("it is announced", announced, 20)


def create(stack: Stack, version: str = "", **more: Any) -> str:
    """Accept a prediction that names the model, or a version of it; its id."""
    reference = f"local/{MODEL}:{version}" if version else f"local/{MODEL}"
    body = {"version": reference, "input": {"do": "echo", **more}}
    answer = stack.http.post("/v1/predictions", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["version_pinned"] is bool(version)
    return str(answer.json()["id"])


def sweeps(stack: Stack) -> float:
    """How often the keeper has looked."""
    text = httpx.get(f"http://127.0.0.1:{stack.keeper_port}/metrics", trust_env=False).text
    families = text_string_to_metric_families(text)
    return next(f.samples[0].value for f in families if f.name == "soloist_keeper_sweeps")


def who(records: list[Prediction]) -> set[tuple[str | None, str]]:
    """By which workers they were run, and which version they say ran them."""
    return {(record.worker, record.version) for record in records}


@BOTH
def test_each_version_runs_its_own_and_either_runs_the_rest(stack: Stack, newer: Path) -> None:
    a, b = stack.worker(MODEL), stack.worker(MODEL, CATALOG=newer)
    versions = [version_of(stack, worker.ready()) for worker in (a, b)]
    assert entry_of(versions[0]) == entry(stack.folder / "catalog.yaml")
    assert entry_of(versions[1]) == entry(newer)
    ids: dict[str, list[str]] = {"": [], versions[0]: [], versions[1]: []}
    for number in range(60):
        version = list(ids)[number % 3]
        ids[version].append(create(stack, version, do="compute", seconds=0.01))
    for version, worker in zip(versions, (a, b), strict=True):
        assert who(stack.succeeded(ids[version], 40)) == {(worker.called, version)}
    assert who(stack.succeeded(ids[""], 40)) <= {
        (worker.called, version) for version, worker in zip(versions, (a, b), strict=True)
    }
    assert stack.runs() == Counter(id for some in ids.values() for id in some)


@BOTH
def test_idle_workers_of_another_version_hold_nothing_up(stack: Stack, newer: Path) -> None:
    version = version_of(stack, stack.worker(MODEL).ready())
    for _ in range(2):
        stack.worker(MODEL, CATALOG=newer).ready()
    ids = [create(stack, version) for _ in range(30)]
    assert {record.version for record in stack.succeeded(ids, 20)} == {version}


def test_a_rollout_ends_what_waits_for_the_version_that_went(stack: Stack, newer: Path) -> None:
    gate = stack.gate()
    old = stack.worker(MODEL).ready()
    version = version_of(stack, old)
    runs = create(stack, version, do="stubborn", gate=str(gate))
    stack.running(runs)
    waits, anybody = create(stack, version), create(stack)
    # Gateway and keeper roll first: the old worker is still there, so nothing is gone.
    for name in ("gateway", "keeper"):
        getattr(stack, name).end()
        setattr(stack, name, stack.serve(name, CATALOG=newer))
    until("both are ready", stack.ready, 60)
    late = create(stack, version)
    assert {p.status for p in stack.records([waits, anybody, late])} == {Status.STARTING}
    fresh = stack.worker(MODEL, CATALOG=newer).ready()
    assert stack.succeeded([anybody])[0].version == version_of(stack, fresh) != version
    old.ask_to_end()
    gate.touch()
    assert old.code() == 0
    assert who(stack.succeeded([runs])) == {(old.called, version)}
    for gone in stack.finished([waits, late], 30):
        assert (gone.status, gone.error_code, gone.attempt) == (Status.FAILED, "version_gone", 0)
        assert gone.version == version
        assert version in (gone.error or "")
    refused = stack.http.post(
        "/v1/predictions", json={"version": f"local/{MODEL}:{version}", "input": {}}
    )
    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")


def test_a_keeper_with_the_older_catalog_ends_nothing_of_the_newer(
    stack: Stack, newer: Path
) -> None:
    fresh = stack.worker(MODEL, CATALOG=newer).ready()
    version = version_of(stack, fresh)
    stack.gateway.end()
    stack.gateway = stack.serve("gateway", CATALOG=newer)
    until("it is ready", stack.ready, 60)
    assert fresh.end() == 0  # scaled to zero
    id = create(stack, version)
    swept = sweeps(stack)
    until("the keeper looked often", lambda: sweeps(stack) > swept + 25, 30)
    assert stack.record(id).status is Status.STARTING
    stack.worker(MODEL, CATALOG=newer)
    assert stack.succeeded([id])[0].version == version


def test_a_model_that_was_trained_again_under_the_same_path_is_another_version(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack.folder / "code"
    folder.mkdir(exist_ok=True)
    module = folder / "trained_again.py"
    text = "from tests.e2e.models import Echo\n\n\nclass Model(Echo):\n    training = {}\n"
    catalog = yaml.safe_load((stack.folder / "catalog.yaml").read_text())
    catalog["models"][MODEL]["python"] = "trained_again:Model"
    file = stack.folder / "trained.yaml"
    file.write_text(yaml.safe_dump(catalog))
    monkeypatch.setitem(stack.env, "PYTHONPATH", f"{PROJECT}:{folder}")
    found = []
    for training in (1, 2):
        module.write_text(text.format(training))
        worker = stack.worker(MODEL, CATALOG=file).ready()
        found.append(version_of(stack, worker))
        assert stack.succeeded([create(stack)])[0].version == found[-1]
        assert worker.end() == 0
    first, second = found
    assert entry_of(first) == entry_of(second) == entry(file)
    assert first != second
