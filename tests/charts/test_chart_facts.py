"""What the chart says of the code is so: settings, paths, ports, arguments, names in the ledger."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import service.process
import worker.drain
import worker.process
from contract.addresses import read_sentinels
from contract.catalog import NOT_FOR_WORKERS, Catalog, ModelSpec, load_catalog
from contract.ledger.keys import PER_MODEL, key
from contract.settings import PREFIX, Settings, load_settings
from service.__main__ import main as serve
from service.keeper.app import create_keeper
from service.routes import health as gateway_health
from tests.charts.loops import for_each_scenario
from tests.charts.objects import Pod, by_name, of_kind, pod, pods, scaled_object
from tests.charts.rendering import CHART, ROOT, render
from tests.charts.scenarios import SCENARIOS, model
from worker.__main__ import main as work
from worker.health import Health

pytestmark = pytest.mark.usefixtures("rendered")

NOT_OURS = {
    "SSL_CERT_FILE": "OpenSSL: who signed the ledger's certificate",
    "HF_HUB_CACHE": "huggingface_hub: where models are",
    "HF_HUB_OFFLINE": "huggingface_hub: 0 in the container that fetches",
    "HF_ENDPOINT": "huggingface_hub",
    "HF_TOKEN": "huggingface_hub",
    "REDISCLI_AUTH": "redis-cli, and the bundled Redis' own configuration",
    "RABBITMQ_DEFAULT_USER": "the bundled RabbitMQ",
    "RABBITMQ_DEFAULT_PASS": "the bundled RabbitMQ",
}
PORTS = {
    "gateway": Settings().port,
    "keeper": Settings().keeper_port,
    "worker": Settings().worker_port,
}
NASTY = "pa:ss/w@rd#%41 ü"


def ours(objects: list[Any]) -> Iterator[Pod]:
    """Gateway, keeper and workers."""
    yield from (found for found in pods(objects) if found.component in PORTS)


def asked_for(values: Any) -> set[str]:
    """What the values themselves put into environments."""
    names: set[str] = set()
    for found in (*values.get("models", {}).values(), *values.values()):
        for kind in ("env", "envFromSecrets"):
            names |= set(found.get(kind, {})) if isinstance(found, dict) else set()
    return names


# --- settings ---------------------------------------------------------------------------------------


def names_in_environments() -> set[str]:
    """Every name that the chart sets in some scenario."""
    return {
        name
        for values in SCENARIOS.values()
        for found in pods(render(values))
        for name in found.env().keys() - asked_for(values)
    }


def test_every_variable_is_a_setting_or_on_a_short_list() -> None:
    names = names_in_environments()
    settings = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}

    assert {name for name in names if name.startswith(PREFIX)} <= settings
    assert {name for name in names if not name.startswith(PREFIX)} == NOT_OURS.keys()


def test_the_guard_knows_every_variable_that_the_chart_sets() -> None:
    guards = (CHART / "templates/guards.yaml").read_text("utf-8")
    (listed,) = re.findall(r'\$set := list ((?:"\w+" ?)+)', guards)
    of_stores = {name for name in NOT_OURS if name.startswith(("RABBITMQ", "REDISCLI"))}
    ports = {f"{PREFIX}{name}" for name in ("PORT", "KEEPER_PORT", "WORKER_PORT")}

    assert set(re.findall(r"\w+", listed)) == names_in_environments() - of_stores | ports


def environment(found: Pod, container: str) -> dict[str, str]:
    """What the container sees, where every Secret holds a nasty password."""
    fields = {"metadata.name": "soloist-worker-spam-7d9f-x", "metadata.namespace": "team"}

    def value(each: dict[str, Any]) -> str:
        source = each.get("valueFrom", {})
        if "fieldRef" in source:
            return fields[source["fieldRef"]["fieldPath"]]
        return NASTY if source else each["value"]

    return {name: value(each) for name, each in found.env(container).items()}


def catalog_of(objects: list[Any], found: Pod, folder: Path) -> Catalog:
    """The catalog as the pod reads it."""
    (volume,) = [v for v in found.spec["volumes"] if v["name"] == "catalog"]
    config = by_name(objects)[f"ConfigMap/{volume['configMap']['name']}"]
    for container in found.containers:
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert environment(found, container["name"])["SOLOIST_CATALOG"] == (
            mounts["catalog"] + "/catalog.yaml"
        )
    path = folder / "catalog.yaml"
    path.write_text(config["data"]["catalog.yaml"], "utf-8")
    return load_catalog(path)


@for_each_scenario
def test_every_pod_of_ours_starts_with_its_settings_and_catalog(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = render(SCENARIOS[scenario])
    whole = catalog_of(objects, pod(objects, "gateway"), tmp_path)
    for found in ours(objects):
        seen = environment(found, found.component)
        monkeypatch.setattr(os, "environ", seen)
        settings = load_settings()

        assert settings.host == "0.0.0.0"
        assert (settings.pod_selector is not None) == ("SOLOIST_POD_SELECTOR" in seen)
        models = catalog_of(objects, found, tmp_path)
        if found.component == "worker":
            name = found.labels["soloist/model"]
            kept_from_it = {
                field: ModelSpec.model_fields[field].default for field in NOT_FOR_WORKERS
            }
            assert list(models.values()) == [whole[name].model_copy(update=kept_from_it)]
            assert settings.worker_name == "soloist-worker-spam-7d9f-x"
        else:
            assert models == whole


def test_passwords_reach_the_settings_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in (
        ("external Redis", "rediss://soloist:{}@redis.example.org:6380/2"),
        (
            "sentinel",
            "rediss+sentinel://soloist:{}@sentinel-0.redis.example.org:26379,sentinel-1:26380/main.ledger/2",
        ),
        ("defaults", "redis://:{}@soloist-ledger:6379/0"),
    ):
        seen = environment(pod(render(SCENARIOS[name]), "gateway"), "gateway")
        monkeypatch.setattr(os, "environ", seen)
        assert load_settings().ledger == url.format("pa%3Ass%2Fw%40rd%23%2541%20%C3%BC")
    seen = environment(pod(render(SCENARIOS["sentinel"]), "worker"), "worker")
    monkeypatch.setattr(os, "environ", seen)
    login = load_settings().sentinel_login("broker")
    assert login == {"username": "watcher", "password": seen["SOLOIST_REDIS_PASSWORD"]}
    assert load_settings().ledger_replicas == 1
    seen = environment(pod(render(SCENARIOS["broker external"]), "worker"), "worker")
    monkeypatch.setattr(os, "environ", seen)
    assert load_settings().broker.startswith("amqps://pa%3Ass")
    assert load_settings().broker.endswith("@rabbit.example.org:5671/soloist")


def test_large_numbers_and_options_reach_the_catalog_as_they_are(tmp_path: Path) -> None:
    objects = render(SCENARIOS["python model"])

    spec = catalog_of(objects, pod(objects, "worker"), tmp_path)["spam"]
    assert spec.options == {"mark": "!", "most": 10_000_000}
    assert isinstance(spec.options["most"], int)


@for_each_scenario
def test_the_keeper_finds_the_workers_and_nobody_else(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    env = pod(objects, "keeper").env()
    if "SOLOIST_POD_SELECTOR" in env:
        wanted = dict(part.split("=") for part in env["SOLOIST_POD_SELECTOR"]["value"].split(","))
        found = [each for each in pods(objects) if wanted.items() <= each.labels.items()]
        assert {each.component for each in found} == {"worker"}
        assert len(found) == len([each for each in pods(objects) if each.component == "worker"])


# --- the ledger -------------------------------------------------------------------------------------


def test_keda_reads_the_keys_of_the_ledger() -> None:
    for name, prefix in (
        ("everything", "team-a:"),
        ("defaults", "soloist:"),
        ("sentinel", "soloist:"),
    ):
        for found in of_kind(render(SCENARIOS[name]), "ScaledObject"):
            of_model = found["metadata"]["labels"]["soloist/model"]
            lists = {
                trigger["name"]: trigger["metadata"]["listName"]
                for trigger in found["spec"]["triggers"]
                if trigger["type"] in ("redis", "redis-sentinel")
            }
            assert lists == {
                kind: key(prefix, kind, of_model) for kind in ("queued", "running", "busy")
            }
            assert lists.keys() <= PER_MODEL.keys()


@for_each_scenario
def test_keda_reads_the_same_database_as_the_pods(scenario: str) -> None:
    objects = render(SCENARIOS[scenario], namespace="team")
    url = pod(objects, "gateway").env()["SOLOIST_REDIS_URL"]["value"]
    for found in of_kind(objects, "ScaledObject"):
        for trigger in found["spec"]["triggers"]:
            if trigger["type"] == "redis":
                says = trigger["metadata"]
                scheme = "rediss" if says.get("enableTLS") == "true" else "redis"
                host, port = says["address"].replace(".team.svc", "").split(":")
                assert url == f"{scheme}://{host}:{port}/{says['databaseIndex']}"


def test_keda_asks_the_same_sentinels_as_the_pods() -> None:
    objects = render(SCENARIOS["sentinel"], namespace="team")
    known = read_sentinels(pod(objects, "gateway").env()["SOLOIST_REDIS_URL"]["value"])
    (authentication,) = of_kind(objects, "TriggerAuthentication")
    triggers = scaled_object(objects, "minilm")["spec"]["triggers"]

    assert [trigger["type"] for trigger in triggers] == ["redis-sentinel"] * 3
    for trigger in triggers:
        says = trigger["metadata"]
        addresses = ",".join(f"{host}:{port}" for host, port in known.addresses)
        assert says["addresses"].replace(".team.svc", "") == addresses
        assert says["sentinelMaster"] == known.service == "main.ledger"
        assert (says["databaseIndex"], known.database) == ("2", 2)
        assert (says["enableTLS"], known.tls) == ("true", True)
        assert (says["username"], says["sentinelUsername"]) == ("soloist", "watcher")
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "password", "name": "redis", "key": "password"},
        {"parameter": "sentinelPassword", "name": "sentinel", "key": "secret"},
    ]


def test_pods_may_reach_the_sentinels_and_the_redis_that_they_name() -> None:
    objects = by_name(render(SCENARIOS["sentinel"]))
    for component in ("gateway", "keeper", "worker"):
        rule, *_ = objects[f"NetworkPolicy/soloist-{component}"]["spec"]["egress"]
        assert {each["port"] for each in rule["ports"]} == {26379, 26380, 6379}


# --- paths, ports, arguments ------------------------------------------------------------------------


def paths_of(component: str, catalog: Catalog) -> set[str]:
    """The paths that the component answers on."""
    if component == "worker":
        known = ("/livez", "/startupz", "/readyz", "/metrics", "/other")
        return {path for path in known if Health().answer_probe(path)[0] != 404}
    if component == "gateway":
        return {route.path for route in gateway_health.router.routes}
    return {route.path for route in create_keeper(Settings(), catalog).routes}


def test_probes_ask_for_paths_and_ports_that_exist(tmp_path: Path) -> None:
    objects = render(SCENARIOS["monitoring"])
    (monitor,) = of_kind(objects, "PodMonitor")
    for found in ours(objects):
        container = found.container(found.component)
        paths = paths_of(found.component, catalog_of(objects, found, tmp_path))
        port = {"name": "http", "containerPort": PORTS[found.component], "protocol": "TCP"}
        assert container["ports"] == [port]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "http"
            assert container[probe]["httpGet"]["path"] in paths
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert endpoint["path"] in paths
            assert endpoint["port"] == "http"


def dockerfile(image: str) -> str:
    return (ROOT / f"Dockerfile.{image}").read_text("utf-8").replace("\\\n", " ")


def test_images_listen_where_the_chart_looks() -> None:
    for image, components in (("api", ("gateway", "keeper")), ("worker", ("worker",))):
        (line,) = re.findall(r"^EXPOSE (.*)$", dockerfile(image), re.MULTILINE)
        assert {int(port) for port in line.split()} == {PORTS[name] for name in components}


def test_images_run_as_the_charts_user() -> None:
    context = pod(render({}), "gateway").spec["securityContext"]
    for image in ("api", "worker"):
        *_, user = re.findall(r"^USER (\d+)", dockerfile(image), re.MULTILINE)
        assert int(user) == context["runAsUser"]


def test_a_worker_loads_nothing_from_the_network() -> None:
    assert re.search(r"\bHF_HUB_OFFLINE=1\b", dockerfile("worker"))
    for values in SCENARIOS.values():
        for found in ours(render(values)):
            assert "HF_HUB_OFFLINE" not in found.env(found.component)


def test_the_cache_of_the_image_is_where_the_chart_mounts_it() -> None:
    (cache,) = re.findall(r"\bHF_HUB_CACHE=(\S+)", dockerfile("worker"))

    assert pod(render({}), "worker").env()["HF_HUB_CACHE"]["value"] == cache


def entry_point(image: str) -> list[str]:
    (line,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile(image), re.MULTILINE)
    return list(json.loads(line))


def test_the_images_take_the_arguments_of_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(worker.drain, "install_handlers", lambda: None)
    monkeypatch.setattr(worker.process, "serve_model", lambda *args: calls.append(args) or 0)
    monkeypatch.setattr(worker.process, "fetch_to_cache", lambda name: calls.append(name) or 0)
    monkeypatch.setattr(service.process, "serve_gateway", lambda: calls.append("gateway"))
    monkeypatch.setattr(service.process, "serve_keeper", lambda: calls.append("keeper"))
    mains = {("python", "-m", "service"): serve, ("python", "-m", "worker"): work}
    for found in ours(render(model())):
        for container in found.containers:
            image = container["image"].split(":")[0].removeprefix("soloist-")
            assert "command" not in container
            assert mains[tuple(entry_point(image)[-3:])](container["args"]) == 0
    assert sorted(map(str, calls)) == ["('spam', 'solo', 1)", "gateway", "keeper", "spam"]


@for_each_scenario
def test_the_smoke_test_takes_its_arguments(scenario: str) -> None:
    from k8s.__main__ import app

    (found,) = of_kind(render(SCENARIOS[scenario]), "Pod")
    (container,) = found["spec"]["containers"]
    assert container["command"] == ["python", "-m", "k8s", "smoke"]
    command = typer.main.get_command(app).commands["smoke"]
    given = command.make_context("smoke", list(container["args"])).params
    assert str(given["catalog"]) == "/etc/soloist/catalog.yaml"
    if given["input_json"]:
        assert json.loads(given["input_json"]) == SCENARIOS[scenario]["test"]["input"]


def test_the_target_of_a_model_follows_its_batch_size_and_the_keeper_knows_it(
    tmp_path: Path,
) -> None:
    for catalog, target in (
        ({}, "32"),
        ({"max_batch_size": 7}, "7"),
        ({"max_batch_size": 1}, "1"),
        ({"max_batch_size": 7, "scaling_target": 3}, "3"),
    ):
        given = {"source": "a/b", "task": "fill-mask", **catalog}
        objects = render(model(given))
        modifiers = scaled_object(objects)["spec"]["advanced"]["scalingModifiers"]
        assert modifiers["target"] == target
        kept = catalog_of(objects, pod(objects, "keeper"), tmp_path)
        assert {spec.scaling_target for spec in kept.values()} == {int(target)}
        assert f"busy * {target})" in modifiers["formula"]
