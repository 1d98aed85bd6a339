"""Findings about one release agree: over a grid of situations no two of them say or advise the contrary."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
from command_result import Run
from fake_cluster import FakeCluster, Object
from release_objects import (
    APPS,
    CLAIMS,
    HPAS,
    METRICS,
    PODS,
    SCALED,
    add_pod,
    add_prerequisites,
    add_release,
    add_scaling,
    condition,
    ended,
    labels,
)
from test_check_asks import CASES

from k8s.check import find_faults
from k8s.cluster import Answer, Cluster
from k8s.findings import Finding
from k8s.release import Release
from k8s.values import Plan, Values, load_values
from tests.charts.scenarios import merged
from tests.support.fake_api_server import refusal

WORKER = "soloist-worker-spam"
HPA = f"{HPAS}/keda-hpa-{WORKER}"
MOST = 5
NO_GPU = condition(
    "PodScheduled",
    False,
    "Unschedulable",
    "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
)
NO_VOLUME = condition(
    "PodScheduled", False, "Unschedulable", "pod has unbound immediate PersistentVolumeClaims."
)
IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}

CONTRARY = [
    (r"no worker runs|spam: at zero", r"worker spam: [1-9]\d* of"),
    (r"demand starts it|KEDA wakes", r"paused|KEDA cannot|is unknown here"),
    (r"gateway: .*serves", r"gateway: 0 of|gateway: .*not ready"),
    (r"KEDA cannot read the ledger|no number to scale by", r"KEDA says|ready, active|wants more"),
    (r"ok broker connection", r"(error|warn) broker: "),
    (r"wants more than its maximum", r"waits for a node|worker spam: [0-4] of 5|at zero"),
    (r"KEDA sees nothing to do", r"KEDA says|ready, active"),
    (r"nothing scales it", r"scaling of spam"),
    (rf"volume {WORKER}: bound", r"waits for its volume"),
    (r"may mark busy workers", r"may not patch pods"),
]


class Direct(Cluster):
    """The fake one without the wire between."""

    def __init__(self, fake: FakeCluster) -> None:
        self.namespace = "ml"
        self.address = "here"
        self.fake = fake

    def request(self, method: str, path: str, *more: Any, **named: Any) -> Answer:
        query = more[0] if more else None
        target = f"{path}?{urlencode(query or {})}"
        headers = {"authorization": f"Bearer {self.fake.token}"}
        answer = self.fake.answer(method, target, named.get("body"), headers)
        assert answer is not None
        status, content = answer
        raw = content if isinstance(content, str) else json.dumps(content)
        return Answer(status, raw.encode(), {})


@dataclass(frozen=True)
class Situation:
    workers: tuple[int, int] = (1, 1)
    """Ready and wanted."""
    fault: str = ""
    scaled: str = "active"
    hpa: str = "ok"
    gpus: int | None = None
    """Where values are given."""
    numbers: str = "busy"
    broken: str = ""


def cluster_in(situation: Situation) -> FakeCluster:
    cluster = FakeCluster()
    add_prerequisites(cluster)
    add_release(cluster)
    _workers(cluster, situation)
    _scaling(cluster, situation)
    for number in range(situation.gpus or 0):
        cluster.add(
            "/api/v1/nodes", f"n{number}", spec={}, status={"allocatable": {"nvidia.com/gpu": "1"}}
        )
    text = {
        "busy": METRICS,
        "idle": re.sub(r"(spam.*) [\d.]+", r"\1 0.0", METRICS),
        "no broker": METRICS.replace("broker_up 1.0", "broker_up 0.0"),
    }.get(situation.numbers)
    if text is None:
        del cluster.behind["soloist-keeper-1:8001"]
    else:
        cluster.behind["soloist-keeper-1:8001"] = lambda *_: (200, text)
    _broken(cluster, situation.broken)
    return cluster


def _workers(cluster: FakeCluster, situation: Situation) -> None:
    ready, wanted = situation.workers
    deployment = cluster.objects[f"{APPS}/deployments/{WORKER}"]
    deployment.update(spec={"replicas": wanted}, status={"readyReplicas": ready})
    del cluster.objects[f"{PODS}/{WORKER}-1"]
    for number in range(ready):
        add_pod(cluster, f"{WORKER}-{number}", ready=True)
    fault: dict[str, Any] = {
        "gpu": {"conditions": [NO_GPU]},
        "volume": {"conditions": [NO_VOLUME]},
        "image": {"containerStatuses": [{"name": "worker", "image": "w:1", "state": IMAGE}]},
        "refused": {"initContainerStatuses": [ended(78, name="fetch")]},
    }.get(situation.fault, {})
    for number in range(ready, wanted if fault else ready):
        add_pod(cluster, f"{WORKER}-{number}", **fault)
    if situation.fault == "volume":
        cluster.add(CLAIMS, WORKER, labels=labels("worker", "spam"), status={"phase": "Pending"})
        claim = {"persistentVolumeClaim": {"claimName": WORKER}}
        for path, found in cluster.objects.items():
            if path.startswith(f"{PODS}/{WORKER}"):
                found["spec"] = {"volumes": [claim]}


def _scaling(cluster: FakeCluster, situation: Situation) -> None:
    fine, active = condition("Ready", True), condition("Active", True)
    status: dict[str, list[Object]] = {
        "active": [fine, active],
        "idle": [fine, condition("Active", False)],
        "paused": [fine, active, condition("Paused", True)],
        "not ready": [condition("Ready", False, message="no target")],
        "fallback": [fine, active, condition("Fallback", True, message="3 of 3")],
    }
    if situation.scaled in ("off", "lost"):
        del cluster.objects[f"{SCALED}/{WORKER}"], cluster.objects[HPA]
        if situation.scaled == "lost":
            metadata = cluster.objects[f"{APPS}/deployments/{WORKER}"]["metadata"]
            metadata["annotations"] = {"soloist/scaled-by": "keda"}
        return
    add_scaling(cluster, conditions=status[situation.scaled])
    if situation.hpa == "missing":
        del cluster.objects[HPA]
        return
    changed = {
        "at most": condition("ScalingLimited", True, "TooManyReplicas"),
        "disabled": condition("ScalingActive", False, "ScalingDisabled"),
        "no number": condition("ScalingActive", False, "FailedGetExternalMetric", "none"),
    }.get(situation.hpa)
    listed = {c["type"]: c for c in cluster.objects[HPA]["status"]["conditions"]}
    listed |= {changed["type"]: changed} if changed else {}
    cluster.objects[HPA]["spec"]["maxReplicas"] = MOST
    cluster.objects[HPA]["status"].update(
        conditions=list(listed.values()),
        currentReplicas=0 if situation.hpa == "disabled" else situation.workers[1],
    )


def _broken(cluster: FakeCluster, part: str) -> None:
    if part in ("ledger", "broker"):
        cluster.add(
            f"{APPS}/statefulsets",
            f"soloist-{part}",
            labels=labels(part),
            spec={"replicas": 1},
            status={},
        )
    if part in ("ledger", "gateway"):
        cluster.behind["soloist-gateway:http"] = lambda *_: (503, {"detail": "no ledger"})
    if part == "gateway pods":
        cluster.objects[f"{APPS}/deployments/soloist-gateway"]["status"] = {"readyReplicas": 0}
        cluster.behind["soloist-gateway:http"] = lambda *_: refusal(503, "no endpoints")


@cache
def plan(gpus: bool) -> Plan:
    gpu: Values = {"gpu": {"mode": "devicePlugin"}, "scaling": {"max": MOST}} if gpus else {}
    values = load_values([])
    values["models"] = {"spam": {"catalog": {"source": "a/b"}, **gpu}}
    return Plan(values)


def findings(situation: Situation) -> list[Finding]:
    cluster = Direct(cluster_in(situation))
    given = situation.gpus is not None
    return list(find_faults(cluster, Release("soloist"), plan(given), given))


def contradictions(found: Sequence[Finding]) -> Iterator[str]:
    """What of these findings does not go together."""
    subjects = Counter(each.subject for each in found)
    yield from (f"two findings on {subject}" for subject, times in subjects.items() if times > 1)
    told: dict[str, set[str]] = {}
    for each in found:
        for verb, value in re.findall(r"\b(raise|lower) ([a-z]+\.[\w.]+)", each.way_out):
            told.setdefault(value, set()).add(verb)
        for value, wanted in re.findall(r"\bset ([\w.]+): (\S+)", each.way_out):
            told.setdefault(value, set()).add(f"set {wanted}")
    yield from (f"{value}: {sorted(ways)}" for value, ways in told.items() if len(ways) > 1)
    lines = [f"{each.level} {each.subject}: {each.sentence}; {each.way_out}" for each in found]
    for pair in CONTRARY:
        one, other = ([line for line in lines if re.search(each, line)] for each in pair)
        yield from (f"{line} <> {against}" for line, against in product(one, other))


WORKERS = ((0, 0), (0, 1), (1, 1), (4, 5), (5, 5))
FAULTS = ("", "gpu", "volume", "image", "refused")
SCALINGS = ("off", "lost", "active", "idle", "paused", "not ready", "fallback")
AUTOSCALERS = ("ok", "disabled", "at most", "no number", "missing")
NUMBERS = ("busy", "idle", "no broker", "unreachable")
BROKEN = ("", "ledger", "broker", "gateway", "gateway pods")


def grid() -> Iterator[Situation]:
    for workers, fault, scaled, hpa, gpus in product(
        WORKERS, FAULTS, SCALINGS, AUTOSCALERS, (None, 4)
    ):
        yield Situation(workers, fault, scaled, hpa, gpus)
    for workers, scaled, numbers, broken in product(WORKERS, SCALINGS, NUMBERS, BROKEN):
        yield Situation(workers, "", scaled, "ok", None, numbers, broken)


@pytest.mark.slow
def test_no_two_findings_contradict_each_other() -> None:
    situations = list(grid())
    told = {tuple(findings(situation)): situation for situation in situations}

    assert len(situations) > 2000
    assert [f"{told[found]}: {each}" for found in told for each in contradictions(found)] == []


@pytest.mark.parametrize("case", CASES)
def test_no_two_findings_before_an_install_are_on_one_subject(
    fit: FakeCluster, check: Run, case: str
) -> None:
    elsewhere = merged(CASES[case], {"networkPolicy": {"kedaNamespace": "scalers"}})
    lines = [json.loads(line) for line in check(elsewhere, "--json").lines]

    assert list(contradictions([Finding(**line) for line in lines])) == []


def test_a_contradiction_is_noticed() -> None:
    def warning(subject: str, sentence: str, way_out: str = "") -> Finding:
        return Finding("warn", subject, sentence, way_out)

    pairs = [
        (warning("a", "x", "raise scaling.max"), warning("b", "x", "or lower scaling.max")),
        (warning("a", "x"), warning("a", "y")),
        (warning("numbers of spam", "no worker runs"), warning("worker spam", "1 of 1 ready")),
    ]
    for pair in pairs:
        assert len(list(contradictions(list(pair)))) == 1


def line(situation: Situation, subject: str) -> str:
    (found,) = [each for each in findings(situation) if each.subject == subject]
    return f"{found.level} {found.sentence}; {found.way_out}"


def test_five_workers_on_four_gpus_get_one_piece_of_advice() -> None:
    situation = Situation((4, 5), "gpu", "active", "at most", 4)
    advice = [each for each in findings(situation) if "scaling.max" in each.way_out]

    assert [each.subject for each in advice] == ["worker spam"]
    assert line(situation, "worker spam") == (
        f"error 4 of 5 ready: pod {WORKER}-4: waits for a node: 0/4 nodes are available: 4 Insufficient "
        "nvidia.com/gpu.; add nodes with GPUs, or lower scaling.max; nothing to do where nodes come on demand"
    )
    full = Situation((5, 5), "", "active", "at most", 9)
    assert line(full, "scaling of spam").endswith("raise scaling.max of spam")


def test_a_worker_that_runs_is_not_called_away_by_an_hpa_that_has_not_looked() -> None:
    for hpa in ("disabled", "missing"):
        told = findings(Situation((1, 1), "", "active", hpa))
        assert not [each for each in told if "no worker" in each.sentence]
        assert line(Situation((1, 1), "", "active", hpa), "worker spam") == "ok 1 of 1 ready; "


def test_at_zero_without_anybody_who_scales_is_a_warning() -> None:
    assert line(Situation((0, 0), "", "off"), "worker spam").startswith(
        "warn at zero, and nothing scales it; set scaling.replicas"
    )
    assert line(Situation((0, 0), "", "active", "disabled"), "worker spam") == "ok at zero; "
    assert line(Situation((0, 0), "", "lost"), "scaling of spam").startswith(
        f"error there is no ScaledObject {WORKER}"
    )


def test_pods_with_one_fault_are_one_finding() -> None:
    told = findings(Situation((0, 5), "image"))

    assert [each.subject for each in told if "cannot pull" in each.sentence] == ["worker spam"]
    assert f"0 of 5 ready: pod {WORKER}-0 and 4 more: cannot pull w:1: not found" in (
        line(Situation((0, 5), "image"), "worker spam")
    )


def test_a_claim_and_the_pod_that_waits_for_it_are_one_finding() -> None:
    told = findings(Situation((0, 1), "volume"))

    assert not [each for each in told if each.subject == f"volume {WORKER}"]
    assert line(Situation((0, 1), "volume"), "worker spam").endswith("kubectl -n ml describe pvc")


def test_a_gateway_without_a_ledger_says_so_itself(installed: FakeCluster, check: Run) -> None:
    installed.objects[f"{APPS}/deployments/soloist-gateway"]["status"] = {}
    installed.add(PODS, "soloist-gateway-1", labels=labels("gateway"), status={})
    installed.behind["soloist-gateway-1:8000"] = lambda *_: (503, {"detail": "the ledger is away"})

    assert check().line("gateway").startswith("error gateway: 0 of 2 ready: the ledger is away;")


def test_a_deployment_that_may_make_no_pod_says_why(installed: FakeCluster, check: Run) -> None:
    why = condition("ReplicaFailure", True, "FailedCreate", "exceeded quota: team")
    deployment = installed.objects[f"{APPS}/deployments/{WORKER}"]
    deployment["status"] = {"conditions": [why]}
    del installed.objects[f"{PODS}/{WORKER}-1"]

    assert (
        check()
        .line("worker spam")
        .startswith(
            "error worker spam: 0 of 1 ready: no pod may be made: exceeded quota: team; kubectl -n ml describe deployment"
        )
    )


def test_each_kind_is_called_by_its_name(installed: FakeCluster, check: Run) -> None:
    """The API server names the kind of a list, and not those of its items."""
    for path in (f"{APPS}/statefulsets/soloist-ledger", f"{APPS}/deployments/soloist-keeper"):
        installed.objects[path]["status"] = {}
        assert "kind" not in installed.objects[path]
    result = check()

    assert result.line("ledger").endswith("kubectl -n ml describe statefulset soloist-ledger")
    assert result.line("keeper").endswith("kubectl -n ml describe deployment soloist-keeper")
