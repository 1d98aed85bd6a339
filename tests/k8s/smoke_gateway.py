"""The gateway that a smoke test talks to, and what it showed."""

from collections.abc import Callable
from typing import Any

from command_result import Result
from fake_cluster import Object

CATALOG = {
    "models": {
        "spam": {"source": "team/spam", "task": "text-classification"},
        "speech": {"source": "team/speech", "task": "automatic-speech-recognition"},
    }
}
Answer = tuple[int, Any] | None


Smoke = Callable[..., Result]


class FakeGateway:
    """Behind the API server's proxy. `answers` are given in turn; the last one stays."""

    def __init__(self, *answers: Answer | Callable[[], Answer]) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, Any, dict[str, str]]] = []

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        self.seen.append((method, path, body, headers))
        if path.endswith("/cancel"):
            return prediction("canceled")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer() if callable(answer) else answer


def prediction(status: str, **fields: Any) -> tuple[int, Object]:
    return 200, {"id": "p1", "status": status, **fields}


DONE = prediction("succeeded", output=[{"label": "SPAM", "score": 0.99}])


def shown(result: Result) -> list[str]:
    """What was shown while it waited, without the seconds."""
    return [line.partition(" s  ")[2] for line in result.err.splitlines()]
