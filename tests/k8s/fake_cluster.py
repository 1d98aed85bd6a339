"""An API server that holds objects by their paths and answers as Kubernetes does, as far as we ask it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_api_server import Answer, refusal

Object = dict[str, Any]
Behind = Callable[[str, str, Any, dict[str, str]], Answer | None]
"""What answers behind a proxy: (method, path, body, headers) to (status, JSON or text); None hangs up."""

PROXY = re.compile(r"/api/v1/namespaces/[^/]+/(services|pods)/([^/:]+):([^/]+)/proxy(/.*)")
REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
LOCAL_REVIEW = re.compile(
    "/apis/authorization.k8s.io/v1/namespaces/([^/]+)/localsubjectaccessreviews"
)


@dataclass
class FakeCluster:
    """`objects` by path; `kinds` are the discovered resources of each group and version."""

    version: str = "v1.34.2"
    objects: dict[str, Object] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    """What runs of containers have said, by container id; the log of any other run is gone."""
    gone: int = 200
    """How the kubelet says that a log is gone: in the body of a good answer, or of an error."""
    behind: dict[str, Behind] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)
    """Patterns of paths that are answered with 403."""
    broken: list[str] = field(default_factory=list)
    """Patterns of paths that are answered with 500."""
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    """(user, verb, resource) for SubjectAccessReviews."""
    token: str = "we"  # noqa: S105
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def add(self, collection: str, name: str, **fields: Any) -> Object:
        """Put an object under a collection's path, as in ``add("/api/v1/nodes", "n1")``."""
        labels = fields.pop("labels", {})
        annotations = fields.pop("annotations", {})
        namespace = re.search(r"/namespaces/([^/]+)/", collection)
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        if namespace:
            metadata["namespace"] = namespace[1]
        self.objects[f"{collection}/{name}"] = {"metadata": metadata, **fields}
        return self.objects[f"{collection}/{name}"]

    def answer(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Answer | None:
        parts = urlsplit(target)
        path, query = parts.path, {name: each[0] for name, each in parse_qs(parts.query).items()}
        self.requests.append((method, target))
        if headers.get("authorization") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized")
        if any(re.search(pattern, path) for pattern in self.forbidden):
            return refusal(403, f'User "we" cannot {method} {path}')
        if any(re.search(pattern, path) for pattern in self.broken):
            return refusal(500, "etcd is on fire")
        proxied = PROXY.fullmatch(path)
        if proxied:
            behind = self.behind.get(f"{proxied[2]}:{proxied[3]}")
            if behind is None:
                return refusal(503, f'no endpoints available for service "{proxied[2]}"')
            return behind(method, proxied[4], body, headers)
        if path == REVIEW or LOCAL_REVIEW.fullmatch(path):
            return self._review(body)
        return self._read(path, query)

    def _read(self, path: str, query: dict[str, str]) -> Answer:
        if path == "/version":
            return 200, {"gitVersion": self.version}
        if path.endswith("/log"):
            return self._log(self.objects[path.removesuffix("/log")]["status"], query)
        group = path.removeprefix("/apis/")
        if group in self.kinds:
            return 200, {"resources": [{"name": name} for name in sorted(self.kinds[group])]}
        if path in self.objects:
            return 200, self.objects[path]
        items = [each for where, each in self.objects.items() if _lies_in(where, path)]
        wanted = dict(each.split("=") for each in query.get("labelSelector", "").split(",") if each)
        items = [each for each in items if wanted.items() <= each["metadata"]["labels"].items()]
        if items or path.rpartition("/")[2] in PLURALS:
            return 200, {"kind": _list_kind(path), "items": items}
        return refusal(404, f"{path} not found")

    def _log(self, status: Object, query: dict[str, str]) -> Answer:
        """As pkg/kubelet/kubelet_pods.go (validateContainerLogStatus) and the container runtime have it."""
        name = query["container"]
        every = (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
        found = next(each for each in every if each["name"] == name)
        state = found.get("state") or {}
        last = ((found.get("lastState") or {}).get("terminated") or {}).get("containerID", "")
        now = (state.get("running") or state.get("terminated") or {}).get("containerID", "")
        if query.get("previous") == "true":
            run = last
            if not run:
                return refusal(400, f'previous terminated container "{name}" not found')
        else:
            run = now or last
            if not run:
                return refusal(400, f'container "{name}" is waiting to start')
        if run in self.logs:
            lines = self.logs[run].splitlines(keepends=True)
            return 200, "".join(lines[-int(query.get("tailLines", "1000")) :])
        says = f"unable to retrieve container logs for {run}"
        return (200, says) if self.gone == 200 else refusal(self.gone, says)

    def _review(self, body: Object) -> Answer:
        spec = body["spec"]
        asked = spec["resourceAttributes"]
        allowed = (spec["user"], asked["verb"], asked["resource"]) in self.allowed
        return 201, {**body, "status": {"allowed": allowed}}


PLURALS = {"deployments", "statefulsets", "pods", "nodes", "persistentvolumeclaims"} | {
    "storageclasses",
    "resourceslices",
}
"""Kinds that are always there; a list of any other is 404 while it is empty."""


def _list_kind(collection: str) -> str:
    """As the API server calls a list; its items have no kind."""
    plural = collection.rpartition("/")[2]
    return {"statefulsets": "StatefulSetList", "deployments": "DeploymentList"}.get(
        plural, f"{plural.removesuffix('s').capitalize()}List"
    )


def _lies_in(where: str, collection: str) -> bool:
    """Whether an object's path lies in a collection, also in one of all namespaces."""
    return collection in _collections_of(where)


@cache
def _collections_of(where: str) -> tuple[str, str]:
    home = where.rpartition("/")[0]
    return home, re.sub("/namespaces/[^/]+", "", home)
