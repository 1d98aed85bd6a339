"""After an install: whether KEDA and the HPAs scale the workers, and whether they count as the keeper does."""

import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from k8s.cluster import Cluster, Object, Unanswered
from k8s.findings import Finding, Findings, error, ok, warn
from k8s.release import Release, condition_of, is_true, model_of, name_of

PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
HPAS = ("horizontalpodautoscalers", "autoscaling/v2")
FORMULA = re.compile(r"max\(queued \+ running, busy \* (\d+)\)")


def scaling(cluster: Cluster, release: Release) -> Findings:
    """Each model's ScaledObject with the HPA that KEDA made of it."""
    for scaled in scaled_objects(cluster, release):
        yield _scaled(cluster.namespace, scaled)
        hpa_name = scaled.get("status", {}).get("hpaName") or f"keda-hpa-{name_of(scaled)}"
        hpa = cluster.get(cluster.here(f"{HPAS[0]}/{hpa_name}", HPAS[1]))
        if hpa is not None:
            yield judge_hpa(hpa)
        elif is_true(scaled, "Ready") and not _paused(scaled):
            yield error(f"hpa {hpa_name}", "KEDA has not made it", "see the log of keda-operator")


def scaled_objects(cluster: Cluster, release: Release) -> list[Object]:
    return cluster.items(cluster.here("scaledobjects", "keda.sh/v1alpha1"), release.labels())


def _paused(scaled: Object) -> bool:
    annotations = scaled["metadata"].get("annotations", {})
    return is_true(scaled, "Paused") or any(
        annotations.get(name, "false") != "false" for name in PAUSED
    )


def _scaled(namespace: str, scaled: Object) -> Finding:
    subject = f"scaledobject {name_of(scaled)}"
    describe = f"kubectl -n {namespace} describe scaledobject {name_of(scaled)}"
    ready = condition_of(scaled, "Ready")
    fallback = condition_of(scaled, "Fallback")
    health: dict[str, Object] = scaled.get("status", {}).get("health") or {}
    failing = [name for name, each in health.items() if each.get("status") == "Failing"]
    if not ready:
        return error(subject, "KEDA has not looked at it", "see the log of keda-operator")
    if ready.get("status") != "True":
        return error(
            subject, f"not ready: {ready.get('message', ready.get('reason', ''))}", describe
        )
    if fallback.get("status") == "True":
        return error(
            subject,
            f"KEDA cannot read the ledger and holds the fallback: {fallback.get('message', '')}",
            "see the ledger, its Secret, and networkPolicy.kedaNamespace",
        )
    if failing:
        return warn(
            subject,
            f"KEDA's last looks at the ledger failed ({', '.join(sorted(failing))})",
            "see the log of keda-operator",
        )
    if _paused(scaled):
        return warn(subject, "paused", "set scaling.paused: false to let it scale again")
    active = "active" if is_true(scaled, "Active") else "idle"
    return ok(subject, f"ready and {active}")


def judge_hpa(hpa: Object) -> Finding:
    """An HPA's own conditions; at zero replicas it rightly says that it is disabled."""
    subject = f"hpa {name_of(hpa)}"
    able, acting, limited = (
        condition_of(hpa, kind) for kind in ("AbleToScale", "ScalingActive", "ScalingLimited")
    )
    status = hpa.get("status", {})
    if able.get("status") == "False":
        return error(subject, f"cannot scale: {able.get('message', '')}", "see its Deployment")
    if acting.get("status") == "False" and acting.get("reason") != "ScalingDisabled":
        return error(
            subject,
            f"has no number to scale by: {acting.get('message', '')}",
            "see the APIService v1beta1.external.metrics.k8s.io and the log of KEDA's metrics server"
            if name_of(hpa).startswith("keda-hpa-")
            else "see metrics-server",
        )
    if not able:
        return warn(subject, "has not been looked at yet", "check again in half a minute")
    if limited.get("status") == "True" and limited.get("reason") == "TooManyReplicas":
        most = hpa["spec"]["maxReplicas"]
        return warn(subject, f"wants more than its maximum of {most}", "raise scaling.max")
    if acting.get("status") == "False":
        return ok(subject, "waits at zero replicas")
    return ok(subject, f"wants {status.get('desiredReplicas', 0)} replicas")


def gateway_hpa(cluster: Cluster, release: Release) -> Findings:
    hpa = cluster.get(cluster.here(f"{HPAS[0]}/{release.gateway}", HPAS[1]))
    if hpa is not None:
        yield judge_hpa(hpa)


# --- the numbers ------------------------------------------------------------------------------------


def numbers(cluster: Cluster, release: Release) -> Findings:
    """What the keeper's metrics say: of the broker, and of each model beside what KEDA says. The two are of
    slightly different instants.
    """
    pods = [pod for pod in release.pods(cluster, "keeper") if is_true(pod, "Ready")]
    if not pods:
        return
    path = cluster.here(f"pods/{name_of(pods[0])}:8001/proxy/metrics")
    try:
        metrics = cluster.text(path)
    except Unanswered as refused:
        yield warn(
            "numbers",
            f"the keeper's metrics cannot be read from here: {refused}",
            "nothing to do where a NetworkPolicy keeps the API server out; Grafana shows them",
        )
        return
    yield _broker(metrics)
    counts = counts_of(metrics)
    for each in scaled_objects(cluster, release):
        hpa_name = each.get("status", {}).get("hpaName") or f"keda-hpa-{name_of(each)}"
        hpa = cluster.get(cluster.here(f"{HPAS[0]}/{hpa_name}", HPAS[1]))
        yield from _compared(each, hpa or {}, counts.get(model_of(each), {}))


def _broker(metrics: str) -> Finding:
    if "soloist_keeper_broker_up 1.0" in metrics.splitlines():
        return ok("broker", "the keeper reaches it")
    return error(
        "broker",
        "the keeper does not reach it: predictions are kept, but no worker hears of them",
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


def _compared(scaled: Object, hpa: Object, counts: dict[str, float]) -> Iterator[Finding]:
    model = model_of(scaled)
    subject = f"numbers of {model}"
    queued, running, busy = (counts.get(state, 0.0) for state in ("queued", "running", "busy"))
    own = f"{queued:g} queued, {running:g} running, {busy:g} busy workers"
    replicas = hpa.get("status", {}).get("currentReplicas", 0)
    if not replicas:
        if queued and not _paused(scaled) and not is_true(scaled, "Active"):
            yield warn(
                subject,
                f"the keeper counts {own}, and KEDA sees nothing to do",
                "check again in a few seconds; if it stays, see the ScaledObject's listName and databaseIndex",
            )
        else:
            yield ok(subject, f"the keeper counts {own}; no worker runs")
        return
    seen = _composite(hpa, replicas)
    formula = scaled["spec"].get("advanced", {}).get("scalingModifiers", {}).get("formula", "")
    known = FORMULA.fullmatch(formula)
    if seen is None or not known:
        shown = "nothing yet" if seen is None else f"{seen:g} by {formula}"
        yield ok(subject, f"the keeper counts {own}; KEDA says {shown}")
        return
    expected = max(queued + running, busy * int(known[1]))
    sentence = f"the keeper counts {own}, which makes {expected:g}; KEDA says {seen:g}"
    if min(seen, expected) * 2 + 5 < max(seen, expected):
        yield warn(subject, sentence, "check again; if it stays, KEDA reads another ledger")
    else:
        yield ok(subject, sentence)


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

    >>> quantity("2500m"), quantity("3"), quantity("1k")
    (2.5, 3.0, 1000.0)
    """
    factors = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}
    return float(text[:-1]) * factors[text[-1]] if text[-1:] in factors else float(text)
