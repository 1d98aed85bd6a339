"""A broken promise, by its name, with what shows it."""

from dataclasses import dataclass, field
from typing import Any

from tests.storm.evidence import Evidence
from tests.storm.history import Request


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    name: str
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = "".join(f"\n      {key}: {value}" for key, value in self.evidence.items())
        return f"{self.name}: {self.sentence}{facts}"


def about(e: Evidence, name: str, sentence: str, n: int) -> Violation:
    """A violation with all that is known of one intent."""
    records = e.records_of(n)
    ids = {p.id for p in records} | {r.id for r in e.history.requests if r.n == n and r.id}
    requests = [r for r in e.history.requests if r.n == n or (r.id in ids and r.id)]
    return Violation(
        name,
        sentence,
        {
            "intent": e.history.intents.get(n),
            "requests": requests,
            "records": records,
            "runs": [run for run in e.runs if run.n == n],
            "faults": faults_near(e, requests),
        },
    )


def faults_near(e: Evidence, requests: list[Request]) -> list[str]:
    """The faults that were on while these requests were under way."""
    if not requests:
        return []
    begin = min(r.asked for r in requests)
    end = max(r.answered or r.asked for r in requests)
    return [str(s.fault) for s in e.fault_events if s.touches(begin - 3, end + 3)]
