"""The suite rehearsed: its client and its stories, with processes for pods and a pretended API server."""

import json
import re
from collections.abc import Iterator
from inspect import getsource
from pathlib import Path
from typing import Any

import httpx
import manifests
import pytest
import test_cluster_busy as busy
import test_cluster_install as install
import test_cluster_losses as losses
import test_cluster_rollout as rollout
import test_cluster_scaling as scaling
import test_cluster_uninstall as uninstall
import test_cluster_variants as variants
from pretend_cluster import NAMESPACE, PretendCluster, write_catalog
from pretend_programs import write_programs
from release import LONG, Release, suite_values
from suite_namespace import NotYet, ProgramFailed, SuiteNamespace, program

from contract.catalog import load_catalog
from contract.settings import Settings
from k8s.cluster import Cluster
from local.redis import EmbeddedRedis
from tests.k8s.fake_cluster import FakeCluster
from tests.support.fake_api_server import served
from tests.support.gateway_thread import GatewayThread

ROLLED_OUT = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCluster]:
    """Named by the file `kubeconfig`."""
    fake = FakeCluster()
    with served(fake, tmp_path):
        yield fake


@pytest.fixture
def namespace(fake: FakeCluster, tmp_path: Path) -> Iterator[SuiteNamespace]:
    cluster = Cluster(NAMESPACE, file=str(tmp_path / "kubeconfig"))
    write_programs(tmp_path)
    yield SuiteNamespace(cluster, str(tmp_path / "kubectl"), str(tmp_path / "helm"))
    cluster.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A ledger of its own, which a story may kill."""
    with EmbeddedRedis(tmp_path / "ledger") as store:
        yield store


@pytest.fixture
def settings(store: EmbeddedRedis) -> Settings:
    return Settings(redis_url=store.url)


@pytest.fixture
def release(
    namespace: SuiteNamespace,
    fake: FakeCluster,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Release]:
    """A gateway behind the API server's proxy, with the suite's models in its catalog."""
    monkeypatch.setattr("release.RELEASE_FILE", "release")  # in the pod's folder
    release_as(fake, "suite")
    catalog = load_catalog(write_catalog(tmp_path))
    with GatewayThread(settings, catalog) as gateway, httpx.Client() as client:

        def behind(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
            kept = {k: v for k, v in headers.items() if k in ("idempotency-key", "prefer")}
            answer = client.request(method, gateway.url + path, json=body, headers=kept)
            return answer.status_code, answer.json()

        fake.behind["suite-gateway:http"] = behind
        yield QuickRelease(namespace, "suite", suite_values(persistent=False))


class QuickRelease(Release):
    """Naps that end by themselves take a fifth of their time: no story is about how long they are."""

    def submit(self, model: str = "nap", **input: Any) -> str:
        if 1 <= input.get("seconds", 0) < LONG:
            input["seconds"] /= 5
        return super().submit(model, **input)


def release_as(fake: FakeCluster, name: str) -> None:
    """A release by this name, rolled out."""
    for kind, part in (
        ("deployments", "gateway"),
        ("deployments", "keeper"),
        ("statefulsets", "ledger"),
    ):
        labels = {"app.kubernetes.io/instance": name, "app.kubernetes.io/component": part}
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}"
        made = fake.add(path, f"{name}-{part}", labels=labels, spec={}, status=ROLLED_OUT)
        made["metadata"]["generation"] = 1


@pytest.fixture
def pods(
    fake: FakeCluster, release: Release, settings: Settings, tmp_path: Path
) -> Iterator[PretendCluster]:
    with PretendCluster(fake, settings, tmp_path) as pods:
        yield pods


# --- the namespace ------------------------------------------------------------------------------------


def test_a_namespace_is_made_and_taken_away_and_explains_failures(
    namespace: SuiteNamespace, tmp_path: Path
) -> None:
    with namespace:
        assert SuiteNamespace.live == [namespace]
        namespace.apply(manifests.models())
        told = dict(namespace.report())
    assert not SuiteNamespace.live
    assert json.loads((tmp_path / "applied").read_text())["items"] == [manifests.models()]
    assert told[f"events of {NAMESPACE}"] == "all of events"
    assert "no such pod" in told["pod/a said"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == f"--namespace {NAMESPACE} create namespace {NAMESPACE}"
    assert any("delete pods --all --grace-period=0 --force" in call for call in calls)
    with pytest.raises(ProgramFailed, match="logs x: no such pod"):
        namespace.kubectl("logs", "x")


def test_a_namespace_knows_whether_claims_are_filled(
    namespace: SuiteNamespace, fake: FakeCluster
) -> None:
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    fake.add(classes, "slow")
    assert not namespace.stores()
    fake.add(classes, "ssd", annotations={"storageclass.kubernetes.io/is-default-class": "true"})
    assert namespace.stores()


# --- the client -----------------------------------------------------------------------------------


def test_a_gateway_that_is_away_for_a_moment_is_asked_again(
    release: Release, fake: FakeCluster
) -> None:
    behind = fake.behind.pop("suite-gateway:http")
    with pytest.raises(NotYet, match="no endpoints available"):
        release.ask("GET", "/v1/models")
    keys: list[str] = []

    def once_away(method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        keys.append(headers["idempotency-key"])
        answer = behind(method, path, body, headers)
        return answer if len(keys) > 1 else None  # accepted, and the answer is lost

    fake.behind["suite-gateway:http"] = once_away
    id = release.submit(seconds=0)
    assert len(keys) == 2
    assert len(set(keys)) == 1
    fake.behind["suite-gateway:http"] = behind
    assert release.prediction(id)["status"] == "starting"
    assert len(release.ask("GET", "/v1/predictions")["results"]) == 1


@pytest.mark.slow
def test_a_nap_says_where_it_runs_and_ends_when_it_is_let_go(
    release: Release, pods: PretendCluster
) -> None:
    id = release.submit(seconds=60)
    where = release.running(id, 30)
    (pod,) = pods.pods.values()
    assert where == ("suite-worker-nap-0", "pretend-0", pod.worker.pid)
    assert release.where(id, attempt=1) == where
    assert release.where(id, attempt=2) is None
    release.let_go(where.pod)
    (output,) = release.succeeded([id], 30)
    assert (output["pod"], output["device"]) == where[:2]
    assert 0 < output["ended_at"] - output["started_at"] < 30
    assert release.where(id) is None
    assert release.predict(seconds=0.5)["ended_at"] > output["ended_at"] + 0.5, "let go twice"
    # So little memory is asked for.
    assert "torch" not in Path(f"/proc/{pod.worker.pid}/maps").read_text()
    with pytest.raises(AssertionError, match=r"'attempt': 1"):
        release.succeeded([id], 30, attempts=0)


@pytest.mark.slow
def test_what_is_left_is_canceled_at_once(release: Release, pods: PretendCluster) -> None:
    ids = [release.submit(seconds=60) for _ in range(5)]
    release.running(ids[0], 30)
    release.cancel_all()
    assert {p["status"] for p in release.over(ids, 30)} == {"canceled"}
    release.predict(seconds=0)
    release.cancel_all()  # what is over stays over


def test_whatever_installs_or_upgrades_is_rehearsed() -> None:
    """So its values are rendered, and a guard that refuses them is noticed without a cluster."""
    told = Path(__file__).read_text()
    for story in (busy, install, losses, rollout, scaling, uninstall, variants):
        for name, test in vars(story).items():
            if name.startswith("test_") and re.search(r"\.(install|upgrade)\(", getsource(test)):
                assert f".{name}(" in told, name


# --- the stories ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_story_of_the_first_install(
    release: Release, pods: PretendCluster, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_cluster_install.INITIAL_COOLDOWN", 8)
    pods.least = 1
    release.install()
    release.ready_workers(1)
    pods.least = 0
    install.test_at_min_0_one_worker_starts_and_keda_leaves_it_for_the_initial_cooldown(release)


@pytest.mark.slow
def test_the_story_of_the_smoke_test(
    release: Release,
    pods: PretendCluster,
    fake: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    catalog = (tmp_path / "catalog.yaml").read_text()
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    fake.add(path, "suite-catalog", data={"catalog.yaml": catalog})
    install.test_the_smoke_test_predicts(release)
    install.test_a_prediction_says_which_pod_and_device_ran_it(release)


@pytest.mark.slow
def test_the_story_of_busy_workers(
    release: Release, pods: PretendCluster, fake: FakeCluster, tmp_path: Path
) -> None:
    there = busy.Busy(release)
    busy.test_workers_that_run_at_the_same_time_hold_distinct_devices(there)
    busy.test_busy_pods_cost_more_to_delete_than_idle_ones(there)
    pods.start("quick")
    busy.test_an_upgrade_that_adds_a_model_disturbs_no_worker_of_another(there)
    busy.test_an_upgrade_and_a_rollback_of_the_charts_version_restart_no_pod(there, tmp_path)
    pods.pods[there.where[there.ids[0]].pod].object["metadata"]["uid"] = "another"
    with pytest.raises(AssertionError):
        there.undisturbed()
    busy.test_all_of_them_succeed_in_their_first_attempt(there)


@pytest.mark.slow
def test_the_stories_of_scaling(
    release: Release, pods: PretendCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_cluster_scaling.PREDICTIONS", 12)
    monkeypatch.setattr("random.uniform", lambda least, most: 0.5)
    scaling.test_scale_in_takes_idle_workers_and_no_busy_one(release)
    scaling.test_load_brings_workers_and_takes_them_again_and_nothing_runs_twice(release)


@pytest.mark.slow
def test_the_stories_of_losses(
    release: Release,
    pods: PretendCluster,
    namespace: SuiteNamespace,
    store: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses.test_a_killed_worker_process_gives_its_prediction_to_an_idle_one_within_the_promised_time(
        release
    )
    kubectl = namespace.kubectl

    def delete(*arguments: str, **more: Any) -> str:
        if arguments[:2] == ("delete", "pod"):
            pods.pods[arguments[2]].worker.kill()
        return kubectl(*arguments, **more)

    monkeypatch.setattr(namespace, "kubectl", delete)
    losses.test_a_pod_deleted_by_force_gives_its_prediction_back(release)

    def restart(release: Release) -> None:
        store.kill()
        store.start()

    monkeypatch.setattr(losses, "kill_ledger", restart)
    losses.test_nothing_accepted_is_lost_when_the_ledger_is_killed_under_load(release)


@pytest.mark.slow
def test_the_story_of_a_rollout(
    release: Release, pods: PretendCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = release.upgrade

    def upgrade(**changes: Any) -> None:
        own(**changes)
        pods.template += 1

    monkeypatch.setattr(release, "upgrade", upgrade)
    rollout.test_a_rollout_with_every_device_taken_ends_and_no_prediction_runs_twice(release)


@pytest.mark.slow
def test_the_story_of_rabbitmq(
    release: Release,
    pods: PretendCluster,
    namespace: SuiteNamespace,
    fake: FakeCluster,
    tmp_path: Path,
) -> None:
    fake.behind["rabbit-gateway:http"] = fake.behind["suite-gateway:http"]
    release_as(fake, "rabbit")
    pods.start("quick")
    variants.test_who_has_the_installers_role_alone_serves_with_rabbitmq_as_its_broker(namespace)
    rendered = (tmp_path / "rendered-rabbit").read_text()
    assert "name: rabbit-broker" in rendered or not program("helm")


def test_the_story_of_the_demo_model(
    release: Release, namespace: SuiteNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = {"metadata": {"name": "minilm"}, "status": {}}
    monkeypatch.setattr(release, "workers", lambda model: [pod])
    monkeypatch.setattr(namespace, "kubectl", lambda *_: variants.NO_WEIGHTS)
    with pytest.raises(pytest.skip.Exception, match="DEMO=true"):
        variants.test_the_demo_model_answers(release)


def test_the_story_of_the_uninstall(
    release: Release, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stateful,) = [thing for path, thing in fake.objects.items() if "statefulsets" in path]
    stateful["spec"] = {"replicas": 1, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    claim = "persistentvolumeclaim/data-suite-ledger-0"
    there = {claim, *(f"pod/{n}" for n in range(20))}

    def kubectl(*arguments: str) -> str:
        if arguments[0] == "api-resources":
            return "pods\npersistentvolumeclaims\nevents.events.k8s.io\npods.metrics.k8s.io\n"
        if arguments[0] == "delete":
            there.clear()
        assert arguments[1] in ("pods,persistentvolumeclaims", "pods,pvc")
        return "\n".join(there)

    def helm(*arguments: str) -> str:
        there.intersection_update({claim})
        return ""

    monkeypatch.setattr(release.namespace, "kubectl", kubectl)
    monkeypatch.setattr(release.namespace, "helm", helm)
    uninstall.test_an_uninstall_leaves_nothing_but_the_ledgers_volume(release)
    assert not there
