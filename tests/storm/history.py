"""The history of a storm's clients: what they intended, asked, were answered and observed. Times are `time.monotonic()`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TERMINAL = frozenset({"succeeded", "failed", "canceled"})


@dataclass(slots=True)
class Intent:
    """One prediction that a client wants. Its number is in its input, so that it is known anywhere."""

    n: int
    model: str
    input: dict[str, Any]
    key: str | None = None
    put_id: str | None = None
    wait: float = 0.0
    deadline: float | None = None
    priority: str | None = None
    version: str | None = None
    """It is to be run by this version only."""
    then: str = ""
    """What its client does once it is accepted: poll, cancel, stream, repeat or nothing."""
    canceled: bool = False
    """Its client has asked for a cancel, answered or not."""

    @property
    def repeatable(self) -> bool:
        return self.key is not None or self.put_id is not None


@dataclass(slots=True)
class Request:
    """One request and its answer; `status` is None when there was none."""

    kind: str
    gateway: str
    asked: float
    n: int | None = None
    id: str | None = None
    wait: float = 0.0
    answered: float | None = None
    status: int | None = None
    code: str | None = None
    trouble: str | None = None
    """What the client met in place of an answer, or what is wrong with the answer."""

    @property
    def accepted(self) -> bool:
        return self.kind == "create" and self.status in (200, 201)

    @property
    def refused(self) -> bool:
        """Answered in a way that says that nothing was recorded."""
        return self.kind == "create" and self.status in (429, 503)

    @property
    def seconds(self) -> float:
        return (self.answered or self.asked) - self.asked


@dataclass(slots=True)
class Observation:
    """A prediction as an answer showed it."""

    id: str
    asked: float
    answered: float
    status: str
    output: Any
    error_code: str | None
    attempt: int
    completed_at: str | None
    how: str

    @property
    def over(self) -> bool:
        return self.status in TERMINAL


@dataclass(slots=True)
class StreamReading:
    """What came out of the stream of a prediction, over as many connections as it took."""

    id: str
    n: int
    text: str = ""
    done: bool = False
    error: str | None = None
    connections: int = 0

    def note_event(self, event: str, data: str) -> None:
        """Note one event."""
        match event:
            case "output":
                self.text += data
            case "error":
                self.error = json.loads(data).get("detail", "")
            case "done":
                self.done = True


@dataclass(slots=True)
class History:
    """All of it, in the order in which it happened."""

    intents: dict[int, Intent] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    stream_readings: list[StreamReading] = field(default_factory=list)

    def creates(self) -> dict[int, list[Request]]:
        """The creates of each intent that was asked for at all."""
        found: dict[int, list[Request]] = {}
        for request in self.requests:
            if request.kind == "create" and request.n is not None:
                found.setdefault(request.n, []).append(request)
        return found

    def accepted(self) -> dict[str, int]:
        """The ids that were answered 200 or 201, with the number of their intent."""
        return {r.id: r.n for r in self.requests if r.accepted and r.id and r.n is not None}

    def unknown(self) -> dict[str, int]:
        """The ids of creates that were answered 504, with the number of their intent."""
        return {
            r.id: r.n
            for r in self.requests
            if r.kind == "create" and r.status == 504 and r.id and r.n is not None
        }

    def note_observation(
        self, asked: float, answered: float, shown: dict[str, Any], how: str
    ) -> None:
        """Note a prediction that an answer holds."""
        self.observations.append(
            Observation(
                shown["id"],
                asked,
                answered,
                shown["status"],
                shown["output"],
                shown["error_code"],
                shown["attempt"],
                shown["completed_at"],
                how,
            )
        )

    def write(self, path: Path) -> None:
        """One line of JSON for each intent, request, observation and stream reading."""
        with path.open("w") as out:
            for name in ("requests", "observations", "stream_readings"):
                for row in getattr(self, name):
                    out.write(json.dumps({"what": name[:-1], **asdict(row)}) + "\n")
            for intent in self.intents.values():
                out.write(json.dumps({"what": "intent", **asdict(intent)}) + "\n")
