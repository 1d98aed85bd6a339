"""Rights as Kubernetes gives them: the rules of Roles, and whether they allow a request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}

Rule = Mapping[str, Any]
"""As in `rules` of a Role."""


@dataclass(frozen=True)
class Attributes:
    """What a request asks for. `resource` holds the subresource too, as in `pods/log`."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    @property
    def sentence(self) -> str:
        """The API server's own words for a refusal."""
        resource, _, _ = self.resource.partition("/")
        named = f' "{self.name}"' if self.name else ""
        place = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return (
            f'{resource}{named} is forbidden: User "we" cannot {self.verb} resource '
            f'"{self.resource}" in API group "{self.group}" {place}'
        )


def attributes_of(method: str, path: str, query: Mapping[str, str]) -> Attributes | None:
    """What the path asks for; None for what is no resource, such as discovery."""
    parts = path.strip("/").split("/")
    group, parts = ("", parts[2:]) if parts[0] == "api" else (parts[1:2], parts[3:])
    group = group[0] if isinstance(group, list) and group else ""
    namespace = ""
    if len(parts) >= 3 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    if not parts:
        return None
    resource, name = parts[0], (parts[1] if len(parts) > 1 else "")
    if resource == "namespaces" and name:
        namespace = name
    whole = "/".join([resource, *parts[2:3]])
    field = query.get("fieldSelector", "")
    selected = field.removeprefix("metadata.name=") if field.startswith("metadata.name=") else ""
    return Attributes(_verb(method, name, query), group, whole, namespace, name or selected)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    if method in VERBS:
        return VERBS[method]
    watches = query.get("watch") in ("true", "1")
    return "watch" if watches else "get" if name else "list"


def allows(rules: Iterable[Rule], asked: Attributes) -> bool:
    """Whether one of the rules allows it."""
    return any(
        _has(rule, "verbs", asked.verb)
        and _has(rule, "apiGroups", asked.group)
        and _has(rule, "resources", asked.resource)
        and (not rule.get("resourceNames") or asked.name in rule["resourceNames"])
        for rule in rules
    )


def _has(rule: Rule, field: str, wanted: str) -> bool:
    return bool({wanted, "*"} & set(rule.get(field, ())))


def grants(rules: Iterable[Rule]) -> set[tuple[str, str, str]]:
    """Everything that rules without wildcards allow, as (group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def beyond(rules: Iterable[Rule], given: Iterable[Rule]) -> list[tuple[str, str, str]]:
    """What somebody with `rules` lacks of `given`: nobody may give away what he does not have."""
    rules = list(rules)
    return sorted(
        (group, resource, verb)
        for group, resource, verb in grants(given)
        if not allows(rules, Attributes(verb, group, resource))
    )
