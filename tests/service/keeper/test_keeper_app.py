"""The keeper as a process: its probes, and the pods that it annotates beside its sweeps."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_kubernetes import HANG, NAMESPACE, SELECTOR, FakeKubernetes
from prometheus_client import REGISTRY
from pydantic import SecretStr
from starlette.testclient import TestClient

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import create
from contract.prediction import Prediction, new_id
from contract.settings import Settings
from local.redis import EmbeddedRedis
from service.keeper import pods
from service.keeper.app import create_keeper
from service.keeper.pods import COST
from tests.support.fake_worker import FakeWorker
from tests.support.waiting import until


@pytest.fixture
def cluster() -> Iterator[FakeKubernetes]:
    with FakeKubernetes() as started:
        yield started


@pytest.fixture
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Everything a little faster than in a cluster."""
    for name, seconds in {
        "ROUND_SECONDS": 0.02,
        "LIST_SECONDS": 0.1,
        "IDLE_SECONDS": 0.1,
        "REQUEST_SECONDS": 1.0,
        "AWAY_SECONDS": 0.05,
    }.items():
        monkeypatch.setattr(pods, name, seconds)
    cluster = {"pod_namespace": NAMESPACE, "pod_selector": SELECTOR, "sweep_seconds": 0.02}
    return settings.model_copy(update={**cluster, "ledger_timeout_seconds": 0.3})


def submit(ledger: Ledger, model: str) -> None:
    ledger.run(create([NewPrediction(Prediction(new_id(), model), 1000, 1)]))


def sweeps() -> float:
    return REGISTRY.get_sample_value("soloist_keeper_sweeps_total") or 0.0


def test_a_pod_is_annotated_while_its_worker_has_a_batch(
    quick: Settings, catalog: Catalog, ledger: Ledger, cluster: FakeKubernetes
) -> None:
    cluster.add("w1", "w2", "idle")
    first, second = FakeWorker(ledger, catalog, "w1"), FakeWorker(ledger, catalog, "w2")
    with TestClient(
        create_keeper(quick, catalog, cluster.connect), base_url="http://localhost"
    ) as http:
        submit(ledger, "echo")
        submit(ledger, "small")
        one, other = first.take("echo"), second.take("small")
        until("w1 and w2 are busy", lambda: costs(cluster, "w1", "w2") == ["10", "10"])
        first.succeed(one)
        until("w1 is idle", lambda: costs(cluster, "w1", "w2") == ["0", "10"])
        second.succeed(other, model="small")
        until("both are idle", lambda: costs(cluster, "w1", "w2", "idle") == ["0", "0", None])
        shown = http.get("/metrics").text
    assert "soloist_keeper_kubernetes_up 1.0" in shown
    assert 'soloist_pod_patches_total{outcome="ok"}' in shown
    assert len(cluster.patches) == 4


def costs(cluster: FakeKubernetes, *names: str) -> list[str | None]:
    return [cluster.annotations(name).get(COST) for name in names]


@pytest.mark.parametrize("verb", ["list", "patch"])
def test_a_kubernetes_that_hangs_delays_no_sweep(
    quick: Settings, catalog: Catalog, ledger: Ledger, cluster: FakeKubernetes, verb: str
) -> None:
    cluster.add("w1")
    cluster.fail(verb, HANG)
    worker = FakeWorker(ledger, catalog, "w1")
    with TestClient(
        create_keeper(quick, catalog, cluster.connect), base_url="http://localhost"
    ) as http:
        submit(ledger, "echo")
        claimed = worker.take()
        until("a request hangs", lambda: cluster.hung)
        before = sweeps()
        until("20 more sweeps", lambda: sweeps() >= before + 20)
        assert http.get("/readyz").status_code == 200
        cluster.heal()
        # 10 and the age of its batch, which is a while by now.
        until("it is annotated", lambda: int(costs(cluster, "w1")[0] or 0) >= 10)
        worker.succeed(claimed)


def test_a_keeper_without_its_ledger_leaves_the_pods_as_they_are(
    quick: Settings, catalog: Catalog, cluster: FakeKubernetes, tmp_path: Path
) -> None:
    cluster.add("w1")
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        settings = quick.model_copy(update={"redis_url": SecretStr(own.url)})
        ledger = Ledger(settings)
        with TestClient(
            create_keeper(settings, catalog, cluster.connect), base_url="http://localhost"
        ) as http:
            submit(ledger, "echo")
            FakeWorker(ledger, catalog, "w1").take()
            until("w1 is busy", lambda: costs(cluster, "w1") == ["10"])
            own.kill()
            until("the ledger is missed", lambda: http.get("/readyz").status_code == 503)
            lists = cluster.lists
            until("the pods were looked at", lambda: cluster.lists >= lists + 3)
        ledger.close()
    assert costs(cluster, "w1") == ["10"]
    assert len(cluster.patches) == 1


def test_outside_of_a_cluster_nobody_looks_for_kubernetes(
    settings: Settings, catalog: Catalog
) -> None:
    def connect() -> Any:
        raise AssertionError("no pods were named")

    before = sweeps()
    quick = settings.model_copy(update={"sweep_seconds": 0.02})
    with TestClient(create_keeper(quick, catalog, connect), base_url="http://localhost"):
        until("some sweeps", lambda: sweeps() >= before + 5)


def test_the_probes_follow_the_ledger_away_and_back(
    settings: Settings, catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.keeper.sweeper")
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        quick = {
            "sweep_seconds": 0.02,
            "ledger_timeout_seconds": 0.3,
            "broker_timeout_seconds": 0.3,
        }
        app = create_keeper(
            settings.model_copy(update={"redis_url": SecretStr(own.url), **quick}), catalog
        )
        with TestClient(app, base_url="http://localhost") as http:

            def ready(status: int) -> None:
                until(f"readyz is {status}", lambda: http.get("/readyz").status_code == status)

            ready(200)
            assert http.get("/readyz").json() == {"state": "ready"}
            own.kill()
            ready(503)
            assert http.get("/livez").status_code == 200
            assert "soloist_keeper_ledger_up 0.0" in http.get("/metrics").text
            own.start()
            ready(200)
            assert "soloist_keeper_ledger_up 1.0" in http.get("/metrics").text
            own.pause()
            ready(503)
            own.resume()
            ready(200)
            http.portal.call(app.state.sweeper.stop)
            until(
                "a keeper that sweeps no more is not alive",
                lambda: http.get("/livez").is_server_error,
            )
    assert [r.message for r in caplog.records].count("no sweep") == 2


@pytest.mark.slow
def test_a_keeper_exports_nothing_of_a_gateway() -> None:
    """Its `soloist_ledger_up` would be 0 for ever."""
    code = (
        "import service.keeper.app, prometheus_client as p\n"
        "print(*[family.name for family in p.REGISTRY.collect()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exported = set(done.stdout.split())
    assert "soloist_keeper_ledger_up" in exported
    assert not exported & {"soloist_ledger_up", "soloist_http_requests", "soloist_model_info"}
