"""A few minutes in the life of three models: waves of work, a spike, a cold start, some accidents."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.observability.live.scene import KEEPER, Scene
from tests.support.waiting import until

PACED = "tests.observability.pictures.models:Paced"


def model(price: float, batch: int, load: float, base: float, each: float, **more: Any) -> Any:
    paces = {"load_seconds": load, "batch_seconds": base, "item_seconds": each}
    usual = {"python": PACED, "cost_per_hour": price, "max_batch_size": batch, "options": paces}
    return {**usual, **more}


MODELS = {
    "spam": model(0.8, 16, 2, 0.35, 0.03),
    "summaries": model(2.4, 8, 6, 1.1, 0.22, max_queue=160),
    "captions": model(1.6, 4, 4, 0.7, 0.15, max_queue=60),
}
MODELS["captions"]["options"]["fits"] = 3
LEAST = {"spam": 1, "summaries": 0, "captions": 0}
MOST = {"spam": 2, "summaries": 3, "captions": 2}
IDLE_SECONDS = 20.0
LEDGER_BYTES = 48 * 2**20


def wave(at: float, periods: float) -> float:
    """Between 0 and 1."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * periods * at)


RATES: dict[str, Callable[[float], float]] = {
    # Predictions a second, by how much of the time is over.
    "spam": lambda at: 3 + 11 * wave(at, 2.5),
    "summaries": lambda at: 0.4 + 2.2 * wave(at, 1.5) + (9 if 0.55 < at < 0.62 else 0),
    "captions": lambda at: 2.6 if 0.3 < at < 0.5 or 0.72 < at < 0.9 else 0.0,
}


class Workload:
    """The scene, its callers, and an autoscaler as KEDA and the HPA would be."""

    def __init__(self, folder: Path, rules: list[dict[str, Any]], seconds: float) -> None:
        self.scene = Scene(folder, MODELS, MOST, rules, MAX_ATTEMPTS=2, LEASE_SECONDS=6)
        self._seconds = seconds
        self._random = Random(3)
        self._idle_since: dict[str, float] = {}
        self._ending: set[str] = set()
        self.started = self.ended = 0.0

    def run(self) -> None:
        scene = self.scene
        scene.watch()
        scene.begin()
        scene.store_client(lambda client: client.config_set("maxmemory", LEDGER_BYTES))
        scene.cluster.troubles.restarts[KEEPER, "keeper"] = 0
        until("it is seen", lambda: scene.prometheus.query("soloist_queue_depth"), 20)
        self.started = time.time()
        callers = threading.Thread(target=lambda: asyncio.run(self._call()))
        callers.start()
        accidents = [
            (0.36, self._lose_a_worker),
            (0.45, self._poison),
            (0.57, self._no_node),
            (0.66, self._rollout),
            (0.8, self._lose_the_ledger),
            (0.9, self._end_a_long_one),
        ]
        while callers.is_alive():
            self._scale()
            if accidents and self._over() > accidents[0][0]:
                accidents.pop(0)[1]()
            callers.join(1.0)
        self.ended = time.time()

    def _over(self) -> float:
        return (time.time() - self.started) / self._seconds

    # The callers.

    async def _call(self) -> None:
        limits = httpx.Limits(max_connections=400)
        url = f"http://127.0.0.1:{self.scene.port}"
        async with (
            httpx.AsyncClient(base_url=url, timeout=70, limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for name in MODELS:
                group.create_task(self._stream(http, name))

    async def _stream(self, http: httpx.AsyncClient, name: str) -> None:
        calls = set()
        while (at := self._over()) < 1:
            rate = RATES[name](at)
            await asyncio.sleep(self._random.expovariate(rate) if rate else 0.5)
            if rate:
                calls.add(asyncio.create_task(self._one(http, name)))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _one(self, http: httpx.AsyncClient, name: str) -> None:
        """Most wait for their answer; some look again later, change their mind, or ask for nonsense."""
        chance = self._random.random()
        input: Any = {"do": "refuse" if chance < 0.012 else "echo", "text": "x"}
        headers = {"prefer": "wait=60"} if chance < 0.8 else {}
        path = f"/v1/models/local/{name}/predictions"
        with suppress(httpx.HTTPError):
            body = {"input": 3 if 0.795 < chance < 0.8 else input}
            answer = await http.post(path, json=body, headers=headers)
            if not headers and answer.is_success:
                id = answer.json()["id"]
                if chance > 0.985:
                    await http.post(f"/v1/predictions/{id}/cancel")
                for _ in range(40):
                    await asyncio.sleep(1.5)
                    if (await http.get(f"/v1/predictions/{id}")).json().get("completed_at"):
                        break

    # The autoscaler.

    def _scale(self) -> None:
        scene, now = self.scene, time.time()
        wanted = scene.prometheus.numbers(
            "max by (model) (ceil(soloist_scaling_wanted / soloist_scaling_target))", "model"
        )
        busy = scene.prometheus.numbers("soloist_worker_busy", "pod")
        for pod in [pod for pod in scene.pods if not scene.pods[pod].alive]:
            self._ending.discard(pod)
            scene.forget(pod)
        for name, most in MOST.items():
            pods = [p for p in scene.pods if f"-worker-{name}-" in p and p not in self._ending]
            aim = max(LEAST[name], min(most, int(wanted.get(name, 0))))
            if scene.cluster.troubles.without_node:
                aim = min(aim, len(pods))
            scene.cluster.desired[name] = max(aim, len(pods))
            if aim >= len(pods):
                self._idle_since.pop(name, None)
            for _ in range(aim - len(pods)):
                scene.add(name)
            if aim < len(pods) and now - self._idle_since.setdefault(name, now) > IDLE_SECONDS:
                idle = min(pods, key=lambda pod: busy.get(pod, 0))
                self._ending.add(idle)
                scene.pods[idle].ask_to_end()
                self._idle_since[name] = now
                scene.cluster.desired[name] = len(pods) - 1

    # What goes wrong.

    def _lose_a_worker(self) -> None:
        pod = next((p for p in self.scene.pods if "-worker-spam-" in p), None)
        if pod:
            self.scene.pods[pod].kill()

    def _poison(self) -> None:
        self.scene.submit("kill", "captions")

    def _no_node(self) -> None:
        """The spike comes before the node does."""
        troubles = self.scene.cluster.troubles
        troubles.without_node.add("soloist-worker-summaries-6d8f4-r8vbc")
        self.scene.cluster.desired["summaries"] = MOST["summaries"]
        threading.Timer(25, troubles.without_node.clear).start()
        troubles.restarts[KEEPER, "keeper"] = 1

    def _rollout(self) -> None:
        self.scene.cluster.troubles.generations["spam"] = 1

    def _lose_the_ledger(self) -> None:
        self.scene.store.pause()
        threading.Timer(8, self.scene.store.resume).start()

    def _end_a_long_one(self) -> None:
        """A worker is told to end while a long batch has just begun."""
        id = self.scene.submit("sleep", "summaries", seconds=14)
        self.scene.running(id, 30)
        pod = str(self.scene.record(id).worker)
        self._ending.add(pod)
        self.scene.pods[pod].ask_to_end()
