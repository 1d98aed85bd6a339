"""The traps of KEDA, the HPA and Deployments, one test each, over every scenario."""

import re

import pytest

from tests.charts.loops import for_each_scenario
from tests.charts.objects import by_name, of_kind, pod, scaled_object
from tests.charts.rendering import Object, render
from tests.charts.scenarios import SCENARIOS, SPAM, model

pytestmark = pytest.mark.usefixtures("rendered")


def scaled(scenario: str) -> list[Object]:
    return of_kind(render(SCENARIOS[scenario]), "ScaledObject")


def modifiers(found: Object) -> dict[str, str]:
    return found["spec"]["advanced"]["scalingModifiers"]


def names(found: Object) -> list[str]:
    return [trigger["name"] for trigger in found["spec"]["triggers"]]


@for_each_scenario
def test_names_of_triggers_are_such_that_a_formula_can_use_them(scenario: str) -> None:
    for found in scaled(scenario):
        assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names(found))
        assert len(set(names(found))) == len(names(found))


@for_each_scenario
def test_the_formula_uses_every_trigger_and_nothing_else(scenario: str) -> None:
    for found in scaled(scenario):
        words = set(re.findall(r"[A-Za-z_]\w*", modifiers(found)["formula"]))
        assert words == {"max", *names(found)}


@for_each_scenario
def test_busy_workers_count_as_much_as_a_worker_does(scenario: str) -> None:
    """So that the HPA, which divides by the target, never asks for fewer pods than are busy."""
    for found in scaled(scenario):
        assert f"busy * {modifiers(found)['target']}" in modifiers(found)["formula"]


@for_each_scenario
def test_the_target_is_an_integer_or_the_fallback_would_be_ignored(scenario: str) -> None:
    for found in scaled(scenario):
        assert re.fullmatch(r"[1-9][0-9]*", modifiers(found)["target"])
        assert modifiers(found)["metricType"] == "AverageValue"


@for_each_scenario
def test_a_blind_keda_takes_no_worker_away(scenario: str) -> None:
    for found in scaled(scenario):
        fallback = found["spec"]["fallback"]
        assert fallback["replicas"] >= 1
        assert fallback["behavior"] == "currentReplicasIfHigher"


@for_each_scenario
def test_a_fresh_worker_is_not_deleted_at_once(scenario: str) -> None:
    for found in scaled(scenario):
        assert found["spec"].get("initialCooldownPeriod", 0) > 0 or found["spec"]["minReplicaCount"]


def warned_of(found: Object) -> set[str]:
    """The fields that KEDA's admission warns of: verifyScaledObjects in its scaledobject_webhook.go."""
    spec = found["spec"]
    if spec["minReplicaCount"] == 0 or "idleReplicaCount" in spec:
        return set()
    cached = any(trigger.get("useCachedMetrics") for trigger in spec["triggers"])
    return {"cooldownPeriod"} & spec.keys() | (
        set() if cached else {"pollingInterval"} & spec.keys()
    )


@for_each_scenario
def test_keda_has_nothing_to_warn_of(scenario: str) -> None:
    for found in scaled(scenario):
        assert warned_of(found) == set()
        at_zero = found["spec"]["minReplicaCount"] == 0
        assert at_zero == ({"pollingInterval", "cooldownPeriod"} <= found["spec"].keys())


def test_a_trigger_that_is_cached_is_looked_at_as_often_as_the_values_say() -> None:
    trigger = {"type": "prometheus", "metadata": {"query": "up"}, "useCachedMetrics": True}
    scaling = {"formula": "queued + rate", "extraTriggers": {"rate": trigger}, "pollingSeconds": 9}
    for least in (0, 1):
        found = scaled_object(render(model(scaling={**scaling, "min": least})))
        assert found["spec"]["pollingInterval"] == 9
        assert warned_of(found) == set()


@for_each_scenario
def test_who_scales_a_deployment_is_the_only_one_who_counts_its_replicas(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    targets = [
        found["spec"]["scaleTargetRef"]["name"]
        for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        for found in of_kind(objects, kind)
    ]

    assert len(targets) == len(set(targets))
    for found in of_kind(objects, "Deployment"):
        assert ("replicas" in found["spec"]) == (found["metadata"]["name"] not in targets)
    assert {f"Deployment/{name}" for name in targets} <= by_name(objects).keys()


@for_each_scenario
def test_a_rollout_needs_no_gpu_that_is_not_there(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    for found in of_kind(objects, "Deployment"):
        if found["metadata"]["labels"]["app.kubernetes.io/component"] == "worker":
            assert found["spec"]["strategy"]["rollingUpdate"] == {
                "maxSurge": 0,
                "maxUnavailable": 1,
            }
            grace = found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert found["spec"]["progressDeadlineSeconds"] > grace


@for_each_scenario
def test_least_is_never_more_than_most(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    for found in of_kind(objects, "ScaledObject"):
        assert 0 <= found["spec"]["minReplicaCount"] <= found["spec"]["maxReplicaCount"]
        assert "idleReplicaCount" not in found["spec"]
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        assert 1 <= found["spec"]["minReplicas"] <= found["spec"]["maxReplicas"]


@for_each_scenario
def test_keda_can_look_up_the_ledger_from_its_own_namespace(scenario: str) -> None:
    given = SCENARIOS[scenario].get("ledger", {}).get("external", {}).get("host")
    for found in scaled(scenario):
        for trigger in found["spec"]["triggers"]:
            if trigger["type"] == "redis":
                host = trigger["metadata"]["address"].split(":")[0]
                within = given or "soloist-ledger"
                assert host == (within if "." in within else f"{within}.team.svc")


def test_keda_can_look_up_the_sentinels_from_its_own_namespace() -> None:
    (found,) = scaled("sentinel")

    assert found["spec"]["triggers"][0]["metadata"]["addresses"] == (
        "sentinel-0.redis.example.org:26379,sentinel-1.team.svc:26380"
    )


def test_keda_may_reach_the_bundled_ledger() -> None:
    policy = by_name(render({}))["NetworkPolicy/soloist-ledger"]

    namespaces = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in policy["spec"]["ingress"][0]["from"]
        if "namespaceSelector" in peer
    ]
    assert namespaces == ["keda"]


def test_names_of_hpas_fit_where_keda_puts_its_own_word_before_ours() -> None:
    for name, release in (("m", "soloist"), ("m" * 40, "soloist"), ("m" * 10, "r" * 45)):
        (found,) = of_kind(
            render({"models": {name: {"catalog": SPAM}}}, release=release), "ScaledObject"
        )
        ours = found["spec"]["advanced"]["horizontalPodAutoscalerConfig"].get("name")
        assert len(ours or f"keda-hpa-{found['metadata']['name']}") <= 63


@for_each_scenario
def test_a_password_reaches_keda_by_reference_alone(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    there = {found["metadata"]["name"] for found in of_kind(objects, "TriggerAuthentication")}
    for found in of_kind(objects, "ScaledObject"):
        for trigger in found["spec"]["triggers"]:
            assert not {"password", "sentinelPassword"} & set(trigger["metadata"])
            if trigger["type"].startswith("redis"):
                assert {trigger.get("authenticationRef", {}).get("name")} - {None} <= there
    for found in of_kind(objects, "TriggerAuthentication"):
        assert found["spec"]["secretTargetRef"]


def test_a_warm_window_asks_for_whole_workers() -> None:
    found = scaled_object(render(SCENARIOS["warm windows"]))
    cron = {t["name"]: t["metadata"] for t in found["spec"]["triggers"] if t["type"] == "cron"}

    assert modifiers(found)["formula"] == "max(queued + running, busy * 32, office * 32, sale * 32)"
    assert cron["office"]["desiredReplicas"] == "2"
    assert cron["office"]["timezone"] == "Europe/Berlin"
    assert cron["sale"]["timezone"] == "UTC"


def test_a_paused_model_stays_where_it_is_or_goes_where_it_is_told() -> None:
    paused = {"autoscaling.keda.sh/paused": "true"}
    at_two = {**paused, "autoscaling.keda.sh/paused-replicas": "2"}

    assert scaled_object(render(SCENARIOS["paused"]))["metadata"]["annotations"] == paused
    assert scaled_object(render(SCENARIOS["paused at two"]))["metadata"]["annotations"] == at_two
    at_zero = model(scaling={"paused": True, "pausedReplicas": 0})
    annotations = scaled_object(render(at_zero))["metadata"]["annotations"]
    assert annotations["autoscaling.keda.sh/paused-replicas"] == "0"


def test_without_scaling_there_is_nothing_of_keda() -> None:
    objects = render(SCENARIOS["scaling off"])

    assert not [found for found in objects if found["apiVersion"].startswith("keda.sh")]
    assert by_name(objects)["Deployment/soloist-worker-spam"]["spec"]["replicas"] == 3


def test_a_busy_worker_stays_ready_for_a_minute_of_silence() -> None:
    """Kubernetes deletes what is not ready before it looks at the cost of deletion."""
    probe = pod(render({}), "worker").container("worker")["readinessProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60
