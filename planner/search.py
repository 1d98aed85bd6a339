"""The values of the chart that serve a load within a wait for the least GPU time, found by simulating."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from planner.autoscaler import Scaling
from planner.load import HOUR, Load, ServiceTime
from planner.outcome import Outcome
from planner.simulation import Cluster, Simulation

SEARCH_PREDICTIONS, FINAL_PREDICTIONS = 40_000, 500_000
FULL = 0.95  # the highest share of the GPUs' capacity: nearer to 1, waits grow without bound
MARGINS = (0.85, 0.6, 0.4)  # of the wait, tried in turn: another day may be worse
MIN_GAIN = 0.05  # a value is replaced only by one that is better by this share
DAY = 24.0


@dataclass(frozen=True)
class Requirements:
    """A load of so many predictions an hour, the cluster for it, and the longest p95 wait, in seconds."""

    per_hour: float
    shape: str
    service: ServiceTime
    cluster: Cluster
    p95_wait: float
    seed: int = 0

    def simulated_load(self, most: int) -> Load:
        """A day or, of few predictions, up to two; of more than `most`, a day that passes in fewer hours."""
        hours = min(max(500 / self.per_hour, DAY), 2 * DAY)
        hours = max(1.0, min(hours, most / self.per_hour))
        return Load(self.per_hour, self.shape, hours, min(hours, DAY))

    @property
    def least_gpus(self) -> int:
        """Without these the queue grows in the busiest hours even with full batches all the time."""
        peak = self.simulated_load(SEARCH_PREDICTIONS).peak_per_hour / HOUR
        return math.ceil(peak * self.service.full_seconds / self.service.max_batch_size / FULL)

    def with_gpus(self, gpus: int) -> "Requirements":
        return replace(self, cluster=replace(self.cluster, gpus=gpus))


@dataclass(frozen=True)
class Forecast:
    """What to expect of scaling values, from a run with arrivals of its own."""

    scaling: Scaling
    outcome: Outcome
    hours: float
    arrivals: list[float]

    @property
    def p95_wait(self) -> float:
        return self.outcome.wait_quantile(0.95)

    def per_day(self, count: float) -> float:
        return count * DAY / (self.outcome.ends / HOUR)


class Search:
    """From the chart's defaults one value after the other is replaced by a better one, twice around."""

    ROUNDS = 2

    def __init__(
        self, required: Requirements, advance: Callable[..., None] = lambda total=None: None
    ) -> None:
        """`advance` is called with a new total at the start of each attempt, and with nothing after each step."""
        self._required, self._advance = required, advance
        self._wait = required.p95_wait
        self._known: dict[tuple[Scaling, int], tuple[float, float]] = {}

    def find_best(self) -> Forecast:
        """The scaling with the least GPU time that keeps the wait on another day too, else with the shortest wait."""
        attempts: list[Forecast] = []
        for margin in MARGINS:
            self._wait = margin * self._required.p95_wait
            found = forecast(self._required, self._best())
            attempts.append(found)
            if found.p95_wait <= self._required.p95_wait:
                return found
            if self._judge(found.scaling)[0]:
                break
        return min(attempts, key=lambda attempt: attempt.p95_wait)

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
        low, high = max(self._required.cluster.gpus, self._required.least_gpus - 1), None
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
        return Scaling(
            target=self._required.service.max_batch_size, max=self._required.cluster.gpus
        )

    @cached_property
    def _arrivals(self) -> list[float]:
        return self._required.simulated_load(SEARCH_PREDICTIONS).arrivals(
            Random(self._required.seed)
        )

    def _neighbours(self, best: Scaling) -> Iterator[tuple[str, int]]:
        """The values worth a try, the one with the most effect first."""
        batch, gpus = self._required.service.max_batch_size, self._required.cluster.gpus
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
            return other if other_miss < miss * (1 - MIN_GAIN) else best
        return other if other_cost < cost * (1 - MIN_GAIN) else best

    def _judge(self, scaling: Scaling, gpus: int | None = None) -> tuple[float, float]:
        """Seconds of p95 wait too many, and GPU seconds paid; `gpus`: in place of those required."""
        required = self._required.with_gpus(gpus) if gpus else self._required
        key = (scaling, required.cluster.gpus)
        if key not in self._known:
            until = required.simulated_load(SEARCH_PREDICTIONS).hours * HOUR
            outcome = Simulation(
                self._arrivals,
                required.service,
                scaling,
                required.cluster,
                seed=required.seed,
                until=until,
            ).simulate()
            self._known[key] = (outcome.wait_quantile(0.95), outcome.paid)
        waited, paid = self._known[key]
        return max(0.0, waited - self._wait), paid


def forecast(required: Requirements, scaling: Scaling) -> Forecast:
    """A long run with another seed than the search, which may have been lucky with its own."""
    load = required.simulated_load(FINAL_PREDICTIONS)
    arrivals = load.arrivals(Random(required.seed + 1))
    until = load.hours * HOUR
    outcome = Simulation(
        arrivals, required.service, scaling, required.cluster, seed=required.seed + 1, until=until
    ).simulate()
    return Forecast(scaling, outcome, load.hours, arrivals)
