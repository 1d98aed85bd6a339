"""`python -m k8s check` after an install: each part of a release, well and not."""

from collections.abc import Callable
from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster, Object
from release_objects import (
    APPS,
    CLAIMS,
    HPAS,
    KEEPER,
    METRICS,
    PODS,
    SCALED,
    add_pod,
    add_scaling,
    condition,
    ended,
    labels,
)

from tests.support.fake_api_server import refusal

WORKER = "soloist-worker-spam"
POD = "soloist-worker-spam-1"
SCALING = "scaling of spam"


def test_a_healthy_release_has_only_good_lines(installed: FakeCluster, check: Run) -> None:
    result = check()

    assert result.code == 0
    assert all(line.startswith("ok ") for line in result.lines), result.out
    subjects = [line[6:].partition(":")[0] for line in result.lines]
    assert subjects == [
        "kubernetes",
        "keda",
        "external metrics",
        "volume data-soloist-ledger-0",
        "gateway",
        "keeper",
        "worker spam",
        "ledger",
        "rights of keeper",
        "scaling of spam",
        "broker connection",
        "numbers of spam",
    ]


def test_another_release_is_not_this_one(installed: FakeCluster, check: Run) -> None:
    result = check(None, "--release", "other")

    assert "storage of ledger" in result.out
    assert "scaling of" not in result.out


def test_values_that_are_given_are_checked_for_the_upgrade(
    installed: FakeCluster, check: Run
) -> None:
    result = check({"images": {"pullSecrets": ["registry"]}})

    assert result.line("secret registry").startswith("error ")
    assert "scaling of spam" in result.out


# --- scaling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"conditions": []}, "error KEDA has not looked at it"),
        (
            {"conditions": [condition("Ready", False, message="no such target")]},
            "error KEDA is not ready to scale it: no such target; kubectl -n ml describe scaledobject",
        ),
        (
            {
                "conditions": [
                    condition("Ready", True),
                    condition("Fallback", True, message="3 of 3"),
                ]
            },
            "error KEDA cannot read the ledger and holds the fallback: 3 of 3; see the ledger",
        ),
        ({"health": {"s0-redis": {"status": "Failing"}}}, "warn KEDA's last looks at the ledger"),
        ({"conditions": [condition("Ready", True), condition("Paused", True)]}, "warn paused"),
        ({"conditions": [condition("Ready", True)]}, "ok ready, idle"),
    ],
)
def test_a_scaled_object_says_what_keeps_it_from_scaling(
    installed: FakeCluster, check: Run, status: Object, line: str
) -> None:
    add_scaling(installed, **status)
    level, _, says = line.partition(" ")

    assert check().line(SCALING).startswith(f"{level} {SCALING}: {says}")


def test_paused_is_also_an_annotation(installed: FakeCluster, check: Run) -> None:
    scaled = installed.objects[f"{SCALED}/{WORKER}"]
    scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused-replicas": "0"}

    assert "paused; set scaling.paused: false" in check().line(SCALING)


def conditions(*changed: Object) -> list[Object]:
    base = {each["type"]: each for each in (condition("AbleToScale", True), *changed)}
    return list(base.values())


@pytest.mark.parametrize(
    ("listed", "line"),
    [
        (
            conditions(condition("AbleToScale", False, message="no target")),
            "error its HPA cannot scale: no target; see its Deployment",
        ),
        (
            conditions(condition("ScalingActive", False, "FailedGetExternalMetric", "no metric")),
            "error its HPA has no number to scale by: no metric; see the APIService v1beta1",
        ),
        (
            conditions(condition("ScalingActive", False, "ScalingDisabled")),
            "ok ready, active",
        ),
        (
            conditions(condition("ScalingLimited", True, "TooManyReplicas")),
            "warn wants more than its maximum of 4; raise scaling.max of spam",
        ),
        ([], "warn its HPA has not been looked at yet"),
    ],
)
def test_an_hpa_says_whether_it_can_scale(
    installed: FakeCluster, check: Run, listed: list[Object], line: str
) -> None:
    installed.objects[f"{HPAS}/keda-hpa-{WORKER}"]["status"]["conditions"] = listed
    deployment(installed, "worker").update(spec={"replicas": 4}, status={"readyReplicas": 4})
    level, _, says = line.partition(" ")

    assert check().line(SCALING).startswith(f"{level} {SCALING}: {says}")


def test_a_missing_hpa_is_an_error(installed: FakeCluster, check: Run) -> None:
    del installed.objects[f"{HPAS}/keda-hpa-{WORKER}"]

    assert "KEDA has not made its HPA" in check().line(SCALING)


def test_the_gateways_hpa_reads_the_metrics_server(installed: FakeCluster, check: Run) -> None:
    listed = conditions(condition("ScalingActive", False, "FailedGetResourceMetric", "none"))
    installed.add(HPAS, "soloist-gateway", status={"conditions": listed})

    assert check().line("scaling of gateway").endswith("see metrics-server")


def test_the_gateways_maximum_is_the_gateways_value(installed: FakeCluster, check: Run) -> None:
    listed = conditions(condition("ScalingLimited", True, "TooManyReplicas"))
    installed.add(HPAS, "soloist-gateway", spec={"maxReplicas": 2}, status={"conditions": listed})

    assert check().line("scaling of gateway") == (
        "warn scaling of gateway: wants more than its maximum of 2; raise gateway.hpa.max"
    )


# --- the numbers ------------------------------------------------------------------------------------


def test_kedas_number_stands_beside_the_keepers(installed: FakeCluster, check: Run) -> None:
    assert check().line("numbers of spam") == (
        "ok numbers of spam: the keeper counts 10 queued, 2 running, 1 busy workers, "
        "which makes 12; KEDA says 12"
    )


def hpa_value(installed: FakeCluster, value: str, replicas: int) -> None:
    status = installed.objects[f"{HPAS}/keda-hpa-{WORKER}"]["status"]
    status["currentReplicas"] = replicas
    status["currentMetrics"] = [{"external": {"current": {"averageValue": value}}}]


def test_numbers_that_are_far_apart_are_a_warning(installed: FakeCluster, check: Run) -> None:
    hpa_value(installed, "500m", 2)
    line = check().line("numbers of spam")

    assert line.startswith("warn ")
    assert "which makes 12; KEDA says 1; check again" in line


def test_work_that_keda_does_not_see_at_zero_is_a_warning(
    installed: FakeCluster, check: Run
) -> None:
    hpa_value(installed, "0", 0)
    assert check().line("numbers of spam").startswith("ok ")

    add_scaling(installed, conditions=[condition("Ready", True), condition("Active", False)])
    hpa_value(installed, "0", 0)

    assert "KEDA sees nothing to do; check again" in check().line("numbers of spam")


@pytest.mark.parametrize("formula", ["max(queued + running, busy * 8, office * 8)", "queued"])
def test_a_formula_of_ones_own_is_only_shown(
    installed: FakeCluster, check: Run, formula: str
) -> None:
    spec = installed.objects[f"{SCALED}/{WORKER}"]["spec"]
    spec["advanced"]["scalingModifiers"]["formula"] = formula

    assert check().line("numbers of spam").endswith(f"KEDA says 12 by {formula}")


def test_an_hpa_that_has_no_number_yet(installed: FakeCluster, check: Run) -> None:
    installed.objects[f"{HPAS}/keda-hpa-{WORKER}"]["status"]["currentMetrics"] = []

    assert check().line("numbers of spam").endswith("KEDA says nothing yet")


def test_a_broker_that_the_keeper_does_not_reach_is_an_error(
    installed: FakeCluster, check: Run
) -> None:
    assert check().line("broker connection") == "ok broker connection: the keeper has one"
    away = METRICS.replace("broker_up 1.0", "broker_up 0.0")
    installed.behind["soloist-keeper-1:8001"] = lambda *_: (200, away)
    result = check()

    assert result.code == 1
    assert "see `broker` in your values, its Secret" in result.line("broker connection")


def test_a_keeper_out_of_reach_is_a_warning(installed: FakeCluster, check: Run) -> None:
    del installed.behind["soloist-keeper-1:8001"]
    result = check()

    assert result.code == 0
    assert "the keeper's metrics cannot be read from here: no endpoints" in result.line("numbers")


def test_the_metrics_that_are_read_are_those_that_the_keeper_has() -> None:
    from service.keeper import metrics as real  # after the room's rule: only a test may

    names = {line.partition("{")[0].partition(" ")[0] for line in METRICS.splitlines()}
    gauges = (real.QUEUE_DEPTH, real.BUSY_WORKERS, real.LEDGER_UP, real.BROKER_UP)
    assert names == {gauge.describe()[0].name for gauge in gauges}


# --- Deployments, pods, volumes ---------------------------------------------------------------------


def deployment(cluster: FakeCluster, component: str) -> Object:
    name = WORKER if component == "worker" else f"soloist-{component}"
    return cluster.objects[f"{APPS}/deployments/{name}"]


def test_a_gateway_that_is_not_ready_is_an_error(installed: FakeCluster, check: Run) -> None:
    deployment(installed, "gateway")["status"] = {"readyReplicas": 1}
    result = check()

    assert result.code == 1
    assert result.line("gateway") == (
        "error gateway: 1 of 2 ready; kubectl -n ml describe deployment soloist-gateway"
    )


def test_a_ledger_that_is_not_ready_is_an_error(installed: FakeCluster, check: Run) -> None:
    installed.objects[f"{APPS}/statefulsets/soloist-ledger"]["status"] = {}

    assert check().line("ledger").endswith("describe statefulset soloist-ledger")


@pytest.mark.parametrize(
    ("wanted", "status", "line"),
    [
        (0, {}, "ok worker spam: at zero"),
        (
            3,
            {"readyReplicas": 1},
            "warn worker spam: 1 of 3 ready; nothing yet: a model takes its time",
        ),
        (
            1,
            {"conditions": [condition("Progressing", False, message="took too long")]},
            "error worker spam: 0 of 1 ready: took too long",
        ),
    ],
)
def test_workers_may_be_at_zero_or_loading(
    installed: FakeCluster, check: Run, wanted: int, status: Object, line: str
) -> None:
    deployment(installed, "worker").update(spec={"replicas": wanted}, status=status)
    del installed.objects[f"{PODS}/{POD}"]

    assert check().line("worker spam").startswith(line)


def pod_line(check: Run) -> str:
    return check().line(f"pod {POD}")


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (ended(137, "OOMKilled"), "worker was killed for its memory, 4 restarts; raise resources"),
        (
            {
                "name": "worker",
                "image": "soloist-worker:0.1.0",
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
            },
            "cannot pull soloist-worker:0.1.0: not found; see images.registry",
        ),
        (
            {
                "name": "worker",
                "state": {
                    "waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}
                },
            },
            "cannot start worker: no secret; see that the Secrets",
        ),
    ],
)
def test_a_container_that_does_not_run_is_an_error(
    installed: FakeCluster, check: Run, container: Object, says: str
) -> None:
    add_pod(installed, containerStatuses=[container])

    assert pod_line(check).startswith(f"error pod {POD}: {says}")


def test_a_pod_that_came_back_is_a_warning(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(1, ready=True, state={"running": {}})])

    assert pod_line(check).startswith(f"warn pod {POD}: runs, after 4 restarts")


UNSCHEDULABLE = condition("PodScheduled", False, "Unschedulable", "3 Insufficient nvidia.com/gpu")


def test_a_pod_without_a_gpu_waits(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, conditions=[UNSCHEDULABLE])

    assert pod_line(check) == (
        f"error pod {POD}: waits for a node: 3 Insufficient nvidia.com/gpu; "
        "add nodes with GPUs, or lower scaling.max; nothing to do where nodes come on demand"
    )


def test_a_placeholder_that_waits_is_only_a_warning(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, "spare-1", component="placeholder", conditions=[UNSCHEDULABLE])
    result = check()

    assert result.code == 0
    assert result.line("pod spare-1").startswith("warn ")


def test_a_pod_that_ends_is_no_news(installed: FakeCluster, check: Run) -> None:
    pod = add_pod(installed, containerStatuses=[ended(1)])
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert "pod " not in check().out


@pytest.mark.parametrize(
    ("component", "phase", "level"),
    [("worker", "Pending", "warn"), ("broker", "Pending", "error"), ("worker", "Lost", "error")],
)
def test_a_claim_that_is_not_bound(
    installed: FakeCluster, check: Run, component: str, phase: str, level: str
) -> None:
    installed.add(CLAIMS, "c", labels=labels(component), status={"phase": phase})

    assert check().line("volume c").startswith(f"{level} ")


# --- gateway and keeper -----------------------------------------------------------------------------

Behind = Callable[..., tuple[int, Any]]


def answers(ready: tuple[int, Any], models: Any = None) -> Behind:
    return lambda method, path, body, headers: ready if path == "/readyz" else (200, models)


@pytest.mark.parametrize(
    ("behind", "says"),
    [
        (
            answers((503, {"detail": "no ledger"})),
            "error gateway: 2 of 2 ready, but it answers that it is not ready: no ledger;",
        ),
        (
            answers((502, "<html>")),
            "error gateway: 2 of 2 ready, but it answers that it is not ready: 502;",
        ),
        (
            answers(refusal(503, "no endpoints")),
            "error gateway: 2 of 2 ready, but it answers that it is not ready: no endpoints",
        ),
        (
            answers((200, "ok"), "<html>"),
            "error gateway: 2 of 2 ready, but soloist-gateway is no Soloist gateway",
        ),
        (
            answers(refusal(403, "no proxy")),
            "warn gateway: 2 of 2 ready; it cannot be asked from here: no proxy",
        ),
    ],
)
def test_a_gateway_that_does_not_answer_well(
    installed: FakeCluster, check: Run, behind: Behind, says: str
) -> None:
    installed.behind["soloist-gateway:http"] = behind

    lines = [" ".join(line.split()) for line in check().lines]
    assert any(line.startswith(says) for line in lines), lines


def test_the_keeper_must_have_its_right(installed: FakeCluster, check: Run) -> None:
    installed.allowed.remove((KEEPER, "patch", "pods"))
    result = check()

    assert result.code == 1
    assert "its ServiceAccount soloist-keeper may not patch" in result.line("rights of keeper")


def test_a_keeper_that_marks_nothing_needs_no_right(installed: FakeCluster, check: Run) -> None:
    containers = deployment(installed, "keeper")["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = []
    installed.allowed.clear()

    assert check().code == 0
