"""What Helm refuses for the chart's schema the check refuses, in a sentence; what null empties is empty for both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_result import Run
from fake_cluster import FakeCluster

from k8s.values import CHART, load_values
from tests.charts.rendering import HELM, refusal, render
from tests.support.external_tools import missing

OWN = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
COMPLETE = json.loads((CHART / "values.schema.json").read_text("utf-8"))["definitions"]["complete"]
OTHERS = ("models", "demo", "resources", "podSecurityContext")
"""Maps whose keys are not the chart's."""
HELD = ("defaults.catalog", "defaults.gpu", "serviceAccounts.annotations")
"""Maps that are empty, and are merged with what else the values say."""
SPAM = {"source": "a/b", "task": "text-classification"}


@pytest.fixture(scope="module")
def helms() -> None:
    if not all(path.exists() for path in HELM.values()):
        missing("Helm is not there: make helm")


@pytest.fixture
def values_of(tmp_path: Path) -> Any:
    def load(*texts: str) -> dict[str, Any]:
        files = [tmp_path / f"{number}.yaml" for number, _ in enumerate(texts)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return load_values(files)

    return load


# --- refused by both --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [spam]", 'models must be of the type object, and is ["spam"]'),
        ("models: {spam: yes}", "models.spam must be of the type object, and is true"),
        ("models: {spam: {scaling: {max: '4'}}}", 'max must be of the type integer, and is "4"'),
        ("models: {1: {scaling: null}}", "models.1.scaling must be of the type object"),
        (
            "models: {spam: {tolerations: null}}",
            "models.spam.tolerations must be of the type array",
        ),
        ("models: {spam: {scalling: {max: 4}}}", "there is no value models.spam.scalling; docs/"),
        ("replicas: 2", "there is no value replicas; docs/values.md has all"),
        ("images: {pullSecrets: registry}", "images.pullSecrets must be of the type array"),
        ("images: {api: {tag: 1.10}}", "images.api.tag must be of the type string, and is 1.1"),
        ("images: {worker: {digest: latest}}", "images.worker.digest: "),
        ("ledger: {mode: extern}", 'ledger.mode: "extern" is not one of "bundled" or "external"'),
        ("gpu: {mode: null}", "gpu.mode is null, and the chart needs it"),
        ("networkPolicy: null", "networkPolicy is null, and the chart needs it"),
        ("defaults: {cache: null}", "defaults.cache is null, and the chart needs it"),
        ("gateway: {replicas: two, hpa: null}", "gateway.hpa is null, and the chart needs it (and"),
    ],
)
def test_values_that_helm_would_refuse_are_refused_before_any_look(
    run: Run, kubeconfig: Path, tmp_path: Path, fit: FakeCluster, helms: None, text: str, says: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    result = run("check", "--kubeconfig", kubeconfig, "-f", file)

    assert (result.code, result.out) == (2, "")
    assert "Helm would refuse these values: " in result.err
    assert says in result.err
    assert result.err.count("\n") == 1
    for helm in HELM:
        assert "values don't meet the specifications" in refusal(yaml.safe_load(text), helm)


# --- null -------------------------------------------------------------------------------------------


def required(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The words and numbers of the chart's values, and what holds them."""
    needed: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{before}{key}"
        if path in HELD:
            needed[key] = {}
        elif isinstance(value, dict) and key not in OTHERS and not key.endswith("nnotations"):
            below = required(value, f"{path}.")
            needed |= {key: below} if below else {}
        elif not isinstance(value, dict | list) or path.endswith(("Modes", "Ports")):
            needed[key] = {}
    return needed


def in_schema(part: dict[str, Any]) -> dict[str, Any]:
    below = part.get("properties", {})
    return {key: in_schema(below.get(key, {})) for key in part.get("required", [])}


def test_words_numbers_and_what_holds_them_are_needed_and_nothing_else() -> None:
    assert in_schema(COMPLETE) == required(OWN)


def nulls(values: dict[str, Any], needed: dict[str, Any]) -> dict[str, Any]:
    """Null for each value that is not needed."""
    found: dict[str, Any] = dict.fromkeys(values.keys() - needed.keys())
    for key, below in needed.items():
        if isinstance(values[key], dict) and below:
            found |= {key: nulls(values[key], below)}
    return found


def everything_null() -> dict[str, Any]:
    values = nulls(OWN, in_schema(COMPLETE))
    values["models"] = {"spam": {"catalog": SPAM}}
    values["secrets"] = {"generate": False}
    return values


def maps(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict):
        yield found
        for value in found.values():
            yield from maps(value)


def test_lists_and_maps_that_null_takes_away_are_empty_for_helm(helms: None) -> None:
    values = everything_null()
    values["gpu"]["mode"] = "devicePlugin"
    values["defaults"] |= {"placeholders": 1, "prePull": True}
    values["broker"]["mode"] = "bundled"
    for helm in HELM:
        assert len(render(values, helm=helm)) > 30


def test_they_are_empty_for_the_check(check: Run, fit: FakeCluster, values_of: Any) -> None:
    loaded = values_of(json.dumps(everything_null()))
    fit.add("/api/v1/namespaces/ml/secrets", "soloist-ledger", data={"password": ""})
    result = check(everything_null())

    assert all(None not in each.values() for each in maps(loaded))
    assert loaded["defaults"]["tolerations"] == loaded["images"]["pullSecrets"] == []
    assert loaded["gateway"]["resources"] == {}
    assert (result.code, result.err) == (0, "")


def test_a_key_of_a_map_may_be_taken_away(values_of: Any) -> None:
    values = values_of("defaults: {resources: {limits: {memory: null}}}")

    assert values["defaults"]["resources"]["limits"] == {}


def test_a_file_may_set_what_the_file_before_it_has_taken_away(values_of: Any) -> None:
    values = values_of("gateway: {ingress: null}", "gateway: {ingress: {hosts: [a.example.org]}}")

    assert values["gateway"]["ingress"]["hosts"] == ["a.example.org"]
    assert values["gateway"]["ingress"]["enabled"] is False


def test_a_key_is_a_word_whatever_yaml_makes_of_it(values_of: Any) -> None:
    catalog = json.dumps({"catalog": SPAM})
    values = values_of(f"models: {{1: {catalog}, 2026-01-01: {catalog}}}")

    assert set(values["models"]) == {"1", "2026-01-01"}
