"""Every object of every scenario is what Kubernetes 1.30 to 1.37 and the operators take, to the last key."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.charts.objects import name_of, walk
from tests.charts.rendering import Object, Refusal, render
from tests.charts.scenarios import SCENARIOS

pytestmark = pytest.mark.usefixtures("rendered")

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
KUBERNETES = files("kubernetes_validate") / "kubernetes-json-schema"
OPERATORS = Path(__file__).parent / "schemas"
DEFINITIONS = "json:/api/_definitions.json"


def objects() -> list[Object]:
    """Each different object of all scenarios once."""
    seen = {
        json.dumps(found, sort_keys=True): found
        for values in SCENARIOS.values()
        for found in render(values)
    }
    return list(seen.values())


def of_operators(found: Object) -> bool:
    return (OPERATORS / f"{found['kind'].lower()}.json").exists()


def since(found: Object) -> str:
    """The Kubernetes that has all of this object; the chart's guards demand it."""
    ways = [path for path, _ in walk(found)]
    if found["kind"] == "ResourceClaimTemplate" or any("resourceClaims" in way for way in ways):
        return "1.34"
    images = any(way[-1:] == ("image",) and "volumes" in way for way in ways)
    return "1.33" if images else VERSIONS[0]


@cache
def definitions(version: str) -> Any:
    text = (KUBERNETES / f"v{version}.0-local-strict" / "_definitions.json").read_text("utf-8")
    return jsonschema_rs.Registry([(DEFINITIONS, json.loads(text))])


@cache
def validator(version: str, kind: str, api_version: str) -> Any:
    """The strict schema of a kind: an unknown key is refused."""
    group, _, of_group = api_version.partition("/")
    name = f"{kind}-{group.split('.')[0]}{of_group and '-'}{of_group}.json".lower()
    schema = json.loads((KUBERNETES / f"v{version}.0-local-strict" / name).read_text("utf-8"))
    return jsonschema_rs.Draft202012Validator(
        schema, registry=definitions(version), base_uri="json:/api/kind.json"
    )


def faults(version: str, found: Object) -> Iterator[str]:
    for fault in validator(version, found["kind"], found["apiVersion"]).iter_errors(found):
        yield f"{name_of(found)} {'.'.join(map(str, fault.instance_path))}: {fault.message}"


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_key(version: str) -> None:
    found = [each for each in objects() if not of_operators(each) and since(each) <= version]

    assert len(found) > 100
    assert [fault for each in found for fault in faults(version, each)] == []


def test_the_check_finds_an_unknown_key_and_a_wrong_type() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    wrong = {**service, "spec": {"ports": [{"port": "80", "colour": "red"}]}}

    assert list(faults("1.35", {**service, "spec": {"ports": [{"port": 80}]}})) == []
    assert len(list(faults("1.35", wrong))) == 2


@pytest.mark.parametrize(
    ("scenario_of_its_own", "needs"),
    [("gpu dra", "1.34"), ("cache image", "1.33"), ("defaults", "1.30")],
)
def test_the_guards_demand_the_kubernetes_that_the_objects_need(
    scenario_of_its_own: str, needs: str
) -> None:
    values = SCENARIOS[scenario_of_its_own]
    before = f"1.{int(needs[2:]) - 1}.14"

    assert max(map(since, render(values, kube=f"{needs}.0"))) == needs
    with pytest.raises(Refusal, match=needs):
        render(values, kube=before)


@cache
def operators() -> dict[str, Any]:
    """Our own strict schemas of what we use of the operators' kinds."""
    schemas = {path.stem: json.loads(path.read_text("utf-8")) for path in OPERATORS.iterdir()}
    shared = jsonschema_rs.Registry([("json:/metadata.json", schemas["metadata"])])
    return {
        kind: jsonschema_rs.Draft202012Validator(
            schema, registry=shared, base_uri=f"json:/{kind}.json"
        )
        for kind, schema in schemas.items()
    }


def test_the_operators_know_every_key() -> None:
    found = [each for each in objects() if of_operators(each)]

    assert {each["kind"].lower() for each in found} == operators().keys() - {"metadata"}
    wrong = [
        f"{name_of(each)} {fault.instance_path}: {fault.message}"
        for each in found
        for fault in operators()[each["kind"].lower()].iter_errors(each)
    ]
    assert wrong == []


def test_our_own_schemas_are_as_strict_at_every_level() -> None:
    for path in OPERATORS.iterdir():
        for where, value in walk(json.loads(path.read_text("utf-8"))):
            if isinstance(value, dict) and value.get("type") == "object":
                assert "additionalProperties" in value, (path.name, where)


def keys(value: Any) -> set[tuple[str | int, ...]]:
    return {path for path, _ in walk(value)}


def with_quantities_as_text(value: Any) -> Any:
    """As the API server answers them, and as the client wants them: 1 is "1"."""
    if isinstance(value, dict):
        return {
            key: {name: str(amount) for name, amount in inner.items()}
            if key in ("requests", "limits") and isinstance(inner, dict)
            else with_quantities_as_text(inner)
            for key, inner in value.items()
        }
    return [with_quantities_as_text(each) for each in value] if isinstance(value, list) else value


def test_the_python_client_loses_no_key() -> None:
    from kubernetes import client

    for found in map(with_quantities_as_text, objects()):
        if not of_operators(found):
            version = found["apiVersion"].rpartition("/")[2].capitalize()
            read = getattr(client, f"{version}{found['kind']}").from_dict(found)
            lost = keys(found) - keys(read.model_dump(by_alias=True, exclude_none=True))
            assert not lost, (name_of(found), lost)
