"""Ninety seconds in which everything happens: each panel gets its numbers, and each alert its reason."""

import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from contract.prediction import Status
from tests.observability.live.scene import KEEPER, Scene
from tests.support.waiting import until

MODELS: dict[str, dict[str, Any]] = {
    "echo": {"max_batch_size": 8, "cost_per_hour": 2.5, "timeout_seconds": 60},
    "small": {"max_batch_size": 16, "cost_per_hour": 1.2, "options": {"fits": 4}},
    "brief": {"max_batch_size": 4, "timeout_seconds": 2.0},
    "cold": {"max_batch_size": 2, "max_queue": 6, "options": {"load": "hang"}},
    "frail": {"max_batch_size": 4},
    "stalled": {"max_batch_size": 4},
}
MOST = {"echo": 3, "small": 2, "brief": 2, "cold": 1, "frail": 2, "stalled": 1}
THRESHOLDS = {
    # As low as a run of a minute and a half needs them.
    "latencySeconds": 1,
    "fastBurn": 1,
    "slowBurn": 1,
    "ticketBurn": 0.1,
    "queueAgeSeconds": 10,
    "ledgerFull": 0.001,
    "slowStartSeconds": 0.001,
    "outOfMemoryPerHour": 0,
    "idleCostPerHour": 0,
    "stuckAtZeroMinutes": 1,
}
MAX_ATTEMPTS = 2
LEDGER_BYTES = 256 * 2**20


@dataclass
class Told:
    """What the client knows of its day."""

    started: float = field(default_factory=time.time)
    ended: float = 0.0
    accepted: dict[str, list[str]] = field(default_factory=dict)
    """The ids of what was accepted, by model."""
    waited: Counter[str] = field(default_factory=Counter)
    """Requests that had their outcome in the answer, by model and by whether it began cold."""
    refused: Counter[str] = field(default_factory=Counter)
    """By code."""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    frozen_depth: float | None = None
    frozen_ages: tuple[float, float] = (0.0, 0.0)
    """The age of the oldest as Prometheus had it, and by the client's clock."""


class BadDay:
    """A script: what a client, a cluster and a few accidents do to a Soloist."""

    def __init__(self, folder: Path, rules: list[dict[str, Any]]) -> None:
        self.scene = Scene(folder, MODELS, MOST, rules, MAX_ATTEMPTS=MAX_ATTEMPTS)
        self.told = Told()
        self._pool = ThreadPoolExecutor(24)
        self._lock = threading.Lock()

    # What a client does.

    def _note(self, model: str, answer: httpx.Response) -> str:
        body = answer.json()
        if not answer.is_success:
            self.told.refused[body["code"]] += 1
            return ""
        self.told.accepted.setdefault(model, []).append(body["id"])
        return str(body["id"])

    def post(self, model: str, do: str = "echo", headers: Any = None, **more: Any) -> str:
        """Its id; nothing when it was refused."""
        return self._note(model, self.scene.post(do, model, headers=headers, **more))

    def wait(self, model: str, do: str = "echo", cold: bool = False, **more: Any) -> Future[str]:
        """Somebody waits for the outcome."""

        def ask() -> str:
            answer = self.scene.http.post(
                f"/v1/models/local/{model}/predictions",
                json={"input": {"do": do, **more}},
                headers={"prefer": "wait=50"},
                timeout=60,
            )
            with self._lock:
                if answer.json().get("status") in ("succeeded", "failed", "canceled"):
                    self.told.waited[f"{model} {'cold' if cold else 'warm'}"] += 1
                return self._note(model, answer)

        return self._pool.submit(ask)

    # The day.

    def run(self) -> Told:
        scene, prometheus = self.scene, self.scene.prometheus
        scene.watch()
        absent = 'count(ALERTS{alertname="SoloistMetricsAbsent"})'
        until("nothing is seen", lambda: prometheus.number(absent) == 2, 20)
        scene.begin()
        scene.store_client(lambda client: client.config_set("maxmemory", LEDGER_BYTES))
        self._surround()
        self._start_cold()
        self._freeze()
        self._ask_for_all_sorts()
        self._lose_workers()
        self._end_early()
        self._stall()
        self._lose_the_ledger()
        self._look_once_more()
        return self.told

    def _surround(self) -> None:
        """A keeper that restarts, a scaler that cannot ask, an HPA that is stuck."""
        troubles = self.scene.cluster.troubles
        self.scene.cluster.desired |= {"echo": 3, "cold": 1, "frail": 2}
        keeper = (KEEPER, "keeper")
        troubles.restarts[keeper] = 0
        troubles.killed_for_memory.add(keeper)
        troubles.crash_loops.add(("soloist-worker-cold-6d8f4-zzzzz", "worker"))
        troubles.without_node.add("soloist-worker-cold-6d8f4-zzzzz")
        troubles.scaler_errors["cold"] = 0
        troubles.scaler_surplus["frail"] = 40
        troubles.not_able.add("brief")

    def _start_cold(self) -> None:
        """Callers come first, workers after them."""
        early = [self.wait("echo", cold=True) for _ in range(3)]
        self._sees('soloist_queue_depth{model="echo", state="queued"}', 3)
        scene = self.scene
        self.first, self.second = scene.add("echo"), scene.add("echo")
        self.small, self.brief = scene.add("small"), scene.add("brief")
        self.frail = [scene.add("frail"), scene.add("frail")]
        self.idle = scene.add("stalled")
        scene.add("cold")  # its model never loads
        for each in early:
            each.result()

    def _sees(self, expr: str, value: float) -> None:
        prometheus = self.scene.prometheus
        until(f"{expr} is {value:g}", lambda: prometheus.number(expr) == value, 40)

    def _freeze(self) -> None:
        """A queue that nobody takes from, full: the moment at which its numbers must be exact."""
        waiting = [self.post("cold") for _ in range(6)]
        for _ in range(4):
            assert self.post("cold") == "", "the queue is full"
        self._sees('soloist_queue_depth{model="cold", state="queued"}', 6)
        prometheus, first = self.scene.prometheus, self.scene.record(waiting[0])
        self.told.frozen_depth = prometheus.number('sum(soloist_queue_depth{model="cold"})')
        age = prometheus.number('soloist_queue_oldest_seconds{model="cold"}') or 0.0
        self.told.frozen_ages = age, time.time() - first.created_at
        for id in waiting[:2]:
            self.scene.http.post(f"/v1/predictions/{id}/cancel")
        for _ in range(2):
            self.post("cold", headers={"cancel-after": "5s"})

    def _ask_for_all_sorts(self) -> None:
        for pod in (self.first, self.second, self.small, self.brief):
            self.scene.pods[pod].ready()
        self._sees("count(soloist_worker_info)", len(self.scene.pods))
        answers = [self.wait("echo", text=str(n)) for n in range(20)]
        answers += [self.wait("echo", "sleep", seconds=1.3) for _ in range(4)]
        answers += [self.wait("echo", "refuse"), self.wait("echo", "raise")]
        answers += [self.wait("echo", "nan"), self.wait("small", "too_large")]
        answers += [self.wait("small", text=str(n)) for n in range(12)]
        for each in answers:
            each.result()
        for _ in range(3):
            wrong = self.scene.http.post("/v1/models/local/echo/predictions", json={"input": 3})
            self._note("echo", wrong)
        self._note("nobody", self.scene.post(model="nobody"))
        self.post("brief", "stubborn", gate=str(self.scene.gate()))

    def _lose_workers(self) -> None:
        """One is killed in mid-batch, and one input kills each worker that takes it."""
        scene, troubles = self.scene, self.scene.cluster.troubles
        poison = self.post("frail", "kill")
        gate = scene.gate()
        id = self.post("echo", "stubborn", gate=str(gate))
        scene.running(id)
        victim = str(scene.record(id).worker)
        troubles.xids[victim] = 79
        scene.pods[victim].kill()
        gate.touch()
        troubles.hot.add(self.small)
        troubles.restarts[KEEPER, "keeper"] += 1
        troubles.scaler_errors["cold"] += 4
        scene.succeeded([id])
        scene.finished([poison, *self.told.accepted["brief"]])
        self.survivor = self.second if victim == self.first else self.first

    def _end_early(self) -> None:
        """A worker whose grace is shorter than its batch."""
        scene = self.scene
        short = scene.add("small", GRACE_SECONDS=3)
        scene.pods[self.small].ready().end()
        scene.forget(self.small)
        scene.pods[short].ready()
        gate = scene.gate()
        id = self.post("small", "stubborn", gate=str(gate))
        scene.running(id)
        self._sees(f'count(soloist_worker_busy{{pod="{short}"}} == 1)', 1)
        assert scene.pods[short].end() == 0
        scene.forget(short)
        self.small = scene.add("small")
        scene.cluster.troubles.generations["small"] = 1
        gate.touch()
        scene.succeeded([id], 30)

    def _stall(self) -> None:
        """A worker that is ready, and frozen."""
        worker = self.scene.pods[self.idle].ready()
        self._sees('sum(soloist_workers{model="stalled", state="ready"})', 1)
        worker.pause()
        id = self.post("stalled")
        self._sees('soloist_queue_depth{model="stalled", state="queued"}', 1)
        alert = 'count(ALERTS{alertname="SoloistQueueStalled"})'
        self._sees(alert, 1)
        worker.resume()
        self.scene.succeeded([id])

    def _lose_the_ledger(self) -> None:
        """For as long as it takes until a caller is refused."""
        scene = self.scene
        some = self.told.accepted["echo"][0]
        scene.store.pause()
        for _ in range(2):
            answer = scene.get(some)
            self.told.refused[answer.json()["code"]] += 1
        self._sees("min(soloist_ledger_up)", 0)
        scene.store.resume()
        until("all are ready again", scene.ready, 20)

    def _look_once_more(self) -> None:
        """Nothing is left but what nobody takes; then Prometheus has looked once more."""
        scene, told = self.scene, self.told
        scene.succeeded([self.post("echo", text="last")])
        alert = 'count(ALERTS{alertname="SoloistStuckAtZero", alertstate="firing"})'
        until("an alert fires", lambda: scene.prometheus.number(alert), 60)
        for model, ids in told.accepted.items():
            records = scene.records(ids)
            told.outcomes[model] = Counter(p.status.value for p in records)
            failed = [p for p in records if p.status is Status.FAILED]
            told.codes[model] = Counter(str(p.error_code) for p in failed)
        seen = time.time()
        scraped = 'min(timestamp(soloist_queue_depth{model="echo", state="queued"}))'
        until("looked again", lambda: (scene.prometheus.number(scraped) or 0) > seen + 1, 20)
        told.ended = time.time()
        self._pool.shutdown()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.scene.close()
