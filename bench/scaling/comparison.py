"""A day scaled by what waits beside the same day scaled as we do, in one picture."""

from pathlib import Path
from random import Random

from bench.scaling.scenarios import VARIANTS, Scenario
from planner.load import HOUR, STEP, Load, ServiceTime, poisson_arrivals
from planner.picture import draw_days
from planner.simulation import OURS, Cluster, Simulation

DAY = Scenario("picture", "", Load(300, "daily"), ServiceTime(60, 10, 4, 0.5), Cluster(12, 90))
SPIKE_HOUR, SPIKE_SIZE = 19, 150


def compare(path: Path, seed: int = 1) -> None:
    """Draw a day with a quiet night and an evening spike, scaled by what waits and scaled as we do."""
    random = Random(seed)
    rates = DAY.load.rates(random)
    first = round(SPIKE_HOUR * HOUR / STEP)
    for step in range(first, first + 6):
        rates[step] += SPIKE_SIZE / 60
    arrivals = poisson_arrivals(rates, random)
    where = (DAY.service, DAY.scaling, DAY.cluster)
    runs = {
        "Scaled by what waits: busy pods are chosen, then missing": VARIANTS[0],
        "Soloist: max(queued + running, busy * target), with deletion cost": OURS,
    }
    outcomes = {
        title: Simulation(arrivals, *where, variant, seed, until=24 * HOUR).simulate()
        for title, variant in runs.items()
    }
    draw_days(path, arrivals, outcomes, DAY.cluster.gpus)
