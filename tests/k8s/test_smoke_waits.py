"""`python -m k8s smoke` while it waits: it says why, once, and gives up on what does not heal."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from fake_cluster import FakeCluster, Object
from release_objects import APPS, PODS, SCALED, add_pod, add_scaling, condition, ended, labels
from smoke_gateway import DONE, Answer, FakeGateway, Smoke, prediction, shown

from k8s import smoke as module
from tests.support.fake_api_server import refusal

WORKER = "soloist-worker-spam"
SCHEDULED = condition("PodScheduled", True)
NO_GPU = condition("PodScheduled", False, "Unschedulable", "4 Insufficient nvidia.com/gpu")
WAITING = prediction("starting", queue_position=1)
NOT_FOUND = "rpc error: code = NotFound desc = failed to pull: not found"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes with each look at it."""
    ticks = itertools.count()
    monkeypatch.setattr(module.Smoke, "_spent", lambda self: float(next(ticks)))


def image(reason: str, message: str) -> Object:
    waiting = {"reason": reason, "message": message}
    return {"name": "worker", "image": "reg/worker:9", "state": {"waiting": waiting}}


def worker(cluster: FakeCluster, *containers: Object, name: str = "w1", **more: Any) -> Object:
    return add_pod(
        cluster, name, conditions=[SCHEDULED], containerStatuses=list(containers), **more
    )


def deployment(cluster: FakeCluster, replicas: int, *conditions: Object) -> None:
    cluster.add(
        f"{APPS}/deployments",
        WORKER,
        labels=labels("worker", "spam"),
        spec={"replicas": replicas},
        status={"conditions": list(conditions)},
    )


Change = Callable[[], Any]


def after(*changes: Change, times: int = 1) -> FakeGateway:
    """A gateway behind which these things happen, a number of times, before the prediction succeeds."""

    def step(change: Change) -> Callable[[], Answer]:
        def answer() -> Answer:
            change()
            return WAITING

        return answer

    return FakeGateway(*[step(change) for change in changes] * times, DONE)


def last(result: Any) -> str:
    return str(result.err.splitlines()[-1])


def gives_up(smoke: Smoke, gateway: FakeGateway, *arguments: str) -> str:
    """The sentence with which it gives up, long before the timeout."""
    result = smoke(gateway, "--timeout", "100000", *arguments)
    assert (result.code, result.out) == (1, "")
    lines = shown(result)[:-1]
    assert len(lines) == len(set(lines)), lines
    return last(result)


# --- what does not heal -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [
            ("ErrImagePull", NOT_FOUND),
            ("ImagePullBackOff", 'Back-off pulling image "reg/worker:9"'),
        ],
        [
            ("ErrImagePull", NOT_FOUND),
            (
                "ImagePullBackOff",
                f'Back-off pulling image "reg/worker:9": ErrImagePull: {NOT_FOUND}',
            ),
        ],
        [("ErrImagePull", "pull access denied"), ("ErrImagePull", "401 Unauthorized")],
        [("InvalidImageName", "couldn't parse image name"), ("InvalidImageName", "")],
    ],
)
def test_an_image_that_is_not_there_is_named_with_its_pod_and_soon_given_up(
    smoke: Smoke, release: FakeCluster, messages: list[tuple[str, str]]
) -> None:
    """The kubelet alternates between two reasons, in several wordings: that is one line."""
    changes = [lambda m=m: worker(release, image(*m)) for m in messages]
    gateway = after(*changes, times=500)
    said = gives_up(smoke, gateway)

    assert "pulling the image (pod w1: cannot pull reg/worker:9: " in said
    assert said.endswith("; see images.registry, images.*.tag and images.pullSecrets")
    assert gateway.seen[-1][1] == "/v1/predictions/p1/cancel"
    assert len(gateway.seen) < 100


def test_the_reason_stands_while_the_kubelet_only_says_that_it_waits(
    smoke: Smoke, release: FakeCluster
) -> None:
    bare = image("ImagePullBackOff", 'Back-off pulling image "reg/worker:9"')
    first = lambda: worker(release, image("ErrImagePull", NOT_FOUND))  # noqa: E731
    gateway = after(first, *[lambda: worker(release, bare)] * 500)

    assert "not found" in gives_up(smoke, gateway)


def test_a_model_that_the_hub_does_not_have_is_given_up_with_its_sentence(
    smoke: Smoke, release: FakeCluster
) -> None:
    said = "model 'spam': the hub has no such model (team/spma)"
    refused = ended(78, name="fetch", restarts=2)
    refused["lastState"]["terminated"]["message"] = f"soloist worker: {said}\n"
    add_pod(release, "w1", conditions=[SCHEDULED], initContainerStatuses=[refused])

    assert f"pod w1: refused to start: soloist worker: {said}" in gives_up(
        smoke, FakeGateway(WAITING)
    )


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (
            {
                "name": "worker",
                "state": {
                    "waiting": {
                        "reason": "CreateContainerConfigError",
                        "message": 'secret "hub" not found',
                    }
                },
            },
            'cannot start worker: secret "hub" not found)',
        ),
        (ended(137, "OOMKilled", restarts=3), "worker was killed for its memory, 3 restarts"),
        (ended(1, restarts=3), "worker ends with exit code 1: "),
    ],
)
def test_a_worker_that_never_starts_is_given_up(
    smoke: Smoke, release: FakeCluster, container: Object, says: str
) -> None:
    worker(release, container)

    assert f"starting the worker (pod w1: {says}" in gives_up(smoke, FakeGateway(WAITING))


def test_a_gateway_whose_image_is_not_there_is_given_up(smoke: Smoke, release: FakeCluster) -> None:
    release.add(
        PODS,
        "g1",
        labels=labels("gateway"),
        status={
            "conditions": [SCHEDULED],
            "containerStatuses": [{**image("ErrImagePull", NOT_FOUND), "name": "gateway"}],
        },
    )
    said = gives_up(smoke, FakeGateway(refusal(503, "no endpoints available")))

    assert "asking the gateway (pod g1: cannot pull reg/worker:9: " in said


def test_a_ledger_that_never_starts_is_what_the_gateway_waits_for(
    smoke: Smoke, release: FakeCluster
) -> None:
    release.add(PODS, "g1", labels=labels("gateway"), status={"conditions": [SCHEDULED]})
    message = 'persistentvolumeclaim "data-soloist-ledger-0" not found'
    unplaced = condition("PodScheduled", False, "Unschedulable", message)
    release.add(PODS, "l1", labels=labels("ledger"), status={"conditions": [unplaced]})
    said = gives_up(smoke, FakeGateway((503, {"title": "x", "detail": "the ledger is away"})))

    assert "asking the gateway (pod l1: waits for its volume: " in said


@pytest.mark.parametrize("case", ["unscaled", "paused"])
def test_workers_that_nothing_starts_are_not_waited_for(
    smoke: Smoke, release: FakeCluster, case: str
) -> None:
    deployment(release, 0)
    if case == "paused":
        add_scaling(release, conditions=[condition("Ready", True), condition("Paused", True)])
    said = gives_up(smoke, FakeGateway(WAITING))

    why = "scaling is paused" if case == "paused" else "nothing scales them"
    assert f"queued (no worker runs, and {why}); set scaling." in said


# --- what may heal ----------------------------------------------------------------------------------


def succeeds(smoke: Smoke, gateway: FakeGateway) -> list[str]:
    """What was shown until it succeeded."""
    result = smoke(gateway, "--timeout", "100000")
    assert result.code == 0, result.err
    lines = shown(result)
    assert len(lines) == len(set(lines)), lines
    return lines


def test_a_node_with_a_gpu_is_waited_for_and_said(smoke: Smoke, release: FakeCluster) -> None:
    lines = succeeds(smoke, after(*[lambda: add_pod(release, "w1", conditions=[NO_GPU])] * 200))

    assert "waiting for a node (pod w1: 4 Insufficient nvidia.com/gpu)" in lines


@pytest.mark.parametrize(
    "container",
    [
        image("ErrImagePull", "dial tcp: i/o timeout"),
        image("ImagePullBackOff", 'Back-off pulling image "reg/worker:9"'),
        ended(78, restarts=0),
        ended(137, "OOMKilled", restarts=1),
    ],
)
def test_a_pod_that_may_heal_is_waited_for(
    smoke: Smoke, release: FakeCluster, container: Object
) -> None:
    lines = succeeds(smoke, after(*[lambda: worker(release, container)] * 200))

    assert len([line for line in lines if "pod w1: " in line]) == 1


def test_one_worker_that_gets_on_is_enough(smoke: Smoke, release: FakeCluster) -> None:
    worker(release, image("ErrImagePull", NOT_FOUND), name="w1")
    worker(release, {"name": "worker", "state": {"running": {}}}, name="w2")

    assert "loading the model" in succeeds(smoke, after(*[lambda: None] * 200))


def test_a_reason_that_passes_begins_its_time_anew(smoke: Smoke, release: FakeCluster) -> None:
    bad, good = image("ErrImagePull", NOT_FOUND), {"name": "worker", "state": {"running": {}}}
    changes = [lambda: worker(release, bad), lambda: worker(release, good)]
    lines = succeeds(smoke, after(*changes, times=100))

    assert len([line for line in lines if "cannot pull" in line]) == 1


def test_a_worker_that_starts_again_and_again_is_told_of_once(
    smoke: Smoke, release: FakeCluster
) -> None:
    runs = {"name": "worker", "ready": False, "restartCount": 1, "state": {"running": {}}}
    changes = [lambda: worker(release, ended(1, restarts=1)), lambda: worker(release, runs)]
    lines = succeeds(smoke, after(*changes, times=50))

    assert [line.partition(" (")[0] for line in lines].count("starting the worker") == 1


def test_what_keda_says_is_said_while_nobody_starts(smoke: Smoke, release: FakeCluster) -> None:
    deployment(release, 0)
    add_scaling(release, conditions=[condition("Ready", False, message="no such secret")])
    lines = succeeds(smoke, after(*[lambda: None] * 50))

    assert "queued (KEDA is not ready to scale it: no such secret)" in lines
    assert f"{SCALED}/{WORKER}" in release.objects


def test_a_quota_that_forbids_pods_is_said(smoke: Smoke, release: FakeCluster) -> None:
    deployment(release, 1, condition("ReplicaFailure", True, "FailedCreate", "exceeded quota"))

    assert "queued (no pod may be made: exceeded quota)" in succeeds(
        smoke, after(*[lambda: None] * 50)
    )


def test_a_gateway_that_comes_and_goes_is_told_of_once(smoke: Smoke) -> None:
    away = refusal(503, "no endpoints available")
    full = (429, {"title": "Full", "detail": "the queue is full"})
    lines = succeeds(smoke, FakeGateway(*[away, full] * 50, DONE))

    assert lines == [
        "asking the gateway",
        "asking the gateway (no endpoints available)",
        "asking the gateway (the queue is full)",
        "succeeded",
    ]
