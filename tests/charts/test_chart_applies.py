"""What an apply leaves as it is: no object of any scenario differs for ever from what the API server keeps of it.

GitOps controllers compare the two all the time. What a server adds to a map they leave alone; what it drops, rewrites
or adds within a list they would put back for ever, and a list without its keys no server-side apply can merge.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.charts.loops import for_each_scenario
from tests.charts.objects import name_of, of_kind, walk
from tests.charts.rendering import Object, render, render_together
from tests.charts.scenarios import SCENARIOS, merged

pytestmark = pytest.mark.usefixtures("rendered")

Path = tuple[str | int, ...]

KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""The lists of a pod that are merged by keys (x-kubernetes-list-map-keys); those of ports are below."""
MEANT = ("emptyDir", "podSelector", "namespaceSelector")
"""Where an empty map says something."""
QUANTITIES = ("requests", "limits")
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
DECIMAL = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}


def lists(found: Object) -> Iterator[tuple[Path, list[Any], tuple[str, ...]]]:
    """Every list that is merged by keys, with them."""
    for path, value in walk(found):
        if not isinstance(value, list) or not path:
            continue
        if path[-1] == "ports" and "containers" in path:
            yield path, value, ("containerPort", "protocol")
        elif path == ("spec", "ports") and found["kind"] == "Service":
            yield path, value, ("port", "protocol")
        elif path[-1] in KEYS:
            yield path, value, KEYS[str(path[-1])]


def told(found: Object, path: Path) -> str:
    return f"{name_of(found)} {'.'.join(map(str, path))}"


@for_each_scenario
def test_every_entry_of_a_merged_list_has_its_keys_and_once(scenario: str) -> None:
    for found in render(SCENARIOS[scenario]):
        for path, entries, keys in lists(found):
            for entry in entries:
                assert entry.keys() >= set(keys), told(found, path)
            ids = [tuple(entry[key] for key in keys) for entry in entries]
            assert len(ids) == len(set(ids)), told(found, path)


@for_each_scenario
def test_nothing_is_null_or_empty_for_nothing(scenario: str) -> None:
    for found in render(SCENARIOS[scenario]):
        for path, value in walk(found):
            assert value is not None, told(found, path)
            if value in ({}, []):
                assert path[-1] in MEANT, told(found, path)


def canonical(text: str) -> str:
    """A quantity as the API server writes it (k8s.io/apimachinery/pkg/api/resource).

    >>> canonical("1000m"), canonical("1024Mi"), canonical("0.5"), canonical("1500m"), canonical("1.5Gi")
    ('1', '1Gi', '500m', '1500m', '1536Mi')
    """
    number, suffix = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text).groups()  # type: ignore[union-attr]
    if suffix in BINARY:
        amount, steps = Decimal(number) * 2 ** BINARY[suffix], [*BINARY.items()]
        return next(
            f"{int(amount / 2**power)}{name}"
            for name, power in reversed(steps)
            if not amount % 2**power
        )
    amount = Decimal(number) * Decimal(10) ** DECIMAL[suffix]
    return next(
        f"{int(amount.scaleb(-power))}{name}"
        for name, power in reversed(DECIMAL.items())
        if amount.scaleb(-power) % 1 == 0
    )


def quantities(found: Object) -> Iterator[tuple[Path, Any]]:
    for path, value in walk(found):
        of_resources = path[-2:-1] and path[-2] in QUANTITIES and "devices" not in path
        if path[-1:] == ("sizeLimit",) or of_resources or path[-2:] == ("persistence", "storage"):
            yield path, value


@for_each_scenario
def test_every_quantity_is_written_as_the_api_server_writes_it(scenario: str) -> None:
    for found in render(SCENARIOS[scenario]):
        for path, value in quantities(found):
            assert isinstance(value, str), told(found, path)
            assert value == canonical(value), told(found, path)


@for_each_scenario
def test_claims_within_a_stateful_set_say_their_kind(scenario: str) -> None:
    """The API server adds it within a list."""
    for found in of_kind(render(SCENARIOS[scenario]), "StatefulSet"):
        for claim in found["spec"].get("volumeClaimTemplates", []):
            assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
            assert claim["spec"]["volumeMode"] == "Filesystem"


def test_a_route_says_what_its_kind_would_add_within_its_lists() -> None:
    (route,) = of_kind(render(SCENARIOS["http route"]), "HTTPRoute")
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    (rule,) = route["spec"]["rules"]

    assert all(each.items() >= parent.items() for each in route["spec"]["parentRefs"])
    assert all(
        each.items() >= {"group": "", "kind": "Service", "weight": 1}.items()
        for each in rule["backendRefs"]
    )
    theirs = [{"name": "mine", "group": "", "kind": "Service"}]
    own = merged(SCENARIOS["http route"], {"gateway": {"httpRoute": {"parentRefs": theirs}}})
    (route,) = of_kind(render(own), "HTTPRoute")
    assert route["spec"]["parentRefs"] == theirs


@for_each_scenario
def test_the_only_hook_is_that_of_helm_test(scenario: str) -> None:
    """Argo CD makes its own hooks of Helm's and passes over `test`; Flux runs them as Helm does."""
    for found in render(SCENARIOS[scenario]):
        hook = found["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert (hook == "test") is (found["kind"] == "Pod"), name_of(found)
        for _, value in walk(found):
            assert not isinstance(value, str) or "argocd.argoproj.io" not in value


def without_made_up(scenario: str) -> dict[str, Any]:
    return merged(SCENARIOS[scenario], {"secrets": {"generate": False}})


@pytest.mark.slow
def test_two_renders_are_equal_in_all_but_the_passwords_that_are_made_up(helm: int) -> None:
    again = render_together(map(without_made_up, SCENARIOS), helm=helm)

    for scenario, values in SCENARIOS.items():
        once = [each for each in render(values, helm=helm) if each["kind"] != "Secret"]
        assert again(without_made_up(scenario)) == once, scenario


@pytest.mark.parametrize(
    ("text", "written"),
    [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1500m", "1500m"), ("1.5Gi", "1536Mi")],
)
def test_quantities_are_rewritten_as_kubernetes_does(text: str, written: str) -> None:
    assert canonical(text) == written
