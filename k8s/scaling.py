"""After an install: whether KEDA and the HPAs scale the workers, and whether they count as the keeper does.

Of each model there is one finding on its scaling: the first thing that is wrong, in the order in which faults follow
from each other.
"""

import math
import re
from collections.abc import Iterator
from string import ascii_letters

from prometheus_client.parser import text_string_to_metric_families

from k8s.cluster import Cluster, Object, Unanswered
from k8s.findings import Finding, Findings, error, ok, warn
from k8s.needs import SCALED
from k8s.release import condition_of, is_true, model_of, name_of, scaled_by_keda
from k8s.snapshot import Snapshot, ready_of, short

PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
HPAS = ("horizontalpodautoscalers", "autoscaling/v2")
FORMULA = re.compile(r"max\(queued \+ running, busy \* (\d+)\)")


def check_scaling(cluster: Cluster, snapshot: Snapshot) -> Findings:
    """Each model's ScaledObject with the HPA that KEDA made of it, and the numbers that both go by."""
    yield from _left_alone(cluster, snapshot)
    scaled = snapshot[SCALED[0]]
    hpas = {model_of(each): hpa_of(cluster, each) for each in scaled}
    metrics = _metrics(cluster, snapshot)
    for each in scaled:
        yield judge_scaling(snapshot, each, hpas[model_of(each)])
    if isinstance(metrics, Finding):
        yield metrics
        return
    if metrics is None:
        return
    if not short(snapshot.workload("broker")):  # else its own pods say what is wrong
        yield _broker(metrics)
    counts = counts_of(metrics)
    for each in scaled:
        own = counts.get(model_of(each), {})
        # One whose scaling is at fault has no number to compare with.
        healthy = judge_scaling(snapshot, each, hpas[model_of(each)]).level == "ok"
        yield _compared(each, hpas[model_of(each)] if healthy else None, own)


def _left_alone(cluster: Cluster, snapshot: Snapshot) -> Iterator[Finding]:
    """Workers that were left to KEDA, without a ScaledObject: nobody starts them."""
    if snapshot.kinds.get(SCALED[0]) is None or not cluster.serves_kind(SCALED[1], SCALED[0]):
        return  # that finding is KEDA's, or the one on our rights
    for found in snapshot.workloads:
        if scaled_by_keda(found) and snapshot.scaled(model_of(found)) is None:
            yield error(
                f"scaling of {model_of(found)}",
                f"there is no ScaledObject {name_of(found)}, so nothing starts or ends its workers",
                "helm upgrade makes it again",
            )


def hpa_of(cluster: Cluster, scaled: Object) -> Object | None:
    """The HPA that KEDA made of a ScaledObject."""
    name = scaled.get("status", {}).get("hpaName") or f"keda-hpa-{name_of(scaled)}"
    return cluster.get_object(cluster.path_of(f"{HPAS[0]}/{name}", HPAS[1]))


def is_paused(scaled: Object) -> bool:
    annotations = scaled["metadata"].get("annotations") or {}
    return is_true(scaled, "Paused") or any(
        annotations.get(name, "false") != "false" for name in PAUSED
    )


def judge_scaling(snapshot: Snapshot, scaled: Object, hpa: Object | None) -> Finding:
    """The one finding on a model's scaling."""
    subject = f"scaling of {model_of(scaled)}"
    fault = keda_fault(scaled, subject, snapshot.namespace, short(snapshot.workload("ledger")))
    if fault:
        return fault
    if is_paused(scaled):
        return warn(subject, "paused", "set scaling.paused: false to let it scale again")
    if hpa is None:
        return error(subject, "KEDA has not made its HPA", "see the log of keda-operator")
    workers = snapshot.workload("worker", model_of(scaled))
    judged = judge_hpa(hpa, subject, f"scaling.max of {model_of(scaled)}", workers)
    if judged.level == "ok":
        return ok(
            subject, f"{judged.sentence}, {'active' if is_true(scaled, 'Active') else 'idle'}"
        )
    return judged


def keda_fault(
    scaled: Object, subject: str, namespace: str, ledger_away: bool = False
) -> Finding | None:
    """What KEDA itself says is wrong with a ScaledObject."""
    describe = f"kubectl -n {namespace} describe scaledobject {name_of(scaled)}"
    ready, fallback = condition_of(scaled, "Ready"), condition_of(scaled, "Fallback")
    health: dict[str, Object] = scaled.get("status", {}).get("health") or {}
    failing = sorted(name for name, each in health.items() if each.get("status") == "Failing")
    if not ready:
        return error(subject, "KEDA has not looked at it", "see the log of keda-operator")
    if ready.get("status") != "True":
        said = ready.get("message", ready.get("reason", ""))
        return error(subject, f"KEDA is not ready to scale it: {said}", describe)
    if fallback.get("status") == "True":
        return error(
            subject,
            f"KEDA cannot read the ledger and holds the fallback: {fallback.get('message', '')}",
            "mend the ledger first"
            if ledger_away
            else "see the ledger, its Secret, and networkPolicy.kedaNamespace",
        )
    if failing:
        return warn(
            subject,
            f"KEDA's last looks at the ledger failed ({', '.join(failing)})",
            "see the log of keda-operator",
        )
    return None


def judge_hpa(hpa: Object, subject: str, most: str, target: Object | None) -> Finding:
    """An HPA's own conditions; at zero replicas it rightly says that it is disabled.

    Args:
        most: what its maximum is called in the values.
        target: what it scales. While that has fewer pods than it wants, more of them would help nobody.
    """
    able, acting, limited = (
        condition_of(hpa, kind) for kind in ("AbleToScale", "ScalingActive", "ScalingLimited")
    )
    if able.get("status") == "False":
        return error(
            subject, f"its HPA cannot scale: {able.get('message', '')}", "see its Deployment"
        )
    if acting.get("status") == "False" and acting.get("reason") != "ScalingDisabled":
        return error(
            subject,
            f"its HPA has no number to scale by: {acting.get('message', '')}",
            "see the APIService v1beta1.external.metrics.k8s.io and the log of KEDA's metrics server"
            if name_of(hpa).startswith("keda-hpa-")
            else "see metrics-server",
        )
    if not able:
        return warn(subject, "its HPA has not been looked at yet", "check again in half a minute")
    maximum = hpa.get("spec", {}).get("maxReplicas", 0)
    limit = limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas"
    ready, wanted = ready_of(target) if target else (maximum, maximum)
    if limit and acting.get("status") != "False" and ready >= wanted >= maximum:
        return warn(subject, f"wants more than its maximum of {maximum}", f"raise {most}")
    return ok(subject, "ready")


def check_gateway_hpa(cluster: Cluster, snapshot: Snapshot) -> Findings:
    hpa = cluster.get_object(cluster.path_of(f"{HPAS[0]}/{snapshot.release.gateway}", HPAS[1]))
    if hpa is not None:
        workload = snapshot.workload("gateway")
        yield judge_hpa(hpa, "scaling of gateway", "gateway.hpa.max", workload)


# --- the numbers ------------------------------------------------------------------------------------


def _metrics(cluster: Cluster, snapshot: Snapshot) -> str | Finding | None:
    """What the keeper's metrics say, that they cannot be read, or None where it is not ready."""
    pods = [pod for pod in snapshot.pods("keeper") if is_true(pod, "Ready")]
    if not pods:
        return None
    try:
        return cluster.read_text(cluster.path_of(f"pods/{name_of(pods[0])}:8001/proxy/metrics"))
    except Unanswered as refused:
        return warn(
            "numbers",
            f"the keeper's metrics cannot be read from here: {refused}",
            "nothing to do where a NetworkPolicy keeps the API server out; Grafana shows them",
        )


def _broker(metrics: str) -> Finding:
    if "soloist_keeper_broker_up 1.0" in metrics.splitlines():
        return ok("broker connection", "the keeper has one")
    return error(
        "broker connection",
        "the keeper has none: predictions are kept, but no worker hears of them",
        "see `broker` in your values, its Secret, and the last lines of the keeper's log",
    )


def counts_of(metrics: str) -> dict[str, dict[str, float]]:
    """`queued`, `running` and `busy` of each model, out of the keeper's metrics."""
    counts: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "soloist_queue_depth":
                state = sample.labels["state"]
            elif sample.name == "soloist_busy_workers":
                state = "busy"
            else:
                continue
            counts.setdefault(sample.labels["model"], {})[state] = sample.value
    return counts


def _compared(scaled: Object, hpa: Object | None, counts: dict[str, float]) -> Finding:
    """What the keeper counts, beside what KEDA says: the two are of slightly different instants."""
    subject = f"numbers of {model_of(scaled)}"
    queued, running, busy = (counts.get(state, 0.0) for state in ("queued", "running", "busy"))
    own = f"the keeper counts {queued:g} queued, {running:g} running, {busy:g} busy workers"
    replicas = (hpa or {}).get("status", {}).get("currentReplicas", 0)
    if not replicas or is_paused(scaled):
        unseen = queued and hpa is not None and not is_true(scaled, "Active")
        if unseen and not is_paused(scaled):
            return warn(
                subject,
                f"{own}, and KEDA sees nothing to do",
                "check again in a few seconds; if it stays, see the ScaledObject's listName and databaseIndex",
            )
        return ok(subject, own)
    seen = _composite(hpa or {}, replicas)
    formula = scaled["spec"].get("advanced", {}).get("scalingModifiers", {}).get("formula", "")
    known = FORMULA.fullmatch(formula)
    if seen is None or not known:
        shown = "nothing yet" if seen is None else f"{seen:g} by {formula}"
        return ok(subject, f"{own}; KEDA says {shown}")
    expected = max(queued + running, busy * int(known[1]))
    sentence = f"{own}, which makes {expected:g}; KEDA says {seen:g}"
    if min(seen, expected) * 2 + 5 < max(seen, expected):
        return warn(subject, sentence, "check again; if it stays, KEDA reads another ledger")
    return ok(subject, sentence)


def _composite(hpa: Object, replicas: int) -> float | None:
    """What the formula came to: an HPA keeps the average for each replica."""
    for metric in hpa.get("status", {}).get("currentMetrics") or []:
        current = metric.get("external", {}).get("current", {})
        if "averageValue" in current:
            return quantity(str(current["averageValue"])) * replicas
        if "value" in current:
            return quantity(str(current["value"]))
    return None


def quantity(text: str) -> float:
    """A number as Kubernetes writes it.

    >>> quantity("2500m"), quantity("3"), quantity("1k"), quantity("0.5Gi")
    (2.5, 3.0, 1000.0, 536870912.0)
    """
    number = text.rstrip(ascii_letters)
    unit = text[len(number) :]
    if unit == "m":
        return float(number) / 1000
    base = 1024.0 if unit.endswith("i") else 1000.0
    return float(number) * math.pow(
        base, ("", "k", "m", "g", "t", "p", "e").index(unit[:1].lower())
    )
