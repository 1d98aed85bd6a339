"""The loads that the ways to scale are compared on."""

from dataclasses import dataclass
from random import Random

from planner.autoscaler import Scaling, ready_and_running, ready_only, with_busy
from planner.load import HOUR, Load, ServiceTime
from planner.outcome import Outcome
from planner.pods import Keeper
from planner.simulation import OURS, Cluster, Simulation, Variant

INSTANT = Variant("ours, were the keeper instant", with_busy, Keeper(0.0, 0.0, 0.0), reaction=0.0)
VARIANTS = [
    Variant("`queued`", ready_only),
    Variant("`queued + running`", ready_and_running),
    Variant("`queued + running`, deletion cost", ready_and_running, Keeper()),
    Variant("`max(queued + running, busy * target)`", with_busy),
    OURS,
    INSTANT,
]


@dataclass(frozen=True)
class Scenario:
    """A load on a cluster, with the settings of the chart."""

    name: str
    text: str
    load: Load
    service: ServiceTime
    cluster: Cluster
    down_pods_per_minute: int = 1
    most_seeds: int = 20

    @property
    def scaling(self) -> Scaling:
        """The chart's defaults, with all GPUs as max."""
        size, gpus = self.service.max_batch_size, self.cluster.gpus
        return Scaling(size, gpus, down_pods_per_minute=self.down_pods_per_minute)

    def simulate(self, variant: Variant, seed: int) -> Outcome:
        """The same seed gives each variant the same arrivals."""
        arrivals = self.load.arrivals(Random(seed))
        where = (self.service, self.scaling, self.cluster, variant, seed)
        return Simulation(arrivals, *where, until=self.load.hours * HOUR).simulate()


SCENARIOS = [
    Scenario(
        "trickle",
        "6 predictions/h of 30 s, 2 GPUs, a day",
        Load(6),
        ServiceTime(30),
        Cluster(2),
    ),
    Scenario(
        "day",
        "1200/h in a daily wave, batches of 8 in 20 s, 8 GPUs, a day",
        Load(1200, "daily"),
        ServiceTime(6, 2, 8),
        Cluster(8),
    ),
    Scenario(
        "bursts",
        "600/h, half of them in bursts, batches of 8 in 40 s, 16 GPUs, a day",
        Load(600, "bursts"),
        ServiceTime(12, 4, 8),
        Cluster(16),
    ),
    Scenario(
        "spike",
        "600/h, and once 600 within a minute, batches of 8 in 40 s, 16 GPUs, 6 hours",
        Load(600, "spike", 6),
        ServiceTime(12, 4, 8),
        Cluster(16),
    ),
    Scenario(
        "long",
        "80/h in bursts, batches of 4 in 2 to 30 min, 16 GPUs with a start of 90 s, a day",
        Load(80, "bursts"),
        ServiceTime(300, 60, 4, 0.8, 1800),
        Cluster(16, 90),
    ),
    Scenario(
        "large",
        "100,000/h, and once 100,000 within a minute, batches of 8 in 100 s, 1,000 GPUs with a "
        "start of 90 s, 50 pods a minute down, 3 hours",
        Load(100_000, "spike", 3),
        ServiceTime(30, 10, 8),
        Cluster(1000, 90),
        down_pods_per_minute=50,
        most_seeds=2,
    ),
]
