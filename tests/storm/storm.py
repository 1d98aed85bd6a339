"""One storm from its seed to its verdict."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.storm.clients import Clients
from tests.storm.evidence import Evidence, read_records, read_residue, read_runs
from tests.storm.faults import GAP_SECONDS, Fault, FaultEvent, count_kinds, schedule
from tests.storm.history import Request
from tests.storm.system import MODELS, MOST_ATTEMPTS, START_SECONDS, System
from tests.storm.verdict import judge
from tests.storm.violation import Violation

RATE = 6.0
"""Intents a second."""
TICK_SECONDS = 0.05
PATIENCE_SECONDS = 30.0
"""How long after the heal what was accepted may wait or run."""
CANARY_SECONDS = 5.0
MOST_OF_A_NAME = 3
"""Violations of one name that are printed in full."""


@dataclass(slots=True)
class Outcome:
    """What came of a storm."""

    seed: int
    broker: str
    seconds: float
    violations: list[Violation]
    counts: dict[str, int]
    faults: Counter[str]
    recovery: list[float]
    """See `recovery_seconds`."""
    evidence: Evidence = field(repr=False)

    @property
    def names(self) -> set[str]:
        return {violation.name for violation in self.violations}

    @property
    def complaint(self) -> str:
        """The violations, the first few of each name in full; empty if there are none."""
        printed: Counter[str] = Counter()
        lines = []
        for violation in self.violations:
            printed[violation.name] += 1
            if printed[violation.name] <= MOST_OF_A_NAME:
                lines.append(str(violation))
        more = {name: n - MOST_OF_A_NAME for name, n in printed.items() if n > MOST_OF_A_NAME}
        lines += [f"{name}: {count} more" for name, count in more.items()]
        return "\n".join(lines)

    def row(self) -> dict[str, Any]:
        """All numbers of it."""
        return {
            "seed": self.seed,
            "broker": self.broker,
            "seconds": round(self.seconds, 1),
            **self.counts,
            "faults": sum(self.faults.values()),
            "recovery_median": round(median(self.recovery), 2) if self.recovery else None,
            "recovery_max": round(max(self.recovery), 2) if self.recovery else None,
            "violations": dict(Counter(v.name for v in self.violations)),
        }


class Storm:
    """Runs faults against a system while its clients ask."""

    def __init__(
        self,
        system: System,
        seed: int,
        *,
        rate: float = RATE,
        patience_seconds: float = PATIENCE_SECONDS,
        say: Callable[[str], None] = print,
    ) -> None:
        self.system = system
        self.seed = seed
        self._patience = patience_seconds
        self._say = say
        self.clients = Clients(
            system.client_ports(), seed, rate, sorted(set(system.workers.values()))
        )

    def run(self, seconds: float, faults: Sequence[Fault]) -> Outcome:
        """A storm of so many seconds, then the heal and the verdict."""
        self._say(f"seed {self.seed}, {self.system.kind}, {len(faults)} faults")
        for fault in faults:
            self._say(f"  {fault}")

        def act() -> None:
            self.clients.start_asking()
            self.run_faults(seconds, faults)
            self.clients.stop_asking()

        return self.judged(act)

    def judged(self, act: Callable[[], None]) -> Outcome:
        """Let something happen to a system that is well; then the heal and the verdict."""
        began = time.monotonic()
        with self.clients:
            self.system.wait_ready()
            self._canaries()
            before = self.system.sizes()
            act()
            evidence = self._end()
            evidence.sizes = (before, self.system.sizes())
        self.clients.history.write(self.system.folder / "history.jsonl")
        return Outcome(
            self.seed,
            self.system.kind,
            time.monotonic() - began,
            judge(evidence),
            count(evidence),
            count_kinds(s.fault for s in self.system.fault_events),
            recovery_seconds(evidence),
            evidence,
        )

    def run_faults(self, seconds: float, faults: Sequence[Fault]) -> None:
        """Strike and heal by the clock, for so many seconds."""
        began = time.monotonic()
        waiting = sorted(faults, key=lambda fault: fault.at)
        on: list[FaultEvent] = []
        while (now := time.monotonic() - began) < seconds or waiting:
            while waiting and waiting[0].at <= now:
                on.append(self.system.inject(waiting.pop(0)))
            for event in [s for s in on if s.fault.at + s.fault.seconds <= now]:
                self.system.heal(event)
                on.remove(event)
            self.system.tick()
            time.sleep(TICK_SECONDS)

    def _end(self) -> Evidence:
        """Heal everything, wait for everything, and gather what there is to know."""
        self.system.heal_all()
        healed = time.monotonic()
        unready = self._come_back()
        canaries = [] if unready else self._canaries()
        idle_waits = self._settle()
        self._read_all()
        ledger = self.system.ledger
        return Evidence(
            self.clients.history,
            read_records(ledger),
            read_runs(self.system.runs_file),
            self.system.fault_events,
            self.system.exits,
            self.system.killed,
            healed,
            MOST_ATTEMPTS,
            self._patience,
            lags=self.clients.lags,
            unready=unready,
            canaries=canaries,
            idle_waits=idle_waits,
            residue=read_residue(ledger, MODELS),
        )

    def _come_back(self) -> list[str]:
        """Wait until all are ready; who is not, in the end."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.system.tick()
            if not self.system.unready():
                return []
            time.sleep(TICK_SECONDS)
        return self.system.unready()

    def _canaries(self) -> list[Request]:
        """A prediction of each model through each gateway, one after the other."""
        create, intent = self.clients.create, self.clients.intent
        models = sorted(set(self.system.workers.values()))
        gateways = self.system.client_ports()
        return [create(intent(m, wait=CANARY_SECONDS), g) for g in gateways for m in models]

    def _settle(self) -> dict[str, float]:
        """Wait until all is over. By model: how long something waited while nobody worked."""
        until = time.monotonic() + 3 * self._patience
        since: dict[str, float] = {}
        waits: dict[str, float] = {}
        while time.monotonic() < until:
            self.system.tick()
            left = read_residue(self.system.ledger, MODELS)
            now = time.monotonic()
            for model in MODELS:
                if left.get(f"queued {model}") and not left.get(f"running {model}"):
                    since.setdefault(model, now)
                    waits[model] = max(waits.get(model, 0.0), now - since[model])
                else:
                    since.pop(model, None)
            over = not any(name.startswith(("queued", "running", "busy")) for name in left)
            if over and not self.clients.busy:
                break
            if any(seconds > self._patience for seconds in waits.values()):
                break
            time.sleep(0.2)
        return waits

    def _read_all(self) -> None:
        """Read every prediction that a client knows of, once through each gateway for those in doubt."""
        history = self.clients.history
        gateways = list(self.system.client_ports())
        for id in history.unknown():
            for gateway in gateways:
                self.clients.read_at_end(id, gateway)
        for number, id in enumerate(history.accepted()):
            self.clients.read_at_end(id, gateways[number % len(gateways)])


def count(evidence: Evidence) -> dict[str, int]:
    """The answers that clients got, and how their predictions ended."""
    history = evidence.history
    creates = [r for r in history.requests if r.kind == "create"]
    ends = Counter(
        record.error_code or str(record.status)
        for record in evidence.records.values()
        if record.status.terminal
    )
    return {
        "creates": len(creates),
        "accepted": len(history.accepted()),
        "refused": sum(r.refused for r in creates),
        "unknown": sum(r.status == 504 for r in creates),
        "unanswered": sum(r.status is None for r in creates),
        "reads": len(history.requests) - len(creates),
        "records": len(evidence.records),
        "runs": len(evidence.runs),
        "worker_lost": ends["worker_lost"],
        "exits": sum(not end.asked for end in evidence.exits),
    }


def recovery_seconds(evidence: Evidence) -> list[float]:
    """For each fault, how long it took from its end until the first prediction was done that had been asked for
    after it, whatever else was broken meanwhile.
    """
    ends = {run.id: run.ended for run in evidence.runs if run.ended is not None}
    done = [
        (request.asked, ends[request.id])
        for request in evidence.history.requests
        if request.accepted and request.id in ends
    ]
    found = []
    for event in evidence.fault_events:
        healed = event.healed or evidence.healed
        later = [end for asked, end in done if asked >= healed]
        if later:
            found.append(min(later) - healed)
    return found


def run_storm(
    folder: Path,
    broker: str,
    seed: int,
    seconds: float,
    *,
    gap: float = GAP_SECONDS,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Build a system, run one storm of a seed against it, and take it down."""
    with System(folder, broker) as system:
        faults = schedule(seed, seconds, *system.targets(), gap)
        return Storm(system, seed, say=say).run(seconds, faults)
