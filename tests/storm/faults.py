"""What a storm does to whom and when: a schedule that follows from a seed."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.storm.proxy import LinkState

CALM_SECONDS = 3.0
"""Before the first fault."""
GAP_SECONDS = 2.5
"""Between two faults, on the average."""
MOST_AT_ONCE = 3
SHORTEST, LONGEST = 0.5, 6.0
NETWORK = [state.value for state in LinkState if state is not LinkState.CLEAR]
HOLDING = [state.value for state in LinkState if state.holds]
KILL, STOP, TERMINATE = "kill", "stop", "terminate"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `at` counts from the begin of the storm; `reset`: what was held is never delivered."""

    at: float
    seconds: float
    kind: str
    target: str
    reset: bool = False

    @property
    def network(self) -> bool:
        return self.kind in NETWORK

    def __str__(self) -> str:
        more = ", then reset" if self.reset else ""
        return f"{self.at:6.1f} s  {self.kind} {self.target} for {self.seconds:.1f} s{more}"


@dataclass(slots=True)
class FaultEvent:
    """A fault that happened, and when, by `time.monotonic()`."""

    fault: Fault
    began: float
    lifted: bool = False
    """Its time is over. A store that was killed has to come up again before it is healed."""
    healed: float | None = None

    def touches(self, begin: float, end: float) -> bool:
        """Whether it was on in this time."""
        return self.began <= end and (self.healed is None or self.healed >= begin)


def schedule(
    seed: int,
    seconds: float,
    links: Sequence[str],
    processes: Sequence[str],
    stores: Sequence[str],
    gap: float = GAP_SECONDS,
) -> list[Fault]:
    """The faults of a storm, one every `gap` seconds on the average.

    `links` are named `PLACE-ledger`, `PLACE-broker` and `client-PLACE`; `stores` are `ledger` and `broker`.
    """
    draw = random.Random(f"faults {seed}")
    faults: list[Fault] = []
    at = CALM_SECONDS
    while (at := at + draw.expovariate(1 / gap)) < seconds:
        fault = _next(draw, round(at, 2), links, processes, stores)
        on = [f for f in faults if f.at + f.seconds > fault.at]
        if len(on) < MOST_AT_ONCE and fault.target not in {f.target for f in on}:
            faults.append(fault)
    return faults


def _next(
    draw: random.Random,
    at: float,
    links: Sequence[str],
    processes: Sequence[str],
    stores: Sequence[str],
) -> Fault:
    seconds = round(draw.uniform(SHORTEST, LONGEST), 2)
    clients = [link for link in links if link.startswith("client-")]
    to_ledger = [link for link in links if link.endswith("-ledger")]
    to_broker = [link for link in links if link.endswith("-broker")]
    workers = [process for process in processes if process.startswith("worker")]
    others = [process for process in processes if not process.startswith("worker")]
    doubtful = [link for link in to_ledger if link.startswith("gateway")]
    groups = {
        "ledger's links": (24, to_ledger, NETWORK),
        "silent ledgers": (10, doubtful, HOLDING),  # what makes outcomes unknown
        "broker's links": (18, to_broker, NETWORK),
        "clients' links": (8, clients, NETWORK),
        "workers": (18, workers, [KILL, KILL, STOP, TERMINATE]),
        "others": (12, others, [KILL, STOP, TERMINATE]),
        "stores": (12, stores, [KILL, STOP, TERMINATE]),
    }
    weights = [weight for weight, _, _ in groups.values()]
    _, targets, kinds = draw.choices(list(groups.values()), weights)[0]
    kind = draw.choice(kinds)
    reset = kind in HOLDING and draw.random() < 0.5
    return Fault(at, seconds, kind, draw.choice(list(targets)), reset)


def count_kinds(faults: Iterable[Fault]) -> Counter[str]:
    """How many of each kind, by whom they hit: `kill worker`, `cut ledger link`."""
    return Counter(f"{fault.kind} {_sort_of(fault)}" for fault in faults)


def _sort_of(fault: Fault) -> str:
    if not fault.network:
        return fault.target.partition("-")[0]
    return (
        "client link"
        if fault.target.startswith("client-")
        else f"{fault.target.rpartition('-')[2]} link"
    )
