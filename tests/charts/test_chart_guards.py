"""Values that cannot work are refused with a sentence that names the key and the way out."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.charts.effects import GUARDED, REDIS, nested
from tests.charts.objects import by_name
from tests.charts.rendering import CHART, refusal, render, render_all
from tests.charts.scenarios import SHOUT, SPAM, merged, model


@dataclass(frozen=True)
class Guard:
    values: dict[str, Any]
    says: str
    options: dict[str, str] = field(default_factory=dict)


def spam(key: str, value: Any, *, catalog: Any = None, **more: Any) -> dict[str, Any]:
    """The model `spam` with one more value."""
    return model(catalog, **merged(nested(key, value), more))


def two(**more: Any) -> dict[str, Any]:
    return {"models": {"spam": {"catalog": SPAM}, "tiny": {"catalog": SHOUT}}, **more}


HPA_OF_MINE = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "mine"},
    "spec": {"scaleTargetRef": {"name": "{{ .Release.Name }}-worker-spam"}},
}
WINDOW = {"start": "0 8 * * *", "end": "0 18 * * *", "replicas": 1}
TRIGGER = {"type": "prometheus", "metadata": {"query": "up"}}
LONG = "a-model-of-forty-characters-in-its-name1"
FIVE = "models.spam.scaling."
LARGEST = 1048576
"""Bytes of a ConfigMap."""

GUARDS = [
    Guard(
        {"enabled": False},
        "enabled: it turns off a part of another chart, and this is an install of its own; leave it out, or helm uninstall",
    ),
    Guard(
        {"models": {"spam": {"enabled": False}}},
        "models: every model has `enabled: false`; leave one enabled",
    ),
    Guard(
        {"models": {"spam": {"catalog": {**SPAM, "id": "local/tiny"}}, "tiny": {"catalog": SHOUT}}},
        'models.tiny.catalog.id: "local/tiny" is the id of models.spam too; each model needs one of its own',
    ),
    Guard(
        {"models": {"Spam_1": {"catalog": SPAM}}},
        'models.Spam_1: "Spam_1" is no name for a model; use at most 40 of a-z, 0-9 and -, beginning and ending '
        "with a letter or digit",
    ),
    Guard(
        {"models": {LONG: {"catalog": SPAM}}},
        f"models.{LONG}: the name team-a-production-worker-{LONG} has 65 characters, and Kubernetes allows 63; "
        "take a shorter release name or model name",
        {"release": "team-a-production"},
    ),
    Guard(
        model({**SHOUT, "description": "é" * (LARGEST // 2)}),
        "models: their catalog has 1048808 bytes, and a ConfigMap holds 1048576; shorten the schemas, options and "
        "descriptions in it, or serve some of the models by another release",
    ),
    Guard(
        model({"source": "a/b"}),
        "models.spam.catalog: give `source` and `task`, or `python: package.module:Class` (docs/models.md)",
    ),
    Guard(
        spam("terminationGracePeriodSeconds", 100),
        "models.spam.terminationGracePeriodSeconds: 100 is less than the hard limit of a batch, "
        "catalog.timeout_seconds 300, so a worker could be killed before its batch is done; use 300 or more, or 0",
    ),
    Guard(
        spam("terminationGracePeriodSeconds", 10, catalog={**SPAM, "timeout_seconds": 0.5}),
        "models.spam.terminationGracePeriodSeconds: 10 leaves no time to hand a batch back; use 11 or more, or 0",
    ),
    Guard(spam("scaling.min", 2), f"{FIVE}min: 2 is more than scaling.max 1; raise max or lower min"),
    Guard(
        spam("scaling.target", 2.5),
        f"{FIVE}target: 2.5 is not an integer, and KEDA would ignore the fallback; use 2",
    ),
    Guard(
        spam("scaling.target", 0.5),
        f"{FIVE}target: 0.5 is not an integer, and KEDA would ignore the fallback; use 1",
    ),
    Guard(
        spam("scaling.fallback.replicas", 0),
        f"{FIVE}fallback.replicas: at 0 busy workers would be deleted while KEDA cannot read the ledger; use 1 or more",
    ),
    Guard(
        spam("scaling.warm", {"office-hours": WINDOW}),
        f'{FIVE}warm: "office-hours" cannot stand in a formula; use letters, digits and _',
    ),
    Guard(
        spam("scaling.extraTriggers", {"1st": TRIGGER}),
        f'{FIVE}extraTriggers: "1st" cannot stand in a formula; use letters, digits and _',
    ),
    Guard(
        spam("scaling.warm", {"busy": WINDOW}),
        f'{FIVE}warm: "busy" is the name of one of our own triggers; take another',
    ),
    Guard(
        spam("scaling.extraTriggers", {"rate": TRIGGER}),
        f'{FIVE}formula: it is "max(queued + running, busy * 32)", in which the trigger rate does nothing; '
        "write one with rate in it",
    ),
    Guard(
        spam("scaling.warm", {"office": WINDOW}, scaling={"formula": "max(queued + running, offices)"}),
        f'{FIVE}formula: it is "max(queued + running, offices)", in which the trigger office does nothing; '
        "write one with office in it",
    ),
    Guard(
        spam("scaling.warm", {"rate": WINDOW}, scaling={"extraTriggers": {"rate": TRIGGER}}),
        f'{FIVE}warm: "rate" is a name in extraTriggers too; take another',
    ),
    Guard(
        spam("scaling.warm", {"office": {**WINDOW, "replicas": 3}}),
        f"{FIVE}warm.office.replicas: 3 is more than scaling.max 1; raise max or lower it",
    ),
    Guard(
        spam("scaling.warm", {"office": {**WINDOW, "end": WINDOW["start"]}}),
        f"{FIVE}warm.office.end: it is the start too, and KEDA takes no such window; for workers at all times raise "
        "scaling.min",
    ),
    Guard(
        spam("scaling", {"formula": "max(queued, load)", "extraTriggers": {"load": {**TRIGGER, "type": "cpu"}}}),
        f'{FIVE}formula: it is "max(queued, load)", and KEDA counts the trigger load, of the type cpu, beside a '
        "formula and never in it; leave it out",
    ),
    Guard(
        spam("resources.requests.memory", "16Gi"),
        "models.spam.resources.requests.memory: 16Gi is more than the limit, which is 4Gi; raise "
        "models.spam.resources.limits.memory as well",
    ),
    Guard(
        spam("resources.limits", {"nvidia.com/gpu": 1}),
        "models.spam.resources.limits: a worker's GPU is not asked for here; set gpu.mode (devicePlugin, mig, shared or "
        "dra), and leave nvidia.com/gpu out",
    ),
    Guard(
        model({**SPAM, "device": "cuda"}),
        "models.spam.catalog.device: cuda needs a GPU; set gpu.mode (devicePlugin, mig, shared or dra)",
    ),
    Guard(
        spam("gpu.resource", "nvidia.com/gpu"),
        "models.spam.gpu.resource: gpu.mode none asks for no resource; set gpu.mode to devicePlugin, mig or shared, "
        "or leave it out",
    ),
    Guard(
        spam("gpu.mode", "dra"),
        "models.spam.gpu.mode: dra needs Kubernetes 1.34, and this is v1.33.1; use devicePlugin",
        {"kube": "1.33.1"},
    ),
    Guard(
        spam("cache", {"type": "image", "image": "a"}),
        "models.spam.cache.type: image needs Kubernetes 1.33, and this is v1.32.9; use emptyDir, pvc or hostPath",
        {"kube": "1.32.9"},
    ),
    Guard(spam("cache.type", "image"), "models.spam.cache.image: cache.type image needs it"),
    Guard(spam("cache.type", "hostPath"), "models.spam.cache.path: cache.type hostPath needs it"),
    Guard(
        spam("extraVolumes", [{"name": "tmp", "emptyDir": {}}]),
        "models.spam.extraVolumes: there is a volume tmp already; take another name",
    ),
    Guard(
        spam("extraVolumes", [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]),
        "models.spam.extraVolumes: there is a volume a already; take another name",
    ),
    Guard(
        spam("extraVolumeMounts", [{"name": "models", "mountPath": "/models"}]),
        "models.spam.extraVolumeMounts: something is mounted at /models already; take another path",
    ),
    Guard(
        spam("extraVolumeMounts", [{"name": "disk", "mountPath": "/disk"}]),
        "models.spam.extraVolumeMounts: there is no volume disk; make it in extraVolumes",
    ),
    Guard(
        spam("cache.mountPath", "/etc/soloist"),
        "models.spam.cache.mountPath: something is mounted at /etc/soloist already; "
        "take another path",
    ),
    Guard(
        spam("podLabels", {"soloist/model": "other"}),
        "models.spam.podLabels: the chart finds its pods by soloist/model; take another label",
    ),
    Guard(
        nested("gateway.podLabels", {"app.kubernetes.io/component": "front"}),
        "gateway.podLabels: the chart finds its pods by app.kubernetes.io/component; take another label",
    ),
    Guard(
        nested("keeper.podAnnotations", {"checksum/catalog": "1"}),
        "keeper.podAnnotations: the chart sets checksum/catalog itself; take another annotation",
    ),
    Guard(
        spam("env.SOLOIST_PREFIX", "team:"),
        "models.spam.env.SOLOIST_PREFIX: the chart sets it itself, from ledger, broker, tracing, images, hub or the model's "
        "other values; set it there",
    ),
    Guard(
        nested("keeper.env.SOLOIST_KEEPER_PORT", 9000),
        "keeper.env.SOLOIST_KEEPER_PORT: the chart sets it itself, from ledger, broker, tracing, images, hub or the model's "
        "other values; set it there",
    ),
    Guard(
        spam("envFromSecrets.API_KEY", {"name": "a", "key": "b"}, env={"API_KEY": "c"}),
        "models.spam.envFromSecrets.API_KEY: it stands in env too; keep one of them",
    ),
    Guard(
        nested("ledger.mode", "external"),
        "ledger.external.host: ledger.mode external needs the host of your Redis, or "
        "ledger.external.sentinel.addresses",
    ),
    Guard(
        merged(REDIS, nested("ledger.external.host", "redis:6380")),
        'ledger.external.host: "redis:6380" is no host alone; the rest of a URL is ledger.external.port, .database, '
        ".username and .tls",
    ),
    Guard(
        {"broker": {"mode": "external", "external": {"host": "amqp://rabbit"}}},
        'broker.external.host: "amqp://rabbit" is no host alone; the rest of a URL is broker.external.scheme, .port, '
        ".path and .username",
    ),
    Guard(
        nested("images.registry", "https://registry.example.org/ml"),
        'images.registry: "https://registry.example.org/ml" has a scheme, and the name of an image has none; leave it out',
    ),
    Guard(
        merged(GUARDED, nested("ledger.external.host", "redis")),
        "ledger.external.host: ledger.external.sentinel.addresses says already where your Redis is; keep one of the two",
    ),
    Guard(
        merged(GUARDED, nested("ledger.mode", "bundled")),
        "ledger.external.sentinel.addresses: they are not used while ledger.mode is bundled; set ledger.mode to external",
    ),
    Guard(
        merged(GUARDED, nested("ledger.external.sentinel.service", "")),
        "ledger.external.sentinel.service: the sentinels need the name that they know your Redis by, as in "
        "`sentinel monitor <name> ...`",
    ),
    *(
        Guard(
            merged(REDIS, nested(f"ledger.external.sentinel.{key}", "mine")),
            f"ledger.external.sentinel.{key}: it has no effect without ledger.external.sentinel.addresses; "
            "give those too",
        )
        for key in ("service", "username", "existingSecret")
    ),
    Guard(
        nested("ledger.replicas", 1),
        "ledger.replicas: the bundled Redis has no replica, and every create would be answered as unknown; set "
        "ledger.mode to external, or this to 0",
    ),
    *(
        Guard(
            nested("ledger.bundled", {"maxmemory": most, "resources": {"limits": {"memory": limit}}}),
            f"ledger.bundled.maxmemory: {most} is no less than the memory limit, {limit}, at which Redis is killed; raise "
            "ledger.bundled.resources.limits.memory to well above it",
        )
        for most, limit in (("1gb", "1Gi"), ("640mb", "512Mi"), ("2g", "2G"), ("200000kb", "195Mi"))
    ),
    Guard(
        nested("ledger.external.host", "redis"),
        "ledger.external.host: it is not used while ledger.mode is bundled; set ledger.mode to external",
    ),
    Guard(
        nested("broker.mode", "external"),
        "broker.external.host: broker.mode external needs the host of your broker",
    ),
    Guard(
        nested("broker.external.host", "rabbit"),
        "broker.external.host: it is not used while broker.mode is ledger; set broker.mode to external",
    ),
    Guard(
        {"broker": {"mode": "external", "external": {"host": "rabbit", "usernameKey": "user"}}},
        "broker.external.usernameKey: it is a key of broker.external.existingSecret; name that Secret",
    ),
    Guard(
        nested("ledger.external.tls.caSecret", "authority"),
        "ledger.external.tls.caSecret: it has no effect while ledger.external.tls.enabled is false; set that to true",
    ),
    *(
        Guard(
            {},
            f"the release name {name} cannot begin the names of Services and StatefulSets; use at most 45 of a-z, 0-9 "
            "and -, beginning with a letter",
            {"release": name},
        )
        for name in ("r" * 46, "1st", "my.release")
    ),
    Guard(
        nested("gateway.hpa.min", 11),
        "gateway.hpa.min: 11 is more than gateway.hpa.max 10; raise max or lower min",
    ),
    Guard(
        nested("gateway.ingress.enabled", True),
        "gateway.ingress.hosts: an Ingress needs at least one host name",
    ),
    Guard(
        nested("gateway.httpRoute.enabled", True),
        "gateway.httpRoute.parentRefs: an HTTPRoute needs the Gateway that it belongs to, as in "
        "[{name: my-gateway, namespace: infra}]",
    ),
    Guard(
        nested("gateway.httpRoute.timeoutSeconds", 60),
        "gateway.httpRoute.timeoutSeconds: 60 would cut off answers that may be held for 60 s; use 75 or more",
    ),
    Guard(
        {"keeper": {"protectBusyPods": True, "deletionCost": False}},
        "keeper.protectBusyPods: the keeper may touch no pod while keeper.deletionCost is false; set that to true",
    ),
    Guard(
        model() | {"extraObjects": {"mine": HPA_OF_MINE}},
        "extraObjects.mine: soloist-worker-spam is scaled already by models.spam.scaling.enabled, and two autoscalers "
        "undo each other's work; set that to false or drop this object",
    ),
    Guard(
        two(test={"model": "other"}),
        'test.model: there is no model "other"; name one of spam, tiny',
    ),
]  # fmt: skip
ONLY_IN_A_CLUSTER = ("KEDA is not installed", "secrets.generate")
"""Said where there is something to look at; test_chart_secrets.py has those of the passwords."""

SCHEMA = [
    (nested("modelz", {}), "modelz"),
    (model() | nested("ledger.external.tls.on", True), "on"),
    (spam("scaling.maximum", 3), "maximum"),
    (spam("scaling.fallback.count", 3), "count"),
    (spam("scaling.warm", {"a": {**WINDOW, "zone": "UTC"}}), "zone"),
    (spam("scaling.warm", {"a": {"start": "0 8 * * *", "end": "0 9 * * *"}}), "replicas"),
    (model({**SPAM, "batch": 3}), "batch"),
    (spam("gpu.kind", "mig"), "kind"),
    (spam("cache.tpye", "pvc"), "tpye"),
    (spam("hub.tokenSecret.secret", "a"), "secret"),
    (spam("env", {"NOT-A-NAME": "a"}), "NOT-A-NAME"),
    (nested("images.api.name", "a"), "name"),
    (nested("networkPolicy.namespace", "a"), "namespace"),
    (nested("networkPolicy.kubernetesPorts", []), "networkPolicy kubernetesPorts"),
    (nested("gpu.mode", "cuda"), "gpu mode devicePlugin"),
    (nested("ledger.mode", "cluster"), "ledger mode bundled"),
    (nested("broker.mode", "redis"), "broker mode operator"),
    (model({**SPAM, "task": "guessing"}), "task fill-mask"),
    (spam("cache.type", "nfs"), "cache type hostPath"),
    (spam("scaling.max", "four"), "scaling max integer string"),
    (spam("scaling.max", 0), "scaling max 1"),
    (spam("scaling.enabled", "yes"), "scaling enabled boolean string"),
    (spam("placeholders", -1), "placeholders 0"),
    (spam("tolerations", {}), "tolerations array object"),
    (nested("gateway.service.port", 70000), "gateway service port"),
    (nested("gateway.publicUrl", "a.example.org/"), "gateway publicUrl pattern"),
    (nested("ledger.prefix", "no colon"), "ledger prefix pattern"),
    (nested("images.api.digest", "latest"), "images api digest pattern"),
]


@pytest.fixture(scope="module", autouse=True)
def prepared(helms: None) -> None:
    """All of it asked by two threads."""
    jobs = [(guard.values, guard.options) for guard in GUARDS] + [(v, {}) for v, _ in SCHEMA]
    render_all((values, {"helm": helm, **options}) for values, options in jobs for helm in (3, 4))


@pytest.mark.parametrize(
    ("key", "more", "less"),
    [
        ("memory", "4097Mi", "4096Mi"),
        ("memory", 4_400_000_000, 4_200_000_000),
        ("memory", "4.5G", "4.2G"),
        ("cpu", 1.6, "1500m"),
    ],
)
def test_a_request_is_compared_with_its_limit_in_whatever_units(
    key: str, more: Any, less: Any, helm: int
) -> None:
    limits = {"limits": {"cpu": "1.5", "memory": "4Gi"}}

    assert "is more than the limit" in refusal(
        spam("resources", {**limits, "requests": {key: more}}), helm
    )
    assert render(spam("resources", {**limits, "requests": {key: less}}), helm=helm)


@pytest.mark.parametrize("most", ["", "1000m", "1023mb", "1g", "1000000kb", "600000000"])
def test_a_redis_under_its_limit_is_taken(most: str, helm: int) -> None:
    assert render(nested("ledger.bundled.maxmemory", most), helm=helm)


def test_who_runs_a_part_of_soloist_hears_of_its_request_too() -> None:
    for part in ("gateway", "keeper", "ledger.bundled", "broker.bundled"):
        values = nested(f"{part}.resources.requests.memory", "1Ti")
        assert refusal(values).startswith(f"{part}.resources.requests.memory: 1Ti is more than")


def test_a_trigger_that_keda_counts_beside_the_formula_needs_no_place_in_it(helm: int) -> None:
    load = {"type": "cpu", "metricType": "AverageValue", "metadata": {"value": "500m"}}
    objects = by_name(render(spam("scaling.extraTriggers", {"load": load}), helm=helm))
    scaled = objects["ScaledObject/soloist-worker-spam"]["spec"]

    assert scaled["triggers"][-1]["type"] == "cpu"
    assert "load" not in scaled["advanced"]["scalingModifiers"]["formula"]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.says[:50])
def test_what_cannot_work_is_refused_in_one_sentence(guard: Guard, helm: int) -> None:
    assert refusal(guard.values, helm, **guard.options) == guard.says


def test_a_catalog_is_refused_at_the_first_byte_that_a_config_map_does_not_hold() -> None:
    def catalog(letters: int) -> str:
        objects = by_name(render(model({**SHOUT, "description": "x" * letters})))
        return str(objects["ConfigMap/soloist-catalog"]["data"]["catalog.yaml"])

    most = LARGEST - len(catalog(1)) + 1
    assert len(catalog(most)) == LARGEST
    assert "has 1048577 bytes" in refusal(model({**SHOUT, "description": "x" * (most + 1)}))


def sentences() -> list[str]:
    """What each `fail` of the templates says, as printf's format."""
    text = "".join(p.read_text("utf-8") for p in sorted(CHART.rglob("templates/**/*.*")))
    found = re.findall(r'\bfail (?:\(printf )?"((?:[^"\\]|\\.)*)"', text)
    assert len(found) == len(re.findall(r"\bfail \(?", text))
    return found


def test_every_fail_of_the_templates_is_in_the_table() -> None:
    for sentence in sentences():
        pattern = "%[sqdvg]".join(map(re.escape, re.split("%[sqdvg]", sentence)))
        said = re.compile(pattern.replace("%[sqdvg]", ".+"))
        if not sentence.startswith(ONLY_IN_A_CLUSTER):
            assert any(said.fullmatch(guard.says) for guard in GUARDS), sentence


def test_every_sentence_begins_with_the_key_that_is_to_be_changed() -> None:
    for guard in GUARDS:
        if "release" not in guard.options:
            assert re.match(r"[a-zA-Z]+(\.[-\w]+)*: ", guard.says), guard.says


@pytest.mark.parametrize(("values", "words"), SCHEMA, ids=[words for _, words in SCHEMA])
def test_the_schema_names_the_key_and_what_it_takes(
    values: dict[str, Any], words: str, helm: int
) -> None:
    said = refusal(values, helm)

    missing = [word for word in words.split() if word not in said]
    # Helm 3 and 4 have words of their own for the same.
    assert not set(missing) - {"pattern", "array", "object", "string"}, said
