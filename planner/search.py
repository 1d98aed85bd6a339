"""The values of the chart that serve a load within a wait for the least GPU time, found by simulating."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from planner.autoscaler import Scaling
from planner.load import HOUR, Load, Service
from planner.outcome import Outcome
from planner.simulation import Cluster, Simulation

SEARCH_PREDICTIONS, FINAL_PREDICTIONS = 40_000, 500_000
FULL = 0.95  # of what the GPUs can do; nearer to it waits grow without end
MARGINS = (0.85, 0.6, 0.4)  # of the wait, one after the other, for no day is like another
WORTH = 0.05  # a value is replaced only for this much less
DAY = 24.0


@dataclass(frozen=True)
class Wish:
    """A load of so many predictions an hour, the cluster for it, and the p95 wait that is asked for."""

    per_hour: float
    shape: str
    service: Service
    cluster: Cluster
    wait: float
    seed: int = 0

    def load(self, most: int) -> Load:
        """A day or, of few predictions, up to two; of more than `most`, a day that passes in fewer hours."""
        hours = min(max(500 / self.per_hour, DAY), 2 * DAY)
        hours = max(1.0, min(hours, most / self.per_hour))
        return Load(self.per_hour, self.shape, hours, min(hours, DAY))

    @property
    def least_gpus(self) -> int:
        """Without these the queue grows in the busiest hours even with full batches all the time."""
        peak = self.load(SEARCH_PREDICTIONS).peak_per_hour / HOUR
        return math.ceil(peak * self.service.full_seconds / self.service.max_batch_size / FULL)

    def on(self, gpus: int) -> "Wish":
        return replace(self, cluster=replace(self.cluster, gpus=gpus))


@dataclass(frozen=True)
class Expectation:
    """What the values bring, from a run with arrivals of its own."""

    scaling: Scaling
    outcome: Outcome
    hours: float
    arrivals: list[float]

    @property
    def wait(self) -> float:
        """The p95 wait."""
        return self.outcome.wait(0.95)

    def per_day(self, count: float) -> float:
        return count * DAY / (self.outcome.ends / HOUR)


class Search:
    """From the chart's defaults one value after the other is replaced by a better one, twice around."""

    ROUNDS = 2

    def __init__(self, wish: Wish, advance: Callable[..., None] = lambda total=None: None) -> None:
        """`advance` is called with a new total at the start of each attempt, and with nothing after each step."""
        self._wish, self._advance = wish, advance
        self._wait = wish.wait
        self._known: dict[tuple[Scaling, int], tuple[float, float]] = {}

    def plan(self) -> Expectation:
        """The least GPU time that keeps the wait on another day as well, else the shortest p95 wait."""
        attempts: list[Expectation] = []
        for margin in MARGINS:
            self._wait = margin * self._wish.wait
            found = expect(self._wish, self._best())
            attempts.append(found)
            if found.wait <= self._wish.wait:
                return found
            if self._judge(found.scaling)[0]:
                break
        return min(attempts, key=lambda attempt: attempt.wait)

    def _best(self) -> Scaling:
        best = self._start
        self._advance(total=self.ROUNDS * sum(1 for _ in self._neighbours(best)))
        for _ in range(self.ROUNDS):
            for name in dict.fromkeys(name for name, _ in self._neighbours(best)):
                for same, value in list(self._neighbours(best)):
                    if same == name:
                        best = self._better(best, replace(best, **{name: value}))
                        self._advance()
        return best

    def gpus_needed(self, scaling: Scaling, most: int) -> int | None:
        """The fewest GPUs, up to `most`, that keep the wait when all of them are max; None when more do not help."""
        low, high = max(self._wish.cluster.gpus, self._wish.least_gpus - 1), None
        while high is None:
            tried = min(most, max(low + 1, low * 3 // 2))
            if self._judge(replace(scaling, max=tried), tried)[0] == 0:
                high = tried
            elif tried == most:
                return None
            else:
                low = tried
        while high - low > 1:
            middle = (low + high) // 2
            kept = self._judge(replace(scaling, max=middle), middle)[0] == 0
            low, high = (low, middle) if kept else (middle, high)
        return high

    @cached_property
    def _start(self) -> Scaling:
        return Scaling(target=self._wish.service.max_batch_size, max=self._wish.cluster.gpus)

    @cached_property
    def _arrivals(self) -> list[float]:
        return self._wish.load(SEARCH_PREDICTIONS).arrivals(Random(self._wish.seed))

    def _neighbours(self, best: Scaling) -> Iterator[tuple[str, int]]:
        """The values worth a try, the one with the most effect first."""
        batch, gpus = self._wish.service.max_batch_size, self._wish.cluster.gpus
        for share in (0.05, 0.2):
            if round(gpus * share) > 1:
                yield "down_pods_per_minute", round(gpus * share)
        yield from (("target", size) for size in sorted({max(1, batch // 4), max(1, batch // 2)}))
        yield from (("target", batch * times) for times in (1, 2, 4))
        yield from (
            ("min", count) for count in sorted({0, 1, 2, gpus // 4, gpus // 2}) if count < gpus
        )
        yield from (("cooldown_seconds", seconds) for seconds in (60, 120, 300, 900, 3600))
        yield from (("stabilization_seconds", seconds) for seconds in (60, 120, 300, 900))
        shares = {max(1, best.min, round(gpus * share)) for share in (0.25, 0.5, 0.75, 1)}
        yield from (("max", count) for count in sorted(shares))

    def _better(self, best: Scaling, other: Scaling) -> Scaling:
        if other == best or other.min > other.max:
            return best
        (miss, cost), (other_miss, other_cost) = self._judge(best), self._judge(other)
        if miss or other_miss:
            return other if other_miss < miss * (1 - WORTH) else best
        return other if other_cost < cost * (1 - WORTH) else best

    def _judge(self, scaling: Scaling, gpus: int | None = None) -> tuple[float, float]:
        """Seconds of p95 wait too many, and GPU seconds paid; `gpus` where others than the wish's are meant."""
        wish = self._wish.on(gpus) if gpus else self._wish
        key = (scaling, wish.cluster.gpus)
        if key not in self._known:
            until = wish.load(SEARCH_PREDICTIONS).hours * HOUR
            outcome = Simulation(
                self._arrivals, wish.service, scaling, wish.cluster, seed=wish.seed, until=until
            ).run()
            self._known[key] = (outcome.wait(0.95), outcome.paid)
        waited, paid = self._known[key]
        return max(0.0, waited - self._wait), paid


def expect(wish: Wish, scaling: Scaling) -> Expectation:
    """A long run with another seed than the search had, so that the values are not praised for their luck."""
    load = wish.load(FINAL_PREDICTIONS)
    arrivals = load.arrivals(Random(wish.seed + 1))
    until = load.hours * HOUR
    outcome = Simulation(
        arrivals, wish.service, scaling, wish.cluster, seed=wish.seed + 1, until=until
    ).run()
    return Expectation(scaling, outcome, load.hours, arrivals)
