"""All that a verdict is made from: the history, the model's own log, the ledger at the end, and the faults."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.ledger.client import Ledger
from contract.ledger.transitions import list_page
from contract.prediction import Prediction
from tests.storm.faults import FaultEvent
from tests.storm.history import History, Request
from tests.storm.managed import ProcessExit

OWNER = "local"
PAGE = 50


@dataclass(slots=True)
class Run:
    """One run of one item by the model. `again`: its batch was split, so it is no other start."""

    id: str
    n: int
    pid: int
    batch: str
    begun: float
    again: bool
    ended: float | None = None


@dataclass(slots=True)
class Evidence:
    """What is known when a storm is over. Times are `time.monotonic()`."""

    history: History
    records: dict[str, Prediction]
    runs: list[Run]
    fault_events: list[FaultEvent]
    exits: list[ProcessExit]
    killed: dict[int, float]
    healed: float
    """When the last fault ended."""
    max_attempts: int
    patience_seconds: float
    """How long after the heal anything may still be under way."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """When the clients were kept from running, and for how long: the machine's own share."""
    unready: list[str] = field(default_factory=list)
    """Those that were not ready in time after the heal."""
    canaries: list[Request] = field(default_factory=list)
    """Creates after the heal, when all were ready."""
    idle_waits: dict[str, float] = field(default_factory=dict)
    """By model: for how long predictions waited after the heal while nobody worked."""
    sizes: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]] = field(
        default_factory=lambda: ({}, {})
    )
    """(threads, connections) of each process before the storm and at its end."""
    residue: dict[str, int] = field(default_factory=dict)
    """What is left in the ledger's sets of what is under way, after all is over."""
    _numbers: dict[str, int] = field(default_factory=dict, repr=False)

    def runs_of(self, ids: Iterable[str]) -> list[Run]:
        wanted = set(ids)
        return [run for run in self.runs if run.id in wanted]

    def lag_in(self, begin: float, end: float) -> float:
        """The seconds in this time in which the clients were kept from running."""
        return sum(seconds for at, seconds in self.lags if begin <= at <= end + seconds)

    def clear_seconds(self, begin: float, end: float) -> float:
        """The seconds of this time in which no fault was on."""
        edges = [
            (max(begin, s.began), min(end, s.healed or self.healed)) for s in self.fault_events
        ]
        clear, at = 0.0, begin
        for first, last in sorted(edge for edge in edges if edge[0] < edge[1]):
            clear += max(0.0, first - at)
            at = max(at, last)
        return clear + max(0.0, end - at)

    def records_of(self, n: int) -> list[Prediction]:
        """The records that were made of one intent."""
        return [p for p in self.records.values() if self.number_of(p) == n]

    def number_of(self, record: Prediction) -> int:
        """The number of the intent of which a record was made."""
        if record.id not in self._numbers:
            self._numbers[record.id] = int(json.loads(record.input)["n"])
        return self._numbers[record.id]


def read_runs(path: Path) -> list[Run]:
    """The model's own log."""
    runs: list[Run] = []
    open_ones: dict[tuple[str, str], Run] = {}
    for row in _rows(path):
        key = (row["id"], row["batch"])
        if row["what"] == "end":
            open_ones[key].ended = row["at"]
            continue
        run = Run(
            row["id"],
            row["input"]["n"],
            row["pid"],
            row["batch"],
            row["at"],
            row["what"] == "again",
        )
        open_ones[key] = run
        runs.append(run)
    return runs


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read_records(ledger: Ledger) -> dict[str, Prediction]:
    """Every prediction that the ledger has."""
    found: dict[str, Prediction] = {}
    before: int | None = None
    while True:
        page = ledger.run(list_page(OWNER, before=before, limit=PAGE))
        found |= {p.id: p for p in page.predictions}
        if not page.more or page.last is None:
            return found
        before = page.last


def read_residue(ledger: Ledger, models: Collection[str]) -> dict[str, int]:
    """How many entries the ledger's sets of what is under way have."""
    names = [(kind, model) for kind in ("queued", "running", "busy") for model in models]
    names += [("deadlines", ""), ("limits", "")]
    counts = {
        f"{kind} {model}".strip(): int(ledger.redis.zcard(ledger.key(kind, model)))
        for kind, model in names
    }
    counts |= {
        f"pins {model}": int(ledger.redis.scard(ledger.key("pins", model))) for model in models
    }
    return {name: count for name, count in counts.items() if count}
