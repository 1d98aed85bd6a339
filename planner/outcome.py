"""What a simulated time brought: waits, pods that were hit, and the GPU time that was paid."""

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple


class Sample(NamedTuple):
    """The state at one round of the HPA."""

    at: float
    queued: int
    running: int
    busy: int
    ready: int
    replicas: int
    gpus: int


@dataclass
class Outcome:
    """One run. Seconds, except where a name says otherwise."""

    arrivals: int = 0
    succeeded: int = 0
    lost: int = 0  # killed as often as a prediction may be started
    killed: int = 0  # predictions under way in a pod whose grace period ended
    dead_in_30: int = 0  # predictions that Kubernetes' default grace of 30 s would have killed
    ends: float = 0.0
    paid: float = 0.0
    busy: float = 0.0
    cold_starts: int = 0
    peak_replicas: int = 0
    longest_backlog: float = 0.0
    waits: list[float] = field(default_factory=list)
    removed: int = 0  # pods that scale-in chose, idle ones too
    hits: list[float] = field(default_factory=list)  # when scale-in chose a pod with a batch
    batches: list[tuple[float, float]] = field(default_factory=list)  # start, end
    timeline: list[Sample] = field(default_factory=list)

    def wait_quantile(self, share: float) -> float:
        """The wait from accepted to started that this share of the predictions did not exceed."""
        if not self.waits:
            return 0.0
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def used(self) -> float:
        """The share of the paid GPU time in which a batch ran."""
        return self.busy / self.paid if self.paid else 0.0

    def oracle(self, cold_start: float) -> float:
        """The GPU seconds that one would pay who knows when each batch comes.

        It runs the same batches at the same instants, starts each GPU just in time, and between two batches keeps
        it or lets it go, whichever is cheaper.
        """
        paid = 0.0
        running: list[float] = []
        free: list[float] = []
        for start, end in sorted(self.batches):
            while running and running[0] <= start:
                free.append(heapq.heappop(running))
            # The one that became free last: so the gaps of the others grow, and they can go.
            paid += min(start - free.pop(), cold_start) if free else cold_start
            paid += end - start
            heapq.heappush(running, end)
        return paid
