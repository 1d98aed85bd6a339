"""For every key of values.yaml another value, and the objects that it changes."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.charts.rendering import CHART, Rendered, render_together
from tests.charts.scenarios import SCENARIOS, SHOUT, merged, model

WORKER, GATEWAY, KEEPER = "Deployment/worker-spam", "Deployment/gateway", "Deployment/keeper"
LEDGER, BROKER = "StatefulSet/ledger", "StatefulSet/broker"
SCALED, PDB = "ScaledObject/worker-spam", "PodDisruptionBudget/worker-spam"
CLAIM, CLAIM_TEMPLATE = (
    "PersistentVolumeClaim/worker-spam",
    "ResourceClaimTemplate/worker-spam",
)
SECRET, AUTHENTICATION = "Secret/ledger", "TriggerAuthentication/ledger"
API = f"{GATEWAY} {KEEPER} Pod/smoke"
OURS = f"{GATEWAY} {KEEPER} {WORKER}"
CATALOGS = "ConfigMap/catalog ConfigMap/worker-spam"
TINY = "ConfigMap/worker-tiny Deployment/worker-tiny PodDisruptionBudget/worker-tiny ScaledObject/worker-tiny"
DASHBOARDS = " ".join(
    f"ConfigMap/dashboard-{path.stem.removeprefix('soloist-')}"
    for path in sorted(CHART.glob("dashboards/*.json"))
)
POLICIES = "NetworkPolicy/gateway NetworkPolicy/keeper NetworkPolicy/worker"


@dataclass(frozen=True)
class Effect:
    """`value` in the place of `key`, over the values `given`, changes these objects and no others."""

    key: str
    value: Any
    changes: str
    given: dict[str, Any] = field(default_factory=dict)
    together: dict[str, Any] = field(default_factory=dict)
    """What has to change with it."""

    @property
    def before(self) -> dict[str, Any]:
        return self.given if self.key == "demo" else merged(model(), self.given)

    @property
    def after(self) -> dict[str, Any]:
        return merged(merged(self.before, nested(self.key, self.value)), self.together)


def nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and 1 -> `{"a": {"b": 1}}`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def both(*keys: str, value: Any = True) -> dict[str, Any]:
    """The same value under several keys."""
    values: dict[str, Any] = {}
    for key in keys:
        values = merged(values, nested(key, value))
    return values


GPU, DRA = both("gpu.mode", value="devicePlugin"), both("gpu.mode", value="dra")
SPARE = {**GPU, **both("defaults.placeholders", value=1)}
PVC = both("defaults.cache.type", value="pvc")
HOST_PATH = {"defaults": {"cache": {"type": "hostPath", "path": "/var/models"}}}
IMAGE = {"defaults": {"cache": {"type": "image", "image": "models:1"}}}
REDIS = {"ledger": {"mode": "external", "external": {"host": "redis.example.org"}}}
GUARDED = {
    "ledger": {
        "mode": "external",
        "external": {"sentinel": {"addresses": ["sentinel:26379"], "service": "main"}},
    }
}
SENTINEL_SECRET = merged(GUARDED, both("ledger.external.sentinel.existingSecret", value="sentinel"))
TLS = merged(REDIS, both("ledger.external.tls.enabled"))
AUTHORITY = merged(TLS, both("ledger.external.tls.caSecret", value="authority"))
BUNDLED, OPERATOR = both("broker.mode", value="bundled"), both("broker.mode", value="operator")
RABBIT = {
    "broker": {"mode": "external", "external": {"host": "rabbit", "existingSecret": "rabbit"}}
}
HPA = both("gateway.hpa.enabled")
HOST = both("gateway.ingress.hosts", value=["a.example.org"])
INGRESS = merged(HOST, both("gateway.ingress.enabled"))
PARENT = both("gateway.httpRoute.parentRefs", value=[{"name": "public"}])
ROUTE = merged(PARENT, both("gateway.httpRoute.enabled"))
TRACED = both("tracing.otlpEndpoint", value="https://collector.example.org")
MONITOR = both("monitoring.podMonitor.enabled")
SHOWN, RULES = both("monitoring.dashboards.enabled"), both("monitoring.rules.enabled")
OTHER_MODEL = {"models": {"tiny": {"enabled": True, "catalog": SHOUT}}}
NIGHT = {"night": {"start": "0 0 * * *", "end": "0 6 * * *", "replicas": 1}}
RATE = {"rate": {"type": "prometheus", "metadata": {}}}

USUAL = {
    "resources.requests": {"cpu": "3", "memory": "200Mi"},
    "resources.limits": {"memory": "5Gi"},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}
MARKS = {"podLabels": {"team": "ml"}, "podAnnotations": {"team": "ml"}}
SIZES = {"persistence.size": "9Gi", "persistence.storageClass": "fast"}
IMAGE_PARTS = {"repository": "mine", "tag": "2", "digest": "sha256:" + "1" * 64}

Rows = dict[str, Any]


def another(threshold: float | str) -> float | str:
    """Another one that is as possible."""
    if isinstance(threshold, str):
        return f"({threshold})"
    return threshold + 1 if isinstance(threshold, int) else threshold / 2


VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
THRESHOLDS: Rows = {
    **{
        name: another(is_now)
        for name, is_now in VALUES["monitoring"]["rules"]["thresholds"].items()
    },
    "latencySeconds": 30,  # one of the bounds of a histogram
}
GROUPS: list[tuple[str, str, dict[str, Any], Rows]] = [
    # what is before the keys, the objects, the values given, key: other value
    ("", f"ConfigMap/catalog {TINY} {GATEWAY} {KEEPER}", {}, {"models": {"tiny": {"catalog": SHOUT}}}),
    ("", f"ConfigMap/catalog {TINY} {GATEWAY} {KEEPER}", {}, {"demo": {"tiny": {"catalog": SHOUT}}}),
    (
        "defaults.",
        f"{CATALOGS} {OURS} NetworkPolicy/worker Pod/smoke {PDB} {SCALED}",
        OTHER_MODEL,
        {"enabled": False},
    ),
    ("defaults.", f"ConfigMap/catalog {GATEWAY} {KEEPER}", {}, {"catalog": {"max_queue": 7}}),
    ("defaults.", f"{CATALOGS} {WORKER}", {}, {"gpu": {"mode": "mig"}}),
    ("gpu.", f"{CATALOGS} {WORKER}", {}, {"mode": "shared"}),
    ("defaults.scaling.", f"{WORKER} {SCALED} {AUTHENTICATION}", {}, {"enabled": False}),
    ("defaults.scaling.", WORKER, both("defaults.scaling.enabled", value=False), {"replicas": 3}),
    ("defaults.scaling.", f"ConfigMap/catalog {KEEPER} {SCALED}", {}, {"target": 5}),
    (
        "defaults.scaling.",
        SCALED,
        {},
        {
            "min": 1,
            "max": 4,
            "pollingSeconds": 9,
            "cooldownSeconds": 60,
            "initialCooldownSeconds": 0,
            "fallback.failures": 5,
            "fallback.replicas": 2,
            "scaleUp.stabilizationSeconds": 30,
            "scaleUp.pods": 9,
            "scaleUp.percent": 50,
            "scaleUp.periodSeconds": 30,
            "scaleDown.stabilizationSeconds": 60,
            "scaleDown.podsPerMinute": 2,
            "warm": NIGHT,
            "formula": "queued",
            "paused": True,
        },
    ),
    (
        "defaults.scaling.",
        SCALED,
        both("defaults.scaling.formula", value="queued + rate"),
        {"extraTriggers": RATE},
    ),
    ("defaults.scaling.", SCALED, both("defaults.scaling.paused"), {"pausedReplicas": 2}),
    (
        "defaults.",
        WORKER,
        {},
        {
            **USUAL,
            **MARKS,
            "sharedMemory": "2Gi",
            "startupSeconds": 60,
            "terminationGracePeriodSeconds": 400,
            "cache.mountPath": "/cache",
            "cache.size": "9Gi",
            "hub.endpoint": "https://hub.example.org",
            "hub.tokenSecret.name": "hub",
            "env": {"OMP_NUM_THREADS": 2},
            "envFromSecrets": {"API_KEY": {"name": "mine", "key": "api"}},
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "tmp", "mountPath": "/more"}],
        },
    ),
    ("defaults.cache.", f"{WORKER} {CLAIM}", {}, {"type": "pvc"}),
    ("defaults.cache.", f"{WORKER} {CLAIM}", PVC, {"existingClaim": "mine"}),
    ("defaults.cache.", CLAIM, PVC, {"accessModes": ["ReadWriteMany"], "storageClass": "fast"}),
    ("defaults.cache.", WORKER, HOST_PATH, {"path": "/other"}),
    ("defaults.cache.", WORKER, IMAGE, {"image": "models:2"}),
    ("defaults.hub.", f"{WORKER} NetworkPolicy/worker", {}, {"fetch": False}),
    ("defaults.hub.tokenSecret.", WORKER, both("defaults.hub.tokenSecret.name", value="hub"), {"key": "hf"}),
    (
        "defaults.",
        "Deployment/placeholder-spam PriorityClass/team-placeholder",
        {},
        {"placeholders": 1},
    ),
    ("", "PriorityClass/team-placeholder", SPARE, {"placeholderPriority": -20}),
    (
        "",
        "Deployment/placeholder-spam PriorityClass/team-placeholder",
        SPARE,
        {"placeholderPriorityClassName": "spare"},
    ),
    ("defaults.", "DaemonSet/prepull-spam", {}, {"prePull": True}),
    ("defaults.pdb.", PDB, {}, {"enabled": False, "maxUnavailable": "50%"}),
    ("gpu.", WORKER, GPU, {"resource": "nvidia.com/other", "products": ["L4"], "runtimeClassName": "nvidia", "tolerations": []}),
    ("gpu.", CLAIM_TEMPLATE, DRA, {"deviceClass": "mig.nvidia.com", "selectors": ["true"]}),
    ("images.", f"{API} {WORKER}", {}, {"registry": "registry.example.org"}),
    ("images.api.", API, {}, IMAGE_PARTS),
    ("images.worker.", WORKER, {}, IMAGE_PARTS),
    ("images.", LEDGER, {}, {"redis": "valkey"}),
    ("images.", BROKER, BUNDLED, {"rabbitmq": "rabbit"}),
    ("images.", "Deployment/placeholder-spam", SPARE, {"pause": "pause"}),
    ("images.", f"{API} {WORKER} {LEDGER}", {}, {"pullPolicy": "Always", "pullSecrets": ["pull"]}),
    ("ledger.", f"{OURS} {SCALED}", {}, {"prefix": "team:"}),
    ("ledger.", OURS, {}, {"durability": "none"}),
    (
        "ledger.",
        f"{OURS} {SECRET} {LEDGER} {AUTHENTICATION}",
        {},
        {"existingSecret": "mine", "passwordKey": "secret"},
    ),
    ("secrets.", f"{SECRET} Secret/broker", BUNDLED, {"generate": False}),
    ("ledger.external.", f"{OURS} {SCALED}", REDIS, {"host": "other", "database": 3, "username": "me", "tls.enabled": True}),
    ("ledger.external.", f"{OURS} {SCALED} {POLICIES}", REDIS, {"port": 6380}),
    ("ledger.", OURS, REDIS, {"replicas": 1}),
    ("ledger.external.sentinel.", f"{OURS} {SCALED}", GUARDED, {"service": "other", "username": "me"}),
    ("ledger.external.sentinel.", f"{OURS} {SCALED} {POLICIES}", GUARDED, {"addresses": ["a:1", "b:2"]}),
    ("ledger.external.sentinel.", f"{OURS} {SCALED} {AUTHENTICATION}", GUARDED, {"existingSecret": "mine"}),
    ("ledger.external.sentinel.", f"{OURS} {AUTHENTICATION}", SENTINEL_SECRET, {"passwordKey": "secret"}),
    ("ledger.external.tls.", f"{OURS} {SCALED} {AUTHENTICATION}", TLS, {"caSecret": "authority"}),
    ("ledger.external.tls.", f"{OURS} {AUTHENTICATION}", AUTHORITY, {"caKey": "root.crt"}),
    ("ledger.bundled.", f"ConfigMap/ledger {LEDGER}", {}, {"appendfsync": "everysec", "maxmemory": "700mb"}),
    ("ledger.bundled.", LEDGER, {}, {**USUAL, **SIZES, "persistence.enabled": False}),
    (
        "broker.",
        f"{OURS} {POLICIES} NetworkPolicy/broker Secret/broker Service/broker ServiceAccount/broker {BROKER}",
        {},
        {"mode": "bundled"},
    ),
    ("broker.bundled.", BROKER, BUNDLED, USUAL),
    ("broker.external.", f"{OURS} {POLICIES}", RABBIT, {"scheme": "amqps", "port": 5673}),
    (
        "broker.external.",
        OURS,
        RABBIT,
        {
            "host": "other",
            "path": "team",
            "username": "me",
            "existingSecret": "mine",
            "passwordKey": "pass",
            "usernameKey": "user",
        },
    ),
    (
        "broker.operator.",
        "RabbitmqCluster/broker",
        OPERATOR,
        {"replicas": 1, **SIZES},
    ),
    (
        "gateway.",
        GATEWAY,
        {},
        {
            **USUAL,
            **MARKS,
            "replicas": 3,
            "preStopSeconds": 9,
            "publicUrl": "https://a.example.org",
            "env": {"SOLOIST_LOG_LEVEL": "debug"},
        },
    ),
    ("gateway.hpa.", f"{GATEWAY} HorizontalPodAutoscaler/gateway", {}, {"enabled": True}),
    ("gateway.hpa.", "HorizontalPodAutoscaler/gateway", HPA, {"min": 3, "max": 20, "cpu": "250m"}),
    ("gateway.pdb.", "PodDisruptionBudget/gateway", {}, {"enabled": False, "maxUnavailable": 2}),
    ("gateway.service.", "Service/gateway", {}, {"type": "LoadBalancer", "annotations": {"team": "ml"}}),
    ("gateway.service.", "Service/gateway Pod/smoke", {}, {"port": 8080}),
    ("gateway.ingress.", "Ingress/gateway", HOST, {"enabled": True}),
    (
        "gateway.ingress.",
        "Ingress/gateway",
        INGRESS,
        {"className": "a", "annotations": {"a": "b"}, "hosts": ["b"], "tlsSecret": "tls"},
    ),
    ("gateway.httpRoute.", "HTTPRoute/gateway", PARENT, {"enabled": True}),
    (
        "gateway.httpRoute.",
        "HTTPRoute/gateway",
        ROUTE,
        {
            "parentRefs": [{"name": "other"}],
            "hostnames": ["a.example.org"],
            "timeoutSeconds": 75,
            "annotations": {"team": "ml"},
        },
    ),
    (
        "keeper.",
        KEEPER,
        {},
        {**USUAL, **MARKS, "protectBusyPods": True, "env": {"SOLOIST_LOG_LEVEL": "debug"}},
    ),
    ("keeper.", f"{KEEPER} NetworkPolicy/keeper Role/keeper RoleBinding/keeper", {}, {"deletionCost": False}),
    (
        "serviceAccounts.",
        "ServiceAccount/gateway ServiceAccount/keeper ServiceAccount/worker",
        {},
        {"annotations": {of: {"role": "mine"} for of in ("gateway", "keeper", "worker")}},
    ),
    (
        "podSecurityContext.",
        f"{API} {WORKER}",
        {},
        {"runAsUser": 2, "runAsGroup": 2, "fsGroup": 2, "fsGroupChangePolicy": "Always"},
    ),
    ("networkPolicy.", f"{POLICIES} NetworkPolicy/default NetworkPolicy/ledger NetworkPolicy/test", {}, {"enabled": False}),
    ("networkPolicy.", "NetworkPolicy/ledger", {}, {"kedaNamespace": "scaling"}),
    ("networkPolicy.", "NetworkPolicy/default", {}, {"monitoringNamespace": "watching"}),
    ("networkPolicy.", "NetworkPolicy/keeper", {}, {"kubernetesPorts": [7443]}),
    ("networkPolicy.", "NetworkPolicy/gateway", {}, {"gatewayFrom": [{"podSelector": {}}]}),
    ("networkPolicy.", "NetworkPolicy/worker", {}, {"workerEgress": [{"ports": [{"port": 5432}]}]}),
    ("tracing.", f"{OURS} {POLICIES}", {}, {"otlpEndpoint": "http://collector:4318"}),
    ("tracing.", OURS, TRACED, {"ratio": 0.1}),
    ("monitoring.podMonitor.", "PodMonitor/soloist", {}, {"enabled": True}),
    ("monitoring.podMonitor.", "PodMonitor/soloist", MONITOR, {"interval": "30s", "labels": {"a": "b"}}),
    ("monitoring.dashboards.", DASHBOARDS, {}, {"enabled": True}),
    ("monitoring.dashboards.", DASHBOARDS, SHOWN, {"label": "a", "labelValue": "b", "annotations": {"c": "d"}}),
    ("monitoring.rules.", "PrometheusRule/soloist", {}, {"enabled": True}),
    ("monitoring.rules.", "PrometheusRule/soloist", RULES, {"labels": {"a": "b"}, "selector": 'job="a"', "runbookUrl": "b"}),
    ("monitoring.rules.thresholds.", "PrometheusRule/soloist", RULES, THRESHOLDS),
    ("", "ConfigMap/note", {}, {"extraObjects": SCENARIOS["extra objects"]["extraObjects"]}),
    ("test.", "Pod/smoke", OTHER_MODEL, {"model": "tiny", "input": {"text": "mine"}, "timeoutSeconds": 60}),
]  # fmt: skip

EFFECTS = [
    Effect(before + key, value, changes, given)
    for before, changes, given, rows in GROUPS
    for key, value in rows.items()
] + [
    Effect(
        "ledger.mode",
        "external",
        f"{OURS} {POLICIES} {SCALED} {SECRET} {LEDGER} {AUTHENTICATION} ConfigMap/ledger "
        "NetworkPolicy/ledger Service/ledger ServiceAccount/ledger",
        together=both("ledger.external.host", value="redis.example.org"),
    )
]


def rendered_effects() -> Rendered:
    """The objects of the values before and after each effect."""
    return render_together(v for effect in EFFECTS for v in (effect.before, effect.after))
