"""An API server that Helm and kubectl take for one: it is discovered, written to and watched, and gives rights."""

import copy
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.k8s.controllers import settle
from tests.k8s.discovery import discovery, resources_of
from tests.k8s.fake_cluster import LOCAL_REVIEW, PROXY, REVIEW, FakeCluster, Object
from tests.k8s.protobuf_bodies import typed
from tests.k8s.rbac import Attributes, Rule, allows, attributes_of, beyond
from tests.support.fake_api_server import Answer, refusal

INITIAL_END = "k8s.io/initial-events-end"
WATCH_SECONDS = 30.0
ADMIN: list[Rule] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]


@dataclass(frozen=True)
class Event:
    """A change, for those who watch."""

    version: int
    kind: str
    path: str
    object: Object


@dataclass
class ApiServer(FakeCluster):
    """`rules` are ours in `namespace`, or in the whole cluster if there is none; those of `everywhere` too.

    What discovery tells, everybody may know.
    """

    version: str = "v1.35.0"
    rules: list[Rule] = field(default_factory=lambda: ADMIN)
    namespace: str = ""
    everywhere: list[Rule] = field(default_factory=list)
    used: set[tuple[str, str, str]] = field(default_factory=set)
    """(group, resource, verb) of what was asked for and allowed."""
    refused: list[Attributes] = field(default_factory=list)
    lists_in_watches: bool = True
    """As of Kubernetes 1.32; before that, who watches must list first."""
    without: set[str] = field(default_factory=set)
    """Groups with versions that are not served, as in `keda.sh/v1alpha1`."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self.add("/api/v1/namespaces", "default", kind="Namespace", apiVersion="v1")

    def make_namespace(self, name: str) -> None:
        """As somebody with more rights, with the ServiceAccount that each namespace has."""
        self.add("/api/v1/namespaces", name, kind="Namespace", apiVersion="v1")
        self.add(f"/api/v1/namespaces/{name}/serviceaccounts", "default", kind="ServiceAccount")

    # --- answering ----------------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Answer | None:
        parts = urlsplit(target)
        path, query = parts.path, {name: each[0] for name, each in parse_qs(parts.query).items()}
        asked = attributes_of(method, path, query)
        discovered = discovery(path, self.without) if method == "GET" else None
        if discovered is not None or asked is None or path.startswith(("/openapi", "/version")):
            self.requests.append((method, target))
            return (200, discovered) if discovered else super()._read(path, query)
        if not self._may(asked):
            self.requests.append((method, target))
            return refusal(403, asked.sentence)
        ours = PROXY.fullmatch(path) or path in (REVIEW,) or LOCAL_REVIEW.fullmatch(path)
        if path.endswith("/log"):
            self.requests.append((method, target))
            status = self.objects[path.removesuffix("/log")]["status"]
            first = status["containerStatuses"][0]["name"]
            return self._log(status, {"container": first, **query})
        if ours:
            # Over plain HTTP only Python's client sends the token.
            return super().answer(
                method, target, body, headers | {"authorization": f"Bearer {self.token}"}
            )
        self.requests.append((method, target))
        if method == "GET":
            return self._get(asked, path, query)
        return self._write(method, asked, path, body, headers, query)

    def _may(self, asked: Attributes) -> bool:
        here = not self.namespace or asked.namespace == self.namespace
        allowed = (here and allows(self.rules, asked)) or allows(self.everywhere, asked)
        if allowed:
            self.used.add((asked.group, asked.resource, asked.verb))
        else:
            self.refused.append(asked)
        return allowed

    def _get(self, asked: Attributes, path: str, query: dict[str, str]) -> Answer:
        if asked.verb == "watch":
            if "sendInitialEvents" in query and not self.lists_in_watches:
                return refusal(422, "sendInitialEvents is forbidden", "Invalid")
            return 200, self._watch(path, query)
        if asked.verb == "get":
            found = self.objects.get(path)
            return (200, found) if found else _missing(asked)
        _, answer = self._read(path, query)
        items = [thing for thing in answer.get("items", []) if _selected(thing, query)]
        version, kind = self._kind_of(path)
        about = {"apiVersion": version, "kind": kind}
        return 200, {
            "apiVersion": version,
            "kind": f"{kind}List",
            "metadata": {"resourceVersion": str(len(self._events))},
            "items": [about | thing for thing in items],
        }

    def _read(self, path: str, query: dict[str, str]) -> Answer:
        labels = query.get("labelSelector", "")
        equal = ",".join(part for part in labels.split(",") if "=" in part and "!=" not in part)
        return super()._read(path, {**query, "labelSelector": equal})

    def _kind_of(self, path: str) -> tuple[str, str]:
        parts = path.strip("/").split("/")
        version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        names = {each["name"]: each["kind"] for each in resources_of(version)}
        collection = next((part for part in reversed(parts) if part in names), "")
        return version, names.get(collection, "")

    # --- writing ------------------------------------------------------------------------------------

    def _write(
        self,
        method: str,
        asked: Attributes,
        path: str,
        body: Any,
        headers: dict[str, str],
        query: dict[str, str],
    ) -> Answer:
        home = f"/api/v1/namespaces/{asked.namespace}"
        if asked.namespace and asked.resource != "namespaces" and home not in self.objects:
            return refusal(404, f'namespaces "{asked.namespace}" not found', "NotFound")
        if isinstance(body, bytes) and method != "DELETE":
            body = typed(body)
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
        there = self.objects.get(path)
        if method == "POST" and there:
            return refusal(409, f'{asked.resource} "{path}" already exists', "AlreadyExists")
        applies = "apply-patch" in headers.get("content-type", "")
        if method != "POST" and not there and not applies:
            return _missing(asked)
        if not there and applies:
            creates = Attributes("create", asked.group, asked.resource, asked.namespace, asked.name)
            if not self._may(creates):
                return refusal(403, creates.sentence)
        dry = query.get("dryRun") == "All"
        if method == "DELETE":
            return 200, there if dry else self._delete(path)
        made = _patched(there, body) if method == "PATCH" and there and not applies else body
        refused = self._escalates(asked, made)
        if refused:
            return refusal(403, refused)
        return (200 if there else 201), made if dry else self._put(path, made)

    def _escalates(self, asked: Attributes, made: Object) -> str:
        """Who gives rights must have them."""
        given: list[Rule] = []
        if asked.resource in ("roles", "clusterroles"):
            given = made.get("rules") or []
        elif asked.resource == "rolebindings":
            kind = {"Role": f"namespaces/{asked.namespace}/roles", "ClusterRole": "clusterroles"}
            name = f"{kind[made['roleRef']['kind']]}/{made['roleRef']['name']}"
            role = self.objects.get(f"/apis/rbac.authorization.k8s.io/v1/{name}") or {}
            given = role.get("rules") or []
        lacks = beyond(self.rules, given)
        return f"user cannot grant permissions not currently held: {lacks}" if lacks else ""

    def _put(self, path: str, made: Object) -> Object:
        """Keep it as the server would, and let what follows from it happen."""
        there = self.objects.get(path)
        made = copy.deepcopy(made)
        about = made.setdefault("metadata", {})
        about.setdefault("name", path.rpartition("/")[2])
        namespace = path.partition("/namespaces/")[2].split("/")
        if len(namespace) > 1:
            about["namespace"] = namespace[0]
        about.setdefault("labels", {})
        about.setdefault("annotations", {})
        number = next(self._numbers)
        about["resourceVersion"] = str(number)
        about["uid"] = there["metadata"].get("uid", "") if there else f"uid-{number}"
        about["creationTimestamp"] = "2026-01-01T00:00:00Z"
        about["generation"] = number
        self.objects = {**self.objects, path: made}
        if path.count("/") == 4 and made.get("kind") == "Namespace":
            self.make_namespace(about["name"])
        owner = {"kind": made.get("kind"), "name": about["name"], "uid": about["uid"]}
        for where, follows in settle(path, made).items():
            if "persistentvolumeclaims" not in where:
                follows["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
            if where not in self.objects:
                self._put(where, follows)
        self._tell("MODIFIED" if there else "ADDED", path)
        return made

    def _delete(self, path: str) -> Object:
        gone = self.objects[path]
        self._tell("DELETED", path)
        self.objects = {where: thing for where, thing in self.objects.items() if where != path}
        for where, thing in self.objects.items():
            owners = thing["metadata"].get("ownerReferences", [])
            if any(owner["uid"] == gone["metadata"].get("uid") for owner in owners):
                self._delete(where)
        return gone

    # --- watching -----------------------------------------------------------------------------------

    def _tell(self, kind: str, path: str) -> None:
        with self._changed:
            self._events.append(
                Event(len(self._events) + 1, kind, path, copy.deepcopy(self.objects[path]))
            )
            self._changed.notify_all()

    def _watch(self, path: str, query: dict[str, str]) -> Iterator[Object]:
        version, kind = self._kind_of(path)
        seen = int(query.get("resourceVersion") or len(self._events))
        if query.get("sendInitialEvents") == "true":
            for where, thing in self.objects.items():
                if where.rpartition("/")[0] == path and _selected(thing, query):
                    yield {"type": "ADDED", "object": {"apiVersion": version, "kind": kind} | thing}
            about = {"resourceVersion": str(seen), "annotations": {INITIAL_END: "true"}}
            mark = {"apiVersion": version, "kind": kind, "metadata": about}
            yield {"type": "BOOKMARK", "object": mark}
        while news := self._news(seen):
            seen += len(news)
            for event in news:
                if event.path.rpartition("/")[0] == path and _selected(event.object, query):
                    thing = {"apiVersion": version, "kind": kind} | event.object
                    yield {"type": event.kind, "object": thing}

    def _news(self, seen: int) -> list[Event]:
        """What happened after so many events; nothing if nothing does for long."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._events) > seen, WATCH_SECONDS)
            return self._events[seen:]


def _missing(asked: Attributes) -> Answer:
    return refusal(404, f'{asked.resource} "{asked.name}" not found', "NotFound")


def _selected(thing: Object, query: dict[str, str]) -> bool:
    name = query.get("fieldSelector", "").partition("metadata.name=")[2]
    return not name or thing["metadata"]["name"] == name


def _patched(old: Any, patch: Any) -> Any:
    """A merge patch, and as much of a strategic one as is needed: lists of named things are merged by name."""
    if isinstance(old, dict) and isinstance(patch, dict):
        kept = {key: value for key, value in old.items() if patch.get(key, "") is not None}
        changes = {key: value for key, value in patch.items() if value is not None}
        return kept | {
            key: _patched(kept.get(key), value)
            for key, value in changes.items()
            if not key.startswith("$")
        }
    if isinstance(old, list) and isinstance(patch, list) and all(map(_named, [*old, *patch])):
        merged = {each["name"]: each for each in old}
        for each in patch:
            if each.get("$patch") == "delete":
                merged.pop(each["name"], None)
            else:
                merged[each["name"]] = _patched(merged.get(each["name"], {}), each)
        return list(merged.values())
    return patch


def _named(thing: Any) -> bool:
    return isinstance(thing, dict) and "name" in thing
