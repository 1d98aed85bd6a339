"""What both Helms make of the chart: the same, parsed strictly, with names that Kubernetes takes."""

import re

import pytest

from tests.charts.loops import for_each_scenario
from tests.charts.objects import by_name, name_of, of_kind, pod, walk, without_passwords
from tests.charts.rendering import HELM, documents, lint, render, unframed
from tests.charts.scenarios import SCENARIOS

pytestmark = pytest.mark.usefixtures("rendered")

LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
NAMES = {
    # Pods get the name of their StatefulSet with a hash, as a label of at most 63 characters.
    "StatefulSet": re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?"),
    # Before Kubernetes 1.34 a Service begins with a letter.
    "Service": re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"),
    "ScaledObject": re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
}
ANY_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?")


@for_each_scenario
def test_both_helms_render_the_same(scenario: str) -> None:
    fours, threes = (without_passwords(render(SCENARIOS[scenario], helm=helm)) for helm in HELM)

    assert by_name(fours) == by_name(threes)


@for_each_scenario
def test_no_object_stands_twice(scenario: str) -> None:
    names = [name_of(found) for found in render(SCENARIOS[scenario])]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.slow
@for_each_scenario
def test_helm_lint_is_content(scenario: str, helm: int) -> None:
    assert "0 chart(s) failed" in lint(SCENARIOS[scenario], helm)


def check_names(objects: list[dict]) -> None:
    for found in objects:
        name = found["metadata"]["name"]
        assert NAMES.get(found["kind"], ANY_NAME).fullmatch(name), name_of(found)
        for path, value in walk(found):
            if path and path[-1] in ("labels", "matchLabels"):
                for label in value.values():
                    assert LABEL.fullmatch(label), (name_of(found), label)
                    assert len(label) <= 63, (name_of(found), label)


@for_each_scenario
def test_names_and_labels_are_such_that_kubernetes_takes_them(scenario: str) -> None:
    check_names(render(SCENARIOS[scenario]))


def test_the_longest_names_fit_too() -> None:
    entry = {"catalog": {"source": "a/b", "task": "fill-mask"}, "placeholders": 1, "prePull": True}
    values = {"models": {"m" * 40: entry}, "broker": {"mode": "bundled"}}

    check_names(render(values, release="r" * 15))
    check_names(
        render({"models": {"m" * 10: entry}, "broker": {"mode": "bundled"}}, release="r" * 45)
    )


@pytest.mark.parametrize("name", ["on", "1", "0x1f", "1e3", "null", "true"])
def test_a_model_may_have_a_name_that_yaml_takes_for_something_else(name: str) -> None:
    entry = {"catalog": {"source": "a/b", "task": "fill-mask"}, "placeholders": 1, "prePull": True}
    objects = render({"models": {name: entry}})

    check_names(objects)
    assert pod(objects, "worker", name).container("worker")["args"] == ["--model", name]


def test_two_releases_in_one_namespace_share_no_object() -> None:
    values = {
        **SCENARIOS["everything"],
        "ledger": {},
        "broker": {"mode": "bundled"},
        "extraObjects": {},
    }
    names = [
        {name_of(found) for found in render(values, release=release)} for release in ("one", "two")
    ]

    assert names[0] & names[1] == set()


def test_releases_of_one_name_in_two_namespaces_share_nothing_of_the_cluster() -> None:
    values = SCENARIOS["warm spare GPUs"]
    classes = [
        of_kind(render(values, namespace=namespace), "PriorityClass")[0]["metadata"]["name"]
        for namespace in ("one", "two")
    ]

    assert classes == ["one-soloist-placeholder", "two-soloist-placeholder"]


@for_each_scenario
def test_what_belongs_to_no_namespace_is_the_priority_class_alone(scenario: str) -> None:
    kinds = {found["kind"] for found in render(SCENARIOS[scenario])}

    assert not {kind for kind in kinds if kind.startswith("Cluster")}
    assert not kinds & {"Namespace", "StorageClass", "CustomResourceDefinition"}


def test_templates_in_extra_objects_are_filled_in() -> None:
    note = by_name(render(SCENARIOS["extra objects"], release="mine"))["ConfigMap/mine-note"]

    assert note["data"] == {"of": "soloist"}


@for_each_scenario
def test_no_object_names_a_namespace_of_its_own(scenario: str) -> None:
    assert not [f for f in render(SCENARIOS[scenario]) if "namespace" in f["metadata"]]


def test_a_key_that_stands_twice_is_noticed() -> None:
    with pytest.raises(AssertionError, match="twice in the map of line 2: "):
        documents("a:\n  b: 1\n  b: 2\n")


def test_helms_own_frame_around_an_error_is_taken_off() -> None:
    framed = "Error: execution error at (soloist/templates/guards.yaml:3:5): no\n\nUse --debug flag to render out invalid YAML"

    assert unframed(framed) == "no"
