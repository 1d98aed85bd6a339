"""Views of rendered objects: by kind and name, their pods, what restarts these and what they ask for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.charts.rendering import Object

MADE_UP = "(made up)"
MIB = 2**20
UNITS = {"": 1.0, "m": 0.001, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


def name_of(found: Object) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"


def by_name(objects: list[Object]) -> dict[str, Object]:
    """`Kind/name` -> object."""
    return {name_of(found): found for found in objects}


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [found for found in objects if found["kind"] == kind]


def without_passwords(objects: list[Object]) -> list[Object]:
    """The same objects; Helm makes up other passwords each time."""
    return [
        {**found, "data": dict.fromkeys(found["data"], MADE_UP)}
        if found["kind"] == "Secret"
        else found
        for found in objects
    ]


def templates(objects: list[Object]) -> dict[str, Any]:
    """The pod templates by the object that they are in: what changes here restarts pods."""
    return {
        name_of(found): found["spec"]["template"]
        for found in objects
        if "template" in found.get("spec", {})
    }


def restarted(before: list[Object], after: list[Object]) -> set[str]:
    """What is there before and after, with another pod template."""
    first, second = templates(before), templates(after)
    return {name for name in first.keys() & second.keys() if first[name] != second[name]}


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of one, with the name of the object that it is in."""

    of: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    claims: tuple[str, ...] = ()
    """Volumes that the object makes for it."""

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Init containers too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def container(self, name: str) -> dict[str, Any]:
        return next(found for found in self.containers if found["name"] == name)

    def env(self, container: str | None = None) -> dict[str, dict[str, Any]]:
        """The environment by name, of this container or of all."""
        return {
            each["name"]: each
            for found in self.containers
            if container in (None, found["name"])
            for each in found.get("env", [])
        }


def pods(objects: list[Object]) -> list[Pod]:
    """Every pod that these objects make."""
    return list(_pods(objects))


def _pods(objects: list[Object]) -> Iterator[Pod]:
    for found in objects:
        holder = found if found["kind"] == "Pod" else found.get("spec", {}).get("template")
        if holder:
            yield Pod(
                name_of(found),
                holder["metadata"].get("labels", {}),
                holder["metadata"].get("annotations", {}),
                holder["spec"],
                tuple(
                    claim["metadata"]["name"]
                    for claim in found["spec"].get("volumeClaimTemplates", [])
                ),
            )


def pod(objects: list[Object], component: str, model: str | None = None) -> Pod:
    """The one pod of this component, and of this model."""
    (one,) = [
        found
        for found in pods(objects)
        if found.component == component and model in (None, found.labels.get("soloist/model"))
    ]
    return one


def scaled_object(objects: list[Object], model: str = "spam") -> Object:
    """The ScaledObject of a model."""
    (one,) = [
        found
        for found in of_kind(objects, "ScaledObject")
        if found["metadata"]["labels"]["soloist/model"] == model
    ]
    return one


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels. Ours say `In` at most."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def walk(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every map, list and value within, with the way to it."""
    yield path, value
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        yield from walk(inner, (*path, key))


def amount(quantity: Any) -> float:
    """Kubernetes' `250m` or `96Mi` as a number.

    >>> amount("250m"), amount("1Gi") == 1024 * MIB
    (0.25, True)
    """
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", str(quantity)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def asked(objects: list[Object], resource: str) -> float:
    """What the pods of an idle release ask for, a replica of each worker included."""
    replicas = {
        f"{found['kind']}/{found['metadata']['name']}": found["spec"].get("replicas", 1)
        for found in objects
        if "template" in found.get("spec", {})
    }
    return sum(
        replicas[each.of] * amount(container["resources"]["requests"][resource])
        for each in pods(objects)
        if each.of in replicas
        for container in each.spec["containers"]
    )
