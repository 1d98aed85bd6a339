"""The predictions that arrive, and how long a batch of them takes."""

import math
from dataclasses import dataclass
from random import Random

HOUR = 3600.0
STEP = 10.0  # seconds in which the rate is taken as constant
SHAPES = ("steady", "daily", "bursts", "spike")
BURST_EVERY = 600.0
SPIKE_SECONDS = 60.0
SPIKE_AT = 1 / 3  # of the whole time


@dataclass(frozen=True)
class Load:
    """Arrivals at random with this mean rate, spread over the hours as the shape says.

    steady: the same rate all the time. daily: one wave a day, 2.7 times the mean at noon and next to nothing at
    night. bursts: half of all come in bursts of 10 s, on average one in 10 minutes. spike: steady, and once an
    hour's worth within a minute.
    """

    per_hour: float
    shape: str = "steady"
    hours: float = 24.0
    day: float = 24.0  # hours in which the wave passes

    def rates(self, random: Random) -> list[float]:
        """Predictions a second in each `STEP`."""
        mean, steps = self.per_hour / HOUR, round(self.hours * HOUR / STEP)
        if self.shape == "daily":
            # Its mean over a day is 1, for that of (1 - cos)² is 3/2.
            turns = (2 * math.pi * step * STEP / (self.day * HOUR) for step in range(steps))
            return [mean * (1 - math.cos(turn)) ** 2 / 1.5 for turn in turns]
        rates = [mean] * steps
        if self.shape == "spike":
            first = round(steps * SPIKE_AT)
            for step in range(first, min(steps, first + round(SPIKE_SECONDS / STEP))):
                rates[step] += self.per_hour / SPIKE_SECONDS
        if self.shape == "bursts":
            each = mean / 2 * BURST_EVERY / STEP
            chance = STEP / BURST_EVERY
            rates = [mean / 2 + each * (random.random() < chance) for _ in rates]
        return rates

    def arrivals(self, random: Random) -> list[float]:
        """The instants at which predictions are accepted, in seconds from the start, in order."""
        return poisson_arrivals(self.rates(random), random)

    @property
    def peak_per_hour(self) -> float:
        """The highest rate that lasts longer than a spike or a burst."""
        return self.per_hour * 4 / 1.5 if self.shape == "daily" else self.per_hour


def poisson_arrivals(rates: list[float], random: Random) -> list[float]:
    """A Poisson process whose rate is constant in each `STEP`."""
    found: list[float] = []
    need = random.expovariate(1.0)
    for number, rate in enumerate(rates):
        at, end = number * STEP, (number + 1) * STEP
        while need < rate * (end - at):
            at += need / rate
            found.append(at)
            need = random.expovariate(1.0)
        need -= rate * (end - at)
    return found


@dataclass(frozen=True)
class ServiceTime:
    """How long a batch takes: `first` seconds for one prediction, `each` more for every further one."""

    first: float
    each: float = 0.0
    max_batch_size: int = 1
    spread: float = 0.25  # sigma of the lognormal factor; its mean is 1
    hard_limit: float = HOUR

    def seconds(self, size: int, random: Random) -> float:
        """The watchdog of a worker ends a batch at the hard limit, so none takes longer."""
        mean = self.first + self.each * (size - 1)
        if not self.spread:
            return min(mean, self.hard_limit)
        factor = random.lognormvariate(-self.spread * self.spread / 2, self.spread)
        return min(mean * factor, self.hard_limit)

    @property
    def full_seconds(self) -> float:
        """The mean of a full batch."""
        return self.first + self.each * (self.max_batch_size - 1)
