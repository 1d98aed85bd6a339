"""A namespace of the suite's own in the cluster, and the programs that act on it."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from k8s.cluster import Cluster, NoCluster, Unanswered
from local.processes import wait_for

T = TypeVar("T")
Object = dict[str, Any]

PROJECT = Path(__file__).parents[2]
INSTALLED = PROJECT / ".venv" / "helm4"
LOG_LINES = 40


class ProgramFailed(Exception):
    """kubectl or helm ended with an error; the message is what it said."""


class NotYet(Exception):
    """Something does not answer at the moment, as it may while it is killed or restarted."""


PASSING = (NotYet, ProgramFailed, NoCluster, Unanswered)


def wait_until(
    what: str, condition: Callable[[], T], seconds: float = 300.0, every: float = 1.0
) -> T:
    """The first true value of `condition`; a failure that names `what` when there is none in time.

    While the condition cannot be looked at, it does not hold.
    """
    last = ""

    def ask() -> T | None:
        nonlocal last
        last = "it did not hold"
        try:
            return condition()
        except PASSING as error:
            last = f"{type(error).__name__}: {error}"
            return None

    found = wait_for(ask, seconds, every)
    if not found:
        raise AssertionError(f"not within {seconds:g} s: {what} ({last})")
    return found


def program(name: str) -> str | None:
    """helm or kubectl: the ones that `make` installs, else those on the PATH."""
    own = INSTALLED / name
    return str(own) if own.exists() else shutil.which(name)


class SuiteNamespace:
    """``with SuiteNamespace(cluster, name) as namespace``: the namespace exists, and is gone afterwards."""

    live: ClassVar[list["SuiteNamespace"]] = []

    def __init__(self, cluster: Cluster, kubectl: str, helm: str) -> None:
        self.cluster = cluster
        self.name = cluster.namespace
        self._programs = {"kubectl": kubectl, "helm": helm}

    def __enter__(self) -> "SuiteNamespace":
        self.kubectl("create", "namespace", self.name)
        SuiteNamespace.live.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        SuiteNamespace.live.remove(self)
        self.kubectl("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")
        wait_until(f"the namespace {self.name} is gone", self._gone, 300)

    def _gone(self) -> bool:
        """A busy worker would be waited for; here nobody wants its answer any more."""
        with contextlib.suppress(*PASSING):
            self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
        return self.cluster.get_object(f"/api/v1/namespaces/{self.name}") is None

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        return self.run("kubectl", *arguments, stdin=stdin, seconds=seconds).stdout

    def helm(self, *arguments: str, stdin: str | None = None, seconds: float = 900) -> str:
        return self.run("helm", *arguments, stdin=stdin, seconds=seconds).stdout

    def run(
        self, name: str, *arguments: str, stdin: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the programs in this namespace.

        Raises:
            ProgramFailed: it ended with an error, or did not end in time.
        """
        command = [self._programs[name], "--namespace", self.name, *arguments]
        said = f"{name} {' '.join(arguments)}"
        try:
            done = subprocess.run(
                command, input=stdin or "", capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{said}: no end after {seconds:g} s") from None
        if done.returncode:
            raise ProgramFailed(f"{said}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def apply(self, *objects: Object) -> None:
        """Make these objects, or change them."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(items))

    def exec(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", *command)

    def pods(self, **labels: str) -> list[Object]:
        """The pods with these labels of ours: `instance`, `component`, `model`."""
        long = {"model": "soloist/model"}
        wanted = [
            f"{long.get(name, f'app.kubernetes.io/{name}')}={value}"
            for name, value in labels.items()
        ]
        path = self.cluster.path_of("pods")

        def look() -> tuple[list[Object]]:
            return (self.cluster.list_objects(path, ",".join(wanted)),)

        return wait_until("the API server lists pods", look, 120)[0]

    def get(self, kind: str, name: str, group: str = "apps/v1") -> Object:
        """One object.

        Raises:
            NotYet: it is not there.
        """
        found = self.cluster.get_object(f"{self.cluster.path_of(kind, group)}/{name}")
        if found is None:
            raise NotYet(f"there is no {name} among the {kind}")
        return found

    def stores(self) -> bool:
        """Whether volume claims are filled without anybody's doing."""
        default = "storageclass.kubernetes.io/is-default-class"
        classes = self.cluster.list_objects("/apis/storage.k8s.io/v1/storageclasses")
        return any((c["metadata"].get("annotations") or {}).get(default) == "true" for c in classes)

    def report(self) -> Iterator[tuple[str, str]]:
        """(title, text) of all that explains a failure: pods, scaling, events, last log lines."""
        looks = {
            "pods": ("get", "pods", "-o", "wide"),
            "scaling": ("get", "scaledobjects.keda.sh,hpa,deployments", "-o", "wide"),
            "events": ("get", "events", "--sort-by=.lastTimestamp"),
        }
        for title, look in looks.items():
            yield f"{title} of {self.name}", self._told(*look)
        names = self._told("get", "pods", "-o", "name").split()
        for pod in (name for name in names if name.startswith("pod/")):
            tail = f"--tail={LOG_LINES}"
            yield f"{pod} said", self._told("logs", pod, "--all-containers", tail)
            before = self._told("logs", pod, "--previous", tail)
            if "previous terminated container" not in before:
                yield f"{pod} said before its restart", before

    def _told(self, *arguments: str) -> str:
        try:
            return "\n".join(self.kubectl(*arguments, seconds=30).splitlines()[-200:])
        except ProgramFailed as error:
            return str(error)


def ready(pod: Object) -> bool:
    """Whether a pod is ready and stays."""
    conditions = pod.get("status", {}).get("conditions") or []
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]


def names(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}
