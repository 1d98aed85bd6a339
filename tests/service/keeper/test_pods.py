"""The worker pods: what is annotated, when, in which order, and what a Kubernetes in trouble costs."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fake_kubernetes import HANG, NAMESPACE, SELECTOR, FakeKubernetes
from prometheus_client import REGISTRY

from contract.settings import Settings
from service.keeper import pods as module
from service.keeper.pods import (
    COST,
    GUARDS,
    LIST_SECONDS,
    LOADED,
    MOST_PATCHES,
    Pods,
    connect_in_cluster,
)
from tests.support.waiting import until

CLUSTER_AUTOSCALER, KARPENTER = GUARDS
IN_CLUSTER = {"pod_namespace": NAMESPACE, "pod_selector": SELECTOR}


class PodsHarness:
    """A cluster, and a keeper's side of it whose clock the test moves."""

    def __init__(self, cluster: FakeKubernetes, settings: Settings) -> None:
        self.cluster = cluster
        self.settings = settings
        self.now = 1000.0
        self.pods = self._open()

    def _open(self, **changed: Any) -> Pods:
        settings = self.settings.model_copy(update=changed)
        return Pods(settings, self.cluster.connect, clock=lambda: self.now)

    def restart(self, **changed: Any) -> None:
        """The keeper ends, and another one begins."""
        self.close()
        self.pods = self._open(**changed)

    def annotate(
        self, busy: Mapping[str, float] | None = None, *, after: float = 1.0, **loaded: str
    ) -> list[str]:
        """The pods that were patched in one round, with a sweep before it."""
        if busy is not None:
            self.now += after
            self.pods.update_workers(busy, loaded)
        before = len(self.cluster.patches)
        asyncio.run(self.pods.annotate_pods())
        return [patch.pod for patch in self.cluster.patches[before:]]

    def cost(self, name: str) -> str | None:
        return self.cluster.annotations(name).get(COST)

    def close(self) -> None:
        if self.pods._api is not None:
            self.pods._api.api_client.close()


@pytest.fixture
def cluster() -> Iterator[FakeKubernetes]:
    with FakeKubernetes() as started:
        yield started


@pytest.fixture
def harness(cluster: FakeKubernetes, settings: Settings) -> Iterator[PodsHarness]:
    opened = PodsHarness(cluster, settings.model_copy(update=IN_CLUSTER))
    yield opened
    opened.close()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The lines of this room, as they come."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Handler()
    caplog.set_level("INFO", module.logger.name)
    module.logger.addHandler(handler)
    yield lines
    module.logger.removeHandler(handler)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def up() -> bool:
    return metric("soloist_keeper_kubernetes_up") == 1


# --- what is annotated ------------------------------------------------------------------------------


def test_a_busy_pod_costs_ten_and_its_age_and_an_idle_one_nothing(harness: PodsHarness) -> None:
    harness.cluster.add("w1", "w2")
    assert harness.annotate({"w1": 7.9}) == ["w1"]
    assert (harness.cost("w1"), harness.cost("w2")) == ("17", None)
    assert harness.annotate({}, after=6) == ["w1"]
    assert harness.cost("w1") == "0"


def test_what_a_worker_has_loaded_stands_on_its_pod_and_is_written_once(
    harness: PodsHarness,
) -> None:
    harness.cluster.add("w1", "w2")
    said = "bfloat16 on NVIDIA H200, 41 s, 1.2 GiB"
    assert harness.annotate({"w2": 1.0}, w1=said, stranger="x") == ["w2", "w1"]
    assert harness.cluster.annotations("w1")[LOADED] == said
    assert LOADED not in harness.cluster.annotations("w2")
    assert harness.annotate({"w2": 2.0}, w1=said) == []
    assert harness.annotate({"w1": 1.0, "w2": 3.0}) == ["w1"]
    assert harness.cluster.annotations("w1")[LOADED] == said
    harness.restart()
    assert harness.annotate({"w1": 2.0, "w2": 4.0}, w1=said) == []


def test_only_changes_are_patched(harness: PodsHarness) -> None:
    harness.cluster.add("w1", "w2")
    harness.annotate({"w1": 0})
    for age in range(1, 25):
        assert harness.annotate({"w1": age}) == []


def test_the_age_is_written_anew_when_it_has_doubled(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    for age in range(1801):
        harness.annotate({"w1": age})
    harness.annotate({}, after=6)
    costs = [int(patch.annotations[COST] or "") for patch in harness.cluster.patches]

    assert costs == [10, 40, 70, 130, 250, 490, 970, 0]


def test_the_next_batch_after_a_long_one_counts_from_its_own_start(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.annotate({"w1": 600})
    harness.annotate({"w1": 0.2})

    assert harness.cost("w1") == "10"


def test_an_age_beyond_measure_still_is_a_cost(harness: PodsHarness) -> None:
    harness.cluster.add("w1", "w2")
    harness.annotate({"w1": 1e12, "w2": -5})

    assert (harness.cost("w1"), harness.cost("w2")) == ("2147483647", "10")


def test_a_worker_that_takes_the_next_batch_at_once_is_not_patched_twice(
    harness: PodsHarness,
) -> None:
    harness.cluster.add("w1")
    assert harness.annotate({"w1": 1}) == ["w1"]
    for _ in range(10):
        assert harness.annotate({}, after=0.2) == []
        assert harness.annotate({}, after=0.6) == []
        assert harness.annotate({"w1": 0}, after=0.1) == []
    assert harness.annotate({}, after=0.9) == []
    assert harness.annotate({}, after=0.2) == ["w1"]
    assert harness.annotate({"w1": 0}, after=0) == ["w1"], "becoming busy is not delayed"


def test_those_that_became_busy_come_first_then_old_batches_then_idle_pods(
    harness: PodsHarness,
) -> None:
    harness.cluster.add("idle", "old", "older", "new", "newer")
    harness.annotate({"idle": 1, "old": 20, "older": 50})
    harness.annotate({"old": 60, "older": 200}, after=0.5)
    harness.cluster.patches.clear()

    busy = {"old": 300, "older": 900, "new": 3, "newer": 1}
    assert harness.annotate(busy, after=6) == ["new", "newer", "older", "old", "idle"]


def test_a_busy_worker_without_a_pod_is_ignored_and_asked_for_once(harness: PodsHarness) -> None:
    harness.cluster.add("other", labels={"app": "gateway"})
    harness.annotate({"elsewhere": 1, "other": 1})
    for _ in range(5):
        assert harness.annotate({"elsewhere": 2, "other": 2}) == []
    assert harness.cluster.lists == 1


def test_a_pod_that_is_new_and_busy_is_found_at_once(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.annotate({"w1": 1})
    harness.cluster.add("w2")
    assert harness.annotate({"w1": 1, "w2": 0}) == ["w2"]
    assert harness.cluster.lists == 2


def test_a_pod_that_is_about_to_end_is_left_alone(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.cluster.pods["w1"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert harness.annotate({"w1": 1}) == []


# --- what was there before --------------------------------------------------------------------------


def test_a_keeper_that_starts_leaves_alone_what_is_right_and_mends_what_is_not(
    harness: PodsHarness,
) -> None:
    harness.cluster.add("busy", "stale", "idle", "zero", "odd")
    harness.annotate({"busy": 20, "stale": 20, "zero": 1})
    harness.annotate({"busy": 25, "stale": 25}, after=6)
    harness.cluster.annotations("odd")[COST] = "a lot"
    harness.restart()

    assert harness.annotate({"busy": 26}) == ["odd", "stale"]
    assert [harness.cost(name) for name in ("busy", "stale", "idle", "zero", "odd")] == [
        "30",
        "0",
        None,
        "0",
        "0",
    ]


def test_what_others_annotate_is_kept(harness: PodsHarness) -> None:
    harness.cluster.add("w1", example__note="mine", cluster__x="y")
    harness.annotate({"w1": 0})

    assert harness.cluster.annotations("w1") == {
        "example/note": "mine",
        "cluster/x": "y",
        COST: "10",
    }


def test_a_cost_that_somebody_changed_is_put_right_with_the_next_list(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.annotate({"w1": 0})
    harness.cluster.annotations("w1")[COST] = "0"
    assert harness.annotate({"w1": 1}) == []
    assert harness.annotate({"w1": 2}, after=LIST_SECONDS) == ["w1"]


def test_a_pod_that_was_deleted_and_made_again_is_patched_again(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.annotate({"w1": 0})
    harness.cluster.add("w1")

    assert harness.annotate({"w1": 1}, after=LIST_SECONDS) == ["w1"]
    assert harness.cost("w1") == "11"


def test_a_pod_that_went_is_forgotten_and_the_others_are_served(harness: PodsHarness) -> None:
    harness.cluster.add("w1", "w2", "w3")
    harness.annotate({})
    gone = metric("soloist_pod_patches_total", outcome="gone")
    del harness.cluster.pods["w2"]
    busy = {"w1": 3, "w2": 2, "w3": 1}

    assert harness.annotate(busy) == ["w1", "w3"]
    assert metric("soloist_pod_patches_total", outcome="gone") - gone == 1
    assert harness.annotate(busy) == []
    assert harness.cluster.lists == 1
    assert up()


# --- eviction ---------------------------------------------------------------------------------------


def test_on_request_busy_pods_are_guarded_against_eviction_until_they_are_idle(
    harness: PodsHarness,
) -> None:
    harness.restart(protect_busy_pods=True)
    harness.cluster.add("w1", "w2")
    assert harness.annotate({"w1": 0}) == ["w1"]
    guarded = {CLUSTER_AUTOSCALER: "false", KARPENTER: "true"}
    assert harness.cluster.annotations("w1") == {COST: "10", **guarded}
    assert harness.annotate({"w1": 1}) == []
    harness.annotate({}, after=6)

    assert harness.cluster.annotations("w1") == {COST: "0"}
    assert harness.cluster.annotations("w2") == {}


def test_guards_are_set_and_removed_where_an_earlier_keeper_did_not(harness: PodsHarness) -> None:
    harness.cluster.add("busy", "idle")
    harness.annotate({"busy": 5})
    harness.cluster.annotations("idle")[KARPENTER] = "true"
    harness.restart(protect_busy_pods=True)
    harness.annotate({"busy": 6})

    assert harness.cluster.annotations("busy") == {COST: "16", **GUARDS}
    assert harness.cluster.annotations("idle") == {COST: "0"}


def test_unasked_for_guards_are_neither_set_nor_removed(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.cluster.annotations("w1")[KARPENTER] = "true"
    harness.annotate({"w1": 0})
    harness.annotate({}, after=6)

    assert harness.cluster.annotations("w1") == {COST: "0", KARPENTER: "true"}


# --- how fast ---------------------------------------------------------------------------------------


def test_a_thousand_pods_are_patched_so_many_at_a_look(harness: PodsHarness) -> None:
    names = [f"w{n}" for n in range(1000)]
    harness.cluster.add(*names)
    busy = {name: float(age) for age, name in enumerate(names)}
    first = [harness.annotate(busy, after=0) for _ in range(3)]

    assert [len(patched) for patched in first] == [MOST_PATCHES] * 3
    assert list(chain(*first)) == names[: -3 * MOST_PATCHES - 1 : -1], "the oldest batch first"
    harness.cluster.add("late")
    harness.now += LIST_SECONDS
    assert harness.annotate(busy | {"late": 5000.0})[0] == "late"
    rest = 0
    while patched := harness.annotate(busy, after=0):
        rest += len(patched)
    assert rest + 4 * MOST_PATCHES == 1001
    assert all(int(harness.cost(name) or 0) == 10 + age for name, age in busy.items())


def test_looks_are_a_while_apart(harness: PodsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.05)
    names = [f"w{n}" for n in range(5 * MOST_PATCHES)]
    harness.cluster.add(*names)

    async def follow() -> None:
        running = asyncio.create_task(harness.pods.keep_annotated())
        await asyncio.sleep(0)
        assert harness.cluster.requests == 0, "before the first sweep nobody knows who is busy"
        harness.pods.update_workers(dict.fromkeys(names, 1.0))
        await asyncio.to_thread(
            until, "all are patched", lambda: len(harness.cluster.patches) == len(names)
        )
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(follow(), 30))
    at = [patch.at for patch in harness.cluster.patches]
    assert all(at[n + MOST_PATCHES] - at[n] >= 0.05 for n in range(len(at) - MOST_PATCHES))


# --- trouble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "patch"])
def test_a_missing_right_is_told_once_and_healed_by_granting_it(
    harness: PodsHarness, told: list[str], verb: str
) -> None:
    harness.cluster.add("w1", "w2")
    harness.cluster.fail(verb, 403)
    for _ in range(200):
        assert harness.annotate({"w1": 1, "w2": 1}) == []
    assert told == [f"no right to {verb} pods: busy ones look idle"]
    assert not up()
    assert harness.cluster.requests <= 4 + 200 / LIST_SECONDS, "tried again rarely"
    harness.cluster.heal()
    for _ in range(60):
        harness.annotate({"w1": 1, "w2": 1})

    assert (harness.cost("w1"), harness.cost("w2")) == ("11", "11")
    assert told[1:] == [f"we have the right to {verb} pods now"]
    assert up()


@pytest.mark.parametrize("status", [401, 429, 500, 503])
@pytest.mark.parametrize("verb", ["list", "patch"])
def test_a_failing_api_is_told_once_and_left_alone_for_a_while(
    harness: PodsHarness, told: list[str], verb: str, status: int
) -> None:
    harness.cluster.add("w1", "w2")
    harness.cluster.fail(verb, status)
    for _ in range(30):
        assert harness.annotate({"w1": 1, "w2": 1}) == []
    assert told == ["the Kubernetes API fails: pods stay annotated as they are"]
    assert not up()
    assert harness.cluster.requests <= 12, "tried every five seconds"
    harness.cluster.heal()
    harness.annotate({"w1": 1, "w2": 1}, after=6)

    assert (harness.cost("w1"), harness.cost("w2")) == ("11", "11")
    assert told[1:] == ["the Kubernetes API works again"]
    assert up()


def test_a_busy_api_says_for_how_long(harness: PodsHarness) -> None:
    harness.cluster.add("w1")
    harness.cluster.fail("patch", 429, Retry_After="20")
    harness.annotate({"w1": 1})
    harness.cluster.heal()
    assert harness.annotate({"w1": 1}, after=19) == []
    assert harness.annotate({"w1": 1}, after=2) == ["w1"]


def test_an_api_that_does_not_answer_costs_one_timeout(
    harness: PodsHarness, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.2)
    harness.cluster.add(*(f"w{n}" for n in range(20)))
    busy = {f"w{n}": 1.0 for n in range(20)}
    harness.cluster.fail("patch", HANG)
    harness.annotate(busy)
    harness.annotate(busy)
    assert harness.cluster.requests == 2
    assert told == ["the Kubernetes API fails: pods stay annotated as they are"]
    harness.cluster.heal()
    assert len(harness.annotate(busy, after=6)) == 20


def test_an_api_that_is_gone_is_found_again(harness: PodsHarness, told: list[str]) -> None:
    harness.cluster.add("w1")
    harness.annotate({})
    harness.cluster.stop()
    harness.annotate({"w1": 1})
    harness.annotate({"w1": 1}, after=6)
    assert told == ["the Kubernetes API fails: pods stay annotated as they are"]
    harness.cluster.start()

    assert harness.annotate({"w1": 1}, after=6) == ["w1"]
    assert told[1:] == ["the Kubernetes API works again"]


def test_who_would_not_be_patched_waits_for_the_next_list_and_holds_up_nobody(
    harness: PodsHarness,
) -> None:
    harness.cluster.add("w1", "w2")
    harness.cluster.fail("w1", 409)
    refused = metric("soloist_pod_patches_total", outcome="refused")
    assert harness.annotate({"w1": 2, "w2": 1}) == ["w2"]
    assert harness.annotate({"w1": 2, "w2": 1}) == []
    assert metric("soloist_pod_patches_total", outcome="refused") - refused == 1
    harness.cluster.heal()

    assert harness.annotate({"w1": 2, "w2": 1}, after=LIST_SECONDS) == ["w1"]


def test_what_nobody_thought_of_does_not_end_it(harness: PodsHarness, told: list[str]) -> None:
    harness.cluster.add("w1")
    harness.cluster.pods["w1"]["annotations"] = ["no map"]
    harness.annotate({"w1": 1})
    assert told == ["a look at the pods failed"]
    harness.cluster.add("w1")

    assert harness.annotate({"w1": 1}, after=6) == ["w1"]


# --- in a cluster -----------------------------------------------------------------------------------


def test_in_a_cluster_the_service_account_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kubernetes.config import incluster_config

    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("secret")
    authority.write_text("certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr("kubernetes.client.ApiClient", lambda configuration: configuration)
    configuration = connect_in_cluster().api_client

    assert configuration.host == "https://[fd00::1]:443"
    assert configuration.get_api_key_with_prefix("BearerToken") == "bearer secret"
    assert configuration.ssl_ca_cert == str(authority)
    assert configuration.retries is False


@pytest.mark.slow
def test_a_keeper_that_names_no_pods_does_not_load_the_client() -> None:
    code = "import sys, service.app, service.keeper.app; exit('kubernetes' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_outside_of_a_cluster_it_says_what_is_missing(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    pods = Pods(settings.model_copy(update=IN_CLUSTER))
    pods.update_workers({"w1": 1})
    asyncio.run(pods.annotate_pods())
    (record,) = [record for record in caplog.records if record.name == module.logger.name]

    assert "Service host/port is not set" in vars(record)["cause"]
