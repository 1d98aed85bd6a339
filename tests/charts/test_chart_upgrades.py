"""What an upgrade restarts, and what it leaves alone; and what Helm tells after it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from starlette.testclient import TestClient

from contract.catalog import Catalog, load_catalog
from contract.examples import example
from contract.settings import Settings
from contract.tasks import TASKS
from service.app import create_gateway
from tests.charts.objects import by_name, name_of, of_kind, restarted, templates, without_passwords
from tests.charts.rendering import Object, copy_of_chart, install_notes, render, render_together
from tests.charts.scenarios import SCENARIOS, SHOUT, SPAM, merged, model

TINY = {"models": {"tiny": {"catalog": SHOUT}}}
OURS = {"Deployment/soloist-gateway", "Deployment/soloist-keeper"}


def test_a_new_model_touches_nothing_of_the_others() -> None:
    before, after = render(model()), render(merged(model(), TINY))
    kept = by_name(without_passwords(after))

    for found in without_passwords(before):
        if found["metadata"]["labels"]["app.kubernetes.io/component"] == "worker":
            assert kept[name_of(found)] == found
    assert restarted(before, after) == OURS


def test_a_model_that_goes_touches_nothing_of_the_others() -> None:
    with_both = merged(model(), TINY)
    off = merged(with_both, {"models": {"tiny": {"enabled": False}}})

    assert restarted(render(with_both), render(off)) == OURS
    assert "Deployment/soloist-worker-tiny" not in by_name(render(off))


def test_a_models_new_catalog_entry_restarts_its_worker_and_who_validates_its_input() -> None:
    with_both = merged(model(), TINY)
    changed = merged(with_both, {"models": {"tiny": {"catalog": {"max_batch_size": 5}}}})

    assert restarted(render(with_both), render(changed)) == OURS | {
        "Deployment/soloist-worker-tiny"
    }


def test_a_new_version_of_the_chart_alone_restarts_nobody(copies: dict[str, Path]) -> None:
    other = render_together(SCENARIOS.values(), chart=copies["version"])

    for scenario, values in SCENARIOS.items():
        assert restarted(render(values), other(values)) == set(), scenario


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, rendered: None) -> dict[str, Path]:
    """The chart with another version, and with another version of the app."""
    folder = tmp_path_factory.mktemp("charts")
    return {
        "version": copy_of_chart(folder / "a", version="9.9.9"),
        "app": copy_of_chart(folder / "b", appVersion="9.9.9"),
    }


def test_a_new_version_of_the_app_is_another_image_of_ours_and_nothing_else(
    copies: dict[str, Path],
) -> None:
    values = merged(SCENARIOS["warm spare GPUs"], {"broker": {"mode": "bundled"}})
    before, after = render(values), render(values, chart=copies["app"])
    ours = OURS | {"Deployment/soloist-worker-spam", "DaemonSet/soloist-prepull-spam"}

    assert restarted(before, after) == ours
    old, new = ({n: json.dumps(t) for n, t in templates(o).items()} for o in (before, after))
    for name in ours:
        assert re.sub(r"(soloist-(api|worker)):0\.1\.0", r"\1:9.9.9", old[name]) == new[name]


@pytest.mark.parametrize(
    "values",
    [
        {"gateway": {"replicas": 9}},
        {"gateway": {"hpa": {"enabled": True}}},
        {"keeper": {"protectBusyPods": True}},
        {"defaults": {"scaling": {"max": 9, "cooldownSeconds": 60}}},
        {"monitoring": {"podMonitor": {"enabled": True}}},
        {"networkPolicy": {"enabled": False}},
        {"test": {"timeoutSeconds": 5}},
        {"images": {"api": {"tag": "2"}}},
    ],
    ids=json.dumps,
)
def test_what_is_none_of_their_business_restarts_no_worker(values: dict[str, Any]) -> None:
    workers = {"Deployment/soloist-worker-spam", "StatefulSet/soloist-ledger"}

    assert restarted(render(model()), render(merged(model(), values))) & workers == set()


def test_a_selector_never_changes(copies: dict[str, Path]) -> None:
    """Kubernetes refuses that: the release could not be upgraded any more."""
    values = SCENARIOS["everything"]
    for chart in copies.values():
        after = by_name(render(values, chart=chart))
        for found in render(values):
            if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
                assert after[name_of(found)]["spec"]["selector"] == found["spec"]["selector"]
            if found["kind"] == "StatefulSet":
                for kept in ("serviceName", "volumeClaimTemplates"):
                    assert after[name_of(found)]["spec"].get(kept) == found["spec"].get(kept)


def test_a_volume_claim_carries_no_version() -> None:
    (ledger,) = of_kind(render({}), "StatefulSet")
    (claim,) = ledger["spec"]["volumeClaimTemplates"]

    assert claim["metadata"] == {"name": "data"}


# --- what Helm tells ----------------------------------------------------------------------------------


def catalog_of(objects: list[Object], folder: Path) -> Catalog:
    """The gateway's catalog."""
    path = folder / "catalog.yaml"
    path.write_text(by_name(objects)["ConfigMap/soloist-catalog"]["data"]["catalog.yaml"], "utf-8")
    return load_catalog(path)


def told(values: dict[str, Any]) -> list[str]:
    """The words of the curl in the notes, as a shell takes them."""
    command = re.search(r"curl .*?(?<!\\)\n", install_notes(values), re.DOTALL)
    assert command
    return shlex.split(command[0].replace("\\\n", " "))


@pytest.mark.parametrize(
    "values",
    [{}, model(), model({**SPAM, "id": "my-team/spam"}), SCENARIOS["test of mine"], TINY],
    ids=["the demo", "a model", "an id of its own", "an input with quotes", "a python model"],
)
def test_the_notes_show_a_request_that_the_gateway_takes(values: Any, tmp_path: Path) -> None:
    words = told(values)
    specs = {spec.id: spec for spec in catalog_of(render(values), tmp_path).values()}
    owner_and_name = re.fullmatch(r"http://127\.0\.0\.1:8000/v1/models/(.+)/predictions", words[1])

    assert owner_and_name
    spec = specs[owner_and_name[1]]
    assert "Content-Type: application/json" in words
    body = json.loads(words[words.index("-d") + 1])
    assert body.keys() == {"input"}
    assert jsonschema_rs.is_valid(spec.inputs, body["input"])
    assert not values.get("test") or body["input"] == values["test"]["input"]


@pytest.mark.parametrize("task", TASKS)
def test_no_request_is_shown_that_the_task_would_refuse(task: str, tmp_path: Path) -> None:
    values = model({"source": "a/b", "task": task})
    words = told(values)
    (spec,) = catalog_of(render(values), tmp_path).values()
    body = words[words.index("-d") + 1]

    if body == "@input.json":
        assert '{"input": ...} in input.json' in install_notes(values)
    else:
        assert jsonschema_rs.is_valid(spec.inputs, json.loads(body)["input"])
        assert example(spec.inputs) is not None  # a text without a mask is none for fill-mask


def test_the_notes_warn_of_what_a_production_would_lack() -> None:
    assert "one volume" in install_notes({})
    assert "NO volume" in install_notes(SCENARIOS["bundled Redis without a volume"])
    assert "bundled Redis" not in install_notes(SCENARIOS["external Redis"])
    for name in ("ingress", "http route"):
        assert "no API keys yet" in install_notes(SCENARIOS[name])
    assert "no API keys yet" not in install_notes({})


def test_the_notes_name_services_and_ports_that_exist() -> None:
    values = {"gateway": {"service": {"port": 8080}}}
    (found,) = re.findall(r"port-forward service/(\S+) 8000:(\d+)", install_notes(values))
    service = by_name(render(values))[f"Service/{found[0]}"]

    assert [port["port"] for port in service["spec"]["ports"]] == [int(found[1])]


def test_the_pages_that_the_notes_name_exist(tmp_path: Path) -> None:
    paths = set(re.findall(r"http://127\.0\.0\.1:8000(/\w+)(?= |\.)", install_notes({})))
    gateway = create_gateway(Settings(), catalog_of(render({}), tmp_path))

    assert paths == {"/docs"}
    http = TestClient(gateway, base_url="http://localhost")
    assert [http.get(path).status_code for path in paths] == [200]
