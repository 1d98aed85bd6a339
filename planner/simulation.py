"""One model's pods under a load, event by event: arrivals, batches, pods, KEDA, HPA, ReplicaSet and keeper."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from contract.settings import Settings
from planner.autoscaler import (
    HPA_SECONDS,
    Activation,
    Demand,
    Formula,
    HorizontalPodAutoscaler,
    Scaling,
    with_busy,
)
from planner.load import ServiceTime
from planner.outcome import Outcome, Sample
from planner.pods import Keeper, Pod, pods_to_delete

EXIT_SECONDS = 2.0  # from SIGTERM to a free GPU, for a pod that has nothing to finish
LEASE_SECONDS: float = Settings.model_fields["lease_seconds"].default
"""Until what a killed worker held is queued again."""
MAX_ATTEMPTS: int = Settings.model_fields["max_attempts"].default


@dataclass(frozen=True)
class Cluster:
    """The GPUs that this model can have, and how long a pod needs from its GPU to ready."""

    gpus: int
    cold_start: float = 60.0
    gpus_per_node: int = 4


@dataclass(frozen=True)
class Variant:
    """A way to scale: what is measured, and whether a keeper marks the busy pods for the ReplicaSet.

    `reaction` is the time from KEDA's poll of the ledger to the ReplicaSet's choice of pods.
    """

    name: str
    formula: Formula
    keeper: Keeper | None = None
    reaction: float = 0.5


OURS = Variant("ours", with_busy, Keeper())


class Simulation:
    """One run; the same seed gives the same run."""

    def __init__(
        self,
        arrivals: Sequence[float],
        service: ServiceTime,
        scaling: Scaling,
        cluster: Cluster,
        variant: Variant = OURS,
        seed: int = 0,
        grace: float | None = None,
        until: float = 0.0,
    ) -> None:
        """`grace`: seconds that a deleted pod has; the chart's are the hard limit and 30. `until`: runs at least so long."""
        self._arrivals = arrivals
        self._service, self._scaling, self._cluster = service, scaling, cluster
        self._variant, self._keeper = variant, variant.keeper
        self._grace = service.hard_limit + 30.0 if grace is None else grace
        self._until = until
        self._random = Random(seed)
        self._events: list[tuple[float, int, Callable[[float, Any], None], Any]] = []
        self._count = 0
        self._waiting: deque[int] = deque()
        self._backlog_since = 0.0
        self._started = [0.0] * len(arrivals)
        self._attempts: dict[int, int] = {}
        self._running = self._busy = self._ready = 0
        self._replicas = 0
        self._pods: list[Pod] = []
        self._idle: deque[Pod] = deque()
        self._pending: deque[Pod] = deque()
        self._draining: set[Pod] = set()
        nodes, rest = divmod(cluster.gpus, cluster.gpus_per_node)
        self._free = [cluster.gpus_per_node] * nodes + [rest] * (rest > 0)
        self._activation = Activation(scaling)
        self._hpa = HorizontalPodAutoscaler(scaling)
        self._outcome = Outcome(arrivals=len(arrivals))

    # --- time ---------------------------------------------------------------------------------------

    def simulate(self) -> Outcome:
        """Until the given time is over and every prediction has ended."""
        self._replicas = max(1, self._scaling.min)  # a Deployment without `replicas` starts one
        self._resize(0.0, None)
        self._schedule_event(
            self._random.random() * self._scaling.polling_seconds, self._keda_poll, None
        )
        self._schedule_event(self._random.random() * HPA_SECONDS, self._hpa_round, None)
        arrivals, total, events = self._arrivals, len(self._arrivals), self._events
        waiting, outcome = self._waiting, self._outcome
        now, arrived = 0.0, 0
        while outcome.succeeded + outcome.lost < total or now < self._until:
            if arrived < total and arrivals[arrived] <= events[0][0]:
                now = arrivals[arrived]
                if not waiting:
                    self._backlog_since = now
                waiting.append(arrived)
                arrived += 1
                if self._idle:
                    self._dispatch(now)
            else:
                now, _, act, subject = heapq.heappop(events)
                act(now, subject)
        return self._close(now)

    def _schedule_event(self, when: float, act: Callable[[float, Any], None], subject: Any) -> None:
        self._count += 1  # of two events at one instant the first one made goes first
        heapq.heappush(self._events, (when, self._count, act, subject))

    def _close(self, now: float) -> Outcome:
        outcome = self._outcome
        outcome.ends = now
        outcome.waits = [s - a for s, a in zip(self._started, self._arrivals, strict=True)]
        for pod in [*self._pods, *self._draining]:
            if pod.node is not None:
                outcome.paid += now - pod.scheduled_at
        return outcome

    # --- batches ------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> None:
        """The workers that wait take what waits, the one that waited longest first."""
        while self._waiting and self._idle:
            pod = self._idle.popleft()
            if not pod.deleted:
                self._claim(pod, now)

    def _claim(self, pod: Pod, now: float) -> None:
        waiting = self._waiting
        size = min(len(waiting), self._service.max_batch_size)
        pod.batch = [waiting.popleft() for _ in range(size)]
        for prediction in pod.batch:
            self._started[prediction] = now
        if not waiting:
            backlog = now - self._backlog_since
            if backlog > self._outcome.longest_backlog:
                self._outcome.longest_backlog = backlog
        ends = now + self._service.seconds(size, self._random)
        pod.batch_started, pod.batch_ends = now, ends
        if self._keeper:
            self._keeper.drop_old_batches(pod, now)
            pod.recent.append((now, ends))
        self._running += size
        self._busy += 1
        self._schedule_event(ends, self._finish, pod)

    def _finish(self, now: float, pod: Pod) -> None:
        if pod.gone:
            return
        self._outcome.succeeded += len(pod.batch)
        self._outcome.batches.append((pod.batch_started, now))
        self._end_batch(pod, now)
        if pod.deleted:
            self._free_gpu(now, pod)
        elif self._waiting:
            self._claim(pod, now)
        else:
            self._idle.append(pod)

    def _end_batch(self, pod: Pod, now: float) -> None:
        self._running -= len(pod.batch)
        self._busy -= 1
        self._outcome.busy += now - pod.batch_started
        pod.batch = []

    # --- pods ---------------------------------------------------------------------------------------

    def _resize(self, now: float, _: None) -> None:
        """The ReplicaSet's part: pods are made, or chosen and deleted."""
        excess = len(self._pods) - self._replicas
        for _number in range(-excess):
            pod = Pod(uid=self._random.random(), created_at=now)
            self._pods.append(pod)
            self._pending.append(pod)
        if excess > 0:
            for pod in pods_to_delete(self._pods, excess, now, self._keeper):
                self._delete(pod, now)
        self._outcome.peak_replicas = max(self._outcome.peak_replicas, len(self._pods))
        self._place_pods(now)

    def _place_pods(self, now: float) -> None:
        """The pods that wait for a GPU get one on the node with the most free ones."""
        while self._pending and (most := max(self._free)):
            pod = self._pending.popleft()
            if pod.deleted:
                continue
            pod.node = self._free.index(most)
            self._free[pod.node] -= 1
            pod.phase, pod.scheduled_at = "Running", now
            self._outcome.cold_starts += 1
            seconds = self._cluster.cold_start * self._random.uniform(0.9, 1.1)
            self._schedule_event(now + seconds, self._become_ready, pod)

    def _become_ready(self, now: float, pod: Pod) -> None:
        if pod.deleted:
            return
        pod.ready_at = now
        self._ready += 1
        self._idle.append(pod)
        self._dispatch(now)

    def _delete(self, pod: Pod, now: float) -> None:
        """SIGTERM: it takes no more, finishes its batch, and is killed only when the grace period is over."""
        pod.deleted = True
        self._outcome.removed += 1
        self._pods.remove(pod)
        if pod.ready_at is not None:
            self._ready -= 1
        if pod.node is None:
            return
        self._draining.add(pod)
        if not pod.batch:
            self._schedule_event(now + EXIT_SECONDS, self._free_gpu, pod)
            return
        self._outcome.hits.append(now)
        self._outcome.dead_in_30 += len(pod.batch) * (pod.batch_ends > now + 30.0)
        if pod.batch_ends > now + self._grace:
            self._schedule_event(now + self._grace, self._kill, pod)

    def _kill(self, now: float, pod: Pod) -> None:
        self._outcome.killed += len(pod.batch)
        self._schedule_event(now + LEASE_SECONDS, self._requeue, pod.batch)
        self._end_batch(pod, now)
        self._free_gpu(now, pod)

    def _requeue(self, now: float, batch: list[int]) -> None:
        """The keeper queues what a dead worker held again, at its old place, or gives it up."""
        for prediction in reversed(batch):
            self._attempts[prediction] = self._attempts.get(prediction, 1) + 1
            if self._attempts[prediction] > MAX_ATTEMPTS:
                self._outcome.lost += 1
                continue
            if not self._waiting:
                self._backlog_since = now
            self._waiting.appendleft(prediction)
        self._dispatch(now)

    def _free_gpu(self, now: float, pod: Pod) -> None:
        pod.gone = True
        self._draining.discard(pod)
        self._outcome.paid += now - pod.scheduled_at
        assert pod.node is not None
        self._free[pod.node] += 1
        self._place_pods(now)

    # --- KEDA and HPA -------------------------------------------------------------------------------

    def _metric(self) -> float:
        demand = Demand(len(self._waiting), self._running, self._busy)
        return self._variant.formula(demand, self._scaling.target)

    def _keda_poll(self, now: float, _: None) -> None:
        self._set_replicas(now, self._activation.decide(now, self._metric(), self._replicas))
        self._schedule_event(now + self._scaling.polling_seconds, self._keda_poll, None)

    def _hpa_round(self, now: float, _: None) -> None:
        gpus = self._cluster.gpus - sum(self._free)
        state = (len(self._waiting), self._running, self._busy, self._ready, self._replicas, gpus)
        self._outcome.timeline.append(Sample(now, *state))
        self._set_replicas(now, self._hpa.decide(now, self._metric(), self._replicas))
        self._schedule_event(now + HPA_SECONDS, self._hpa_round, None)

    def _set_replicas(self, now: float, replicas: int) -> None:
        if replicas != self._replicas:
            self._replicas = replicas
            self._schedule_event(now + self._variant.reaction, self._resize, None)
