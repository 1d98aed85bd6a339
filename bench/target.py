"""What the load generator needs of a stack: where it is, what to send, which answer is good."""

import re
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Poll:
    """How a client waits that is given an id first: it asks again and again, ever less often."""

    id_pattern: str
    """Finds the id in the answer to the first request."""
    path: str
    """What to ask, with `{id}` in it."""
    pending: str
    """Is in the answer as long as there is none yet."""
    first_seconds: float = 0.01
    factor: float = 1.5
    longest_seconds: float = 1.0

    def id_in(self, body: bytes) -> str | None:
        """The id in the answer to the first request."""
        match = re.search(self.id_pattern.encode(), body)
        return match.group(1).decode() if match else None


@dataclass(frozen=True)
class Target:
    port: int
    requests: list[str]
    """Whole HTTP requests, one a prediction; used in turn."""
    proof: str = ""
    """Is in the body of every good answer."""
    poll: Poll | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Target":
        poll = data.pop("poll")
        return cls(**data, poll=Poll(**poll) if poll else None)
