"""Annotates the worker pods for Kubernetes: which of them a scale-in or an eviction should spare.

A ReplicaSet that scales in deletes the pods with the lowest `controller.kubernetes.io/pod-deletion-cost`
first (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost). The keeper
knows who is busy and since when, so it annotates the pods: an idle one costs nothing, a busy one the more
the older its batch. All of it is best effort. Without it nothing is lost, but a scale-in may pick a busy
worker, which then has to finish or to hand its batch back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from contract.settings import Settings
from service.keeper import metrics

logger = logging.getLogger(__name__)

COST = "controller.kubernetes.io/pod-deletion-cost"
GUARDS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
LOADED = "soloist/loaded"
"""For people: what the worker in it has loaded, on what, how fast and in how much memory."""
BUSY_COST = 10
MOST_COST = 2**31 - 1
"""The annotation is an int32."""

ROUND_SECONDS = 1.0
MOST_PATCHES = 20
"""In one round."""
LIST_SECONDS = 15.0
IDLE_SECONDS = 1.0
"""A worker without a batch for so long is idle; one that takes the next batch at once is not patched twice. Longer
would cost more than it saves: an idle pod that is marked as busy would stay in place of a busy one that is not
marked yet (docs/scaling.md)."""
GROWTH_SECONDS = 30.0
"""An age is written anew when it differs by this and has doubled: 30 minutes cost eight patches."""
REQUEST_SECONDS = 5.0
AWAY_SECONDS = 5.0
FORBIDDEN_SECONDS = 60.0
"""How long Kubernetes is left alone after it failed, and after it said that we have no right."""

METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1, application/json"
"""Spares the API server, the network and us most of each pod."""


def connect_in_cluster() -> Any:
    """The `CoreV1Api` of the cluster around this pod, by its service account. It tries nothing twice."""
    # Heavy, and needed in clusters only.
    from kubernetes.client import ApiClient, Configuration, CoreV1Api
    from kubernetes.config import load_incluster_config

    configuration = Configuration(retries=False)
    load_incluster_config(configuration)
    return CoreV1Api(ApiClient(configuration))


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's annotations, as far as they are ours."""

    cost: int
    guards: Mapping[str, str]
    loaded: str = ""

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> "Pod":
        try:
            cost = int(annotations.get(COST, "0"))
        except ValueError:
            cost = -1  # no number: it will be written anew
        guards = {name: annotations[name] for name in GUARDS if name in annotations}
        return cls(cost, guards, annotations.get(LOADED, ""))


class _RequestFailed(Exception):
    """A request to Kubernetes failed."""

    def __init__(self, verb: str, error: Exception) -> None:
        self.verb = verb
        self.status = getattr(error, "status", None)
        """Of HTTP; None or 0 when there was no answer."""
        self.cause = f"{self.status} {getattr(error, 'reason', '')}" if self.status else repr(error)
        headers = getattr(error, "headers", None) or {}
        wait = headers.get("Retry-After", "")
        self.retry_after_seconds = float(wait) if wait.isdecimal() else 0.0


class Pods:
    """Keeps the annotations of the worker pods in step with the sweeps. Each request waits in a thread."""

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Any] = connect_in_cluster,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` opens a `CoreV1Api`."""
        self._namespace = settings.pod_namespace
        self._selector = settings.pod_selector
        self._protect = settings.protect_busy_pods
        self._connect = connect
        self._clock = clock
        self._api: Any = None
        self._seen = asyncio.Event()
        self._busy: Mapping[str, float] = {}
        self._busy_at: Mapping[str, float] = {}
        """When each worker was last seen busy, until it counts as idle."""
        self._loaded: dict[str, str] = {}
        self._pods: dict[str, Pod] = {}
        self._strangers: set[str] = set()
        """Busy workers without a pod; the pods are not listed early because of them."""
        self._listed_at = float("-inf")
        self._quiet_until = float("-inf")
        self._away = False
        self._forbidden: set[str] = set()

    def update_workers(
        self, busy: Mapping[str, float], loaded: Mapping[str, str] | None = None
    ) -> None:
        """Take what a sweep found: busy workers -> age of their batch in seconds, and what some have loaded."""
        now = self._clock()
        self._loaded |= loaded or {}
        left = {name: at for name, at in self._busy_at.items() if now - at < IDLE_SECONDS}
        self._busy_at = left | dict.fromkeys(busy, now)
        self._busy = dict(busy)
        self._seen.set()

    async def keep_annotated(self) -> None:
        """Annotate again and again, from the first sweep on, until canceled."""
        try:
            await self._seen.wait()
            while True:
                await self.annotate_pods()
                await asyncio.sleep(ROUND_SECONDS)
        finally:
            if self._api is not None:
                self._api.api_client.close()

    async def annotate_pods(self) -> None:
        """Read the annotations when that is due, and patch those first that matter most."""
        if self._clock() < self._quiet_until:
            return
        try:
            strange = self._busy.keys() - self._pods.keys() - self._strangers
            if strange or self._clock() - self._listed_at >= LIST_SECONDS:
                await self._list()
            for name, pod in self._changes()[:MOST_PATCHES]:
                await self._patch(name, pod)
            if self._away:
                logger.info("the Kubernetes API works again")
            self._away = False
        except _RequestFailed as trouble:
            self._pause(trouble)
        except Exception:
            logger.exception("a look at the pods failed")
            self._quiet_until = self._clock() + AWAY_SECONDS
        metrics.KUBERNETES_UP.set(not self._away and not self._forbidden)

    async def _list(self) -> None:
        found = await self._request("list", "List", self._namespace, label_selector=self._selector)
        all_metadata = [item["metadata"] for item in found["items"]]
        self._pods = {
            metadata["name"]: Pod.from_annotations(metadata.get("annotations") or {})
            for metadata in all_metadata
            if "deletionTimestamp" not in metadata
        }
        self._strangers = self._busy.keys() - self._pods.keys()
        self._loaded = {name: said for name, said in self._loaded.items() if name in self._pods}
        self._listed_at = self._clock()

    def _changes(self) -> list[tuple[str, Pod]]:
        """What to patch: first those that became busy, then those whose batch grew old, then the idle
        ones, and what is for people only; in each the oldest batch first.
        """
        ranked = []
        for name, pod in self._pods.items():
            age, loaded = max(0.0, self._busy.get(name, 0.0)), self._loaded.get(name, pod.loaded)
            if name in self._busy:
                guards = GUARDS if self._protect else pod.guards
                fresh = pod.cost < BUSY_COST
                if fresh or pod.guards != guards or _differs(pod.cost - BUSY_COST, age):
                    cost = min(BUSY_COST + int(age), MOST_COST)
                    ranked.append((0 if fresh else 1, -age, name, Pod(cost, guards, loaded)))
            elif name not in self._busy_at:
                guards = {} if self._protect else pod.guards
                if pod.cost != 0 or pod.guards != guards:
                    ranked.append((2, 0.0, name, Pod(0, guards, loaded)))
                elif pod.loaded != loaded:
                    ranked.append((3, 0.0, name, Pod(0, guards, loaded)))
        return [(name, pod) for _, _, name, pod in sorted(ranked, key=lambda row: row[:3])]

    async def _patch(self, name: str, pod: Pod) -> None:
        annotations: dict[str, str | None] = {COST: str(pod.cost)}
        if self._protect:
            annotations |= {guard: pod.guards.get(guard) for guard in GUARDS}
        if pod.loaded:
            annotations[LOADED] = pod.loaded
        body = {"metadata": {"annotations": annotations}}
        outcome = "failed"
        try:
            await self._request(
                "patch",
                "",
                name,
                self._namespace,
                body,
                _content_type="application/merge-patch+json",
            )
            self._pods[name] = pod
            outcome = "ok"
        except _RequestFailed as trouble:
            status = trouble.status or 0
            if not 400 <= status < 500 or status in (401, 403, 429):
                raise
            # It went, or will not have this patch. The next list tells.
            outcome = "gone" if status == 404 else "refused"
            logger.debug("a pod was not patched", extra={"pod": name, "cause": trouble.cause})
            del self._pods[name]
            self._strangers.add(name)
        finally:
            metrics.POD_PATCHES.labels(outcome).inc()

    async def _request(self, verb: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        """What Kubernetes answers, as plain data.

        Raises:
            _RequestFailed: it did not answer, or not with what we asked for.
        """

        def request() -> Any:
            if self._api is None:
                self._api = self._connect()
            return getattr(self._api, f"{verb}_namespaced_pod")(
                *args,
                **kwargs,
                _headers={"Accept": METADATA_ONLY.format(kind)},
                _preload_content=False,
                _request_timeout=REQUEST_SECONDS,
            ).data

        try:
            answer = orjson.loads(await asyncio.to_thread(request))
        except Exception as error:  # the client's, urllib3's and the system's
            raise _RequestFailed(verb, error) from error
        if verb in self._forbidden:
            logger.info("we have the right to %s pods now", verb)
        self._forbidden.discard(verb)
        return answer

    def _pause(self, trouble: _RequestFailed) -> None:
        extra = {"namespace": self._namespace, "cause": trouble.cause}
        if trouble.status == 403:
            if trouble.verb not in self._forbidden:
                logger.warning(
                    "no right to %s pods: busy ones look idle", trouble.verb, extra=extra
                )
            self._forbidden.add(trouble.verb)
            pause = FORBIDDEN_SECONDS
        else:
            if not self._away:
                logger.warning(
                    "the Kubernetes API fails: pods stay annotated as they are", extra=extra
                )
            self._away = True
            pause = min(max(trouble.retry_after_seconds, AWAY_SECONDS), FORBIDDEN_SECONDS)
        self._quiet_until = self._clock() + pause


def _differs(written: float, age: float) -> bool:
    """Whether the age that was written last misleads about the order of the pods."""
    return abs(age - written) >= GROWTH_SECONDS and not written / 2 < age < written * 2
