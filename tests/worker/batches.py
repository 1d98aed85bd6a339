"""Batches without a worker: what is claimed, a model that is a function, a reporter that only remembers."""

from collections.abc import Callable
from typing import Any

from contract.ledger.transitions import Claimed
from worker.models.interface import Item


class Fake:
    """A model whose pass is a function; it remembers the sizes it was asked for."""

    def __init__(self, run: Callable[[list[Item]], Any]) -> None:
        self.sizes: list[int] = []
        self._run = run

    def predict(self, items: list[Item]) -> Any:
        self.sizes.append(len(items))
        return self._run(items)


class Followed:
    """A reporter that only remembers."""

    def __init__(self) -> None:
        self.followed: list[Claimed] = []
        self.taken: list[tuple[str, str, Any]] = []

    def follow_predictions(self, claimed: list[Claimed]) -> None:
        self.followed += claimed

    def said(self, id: str) -> int | None:
        pieces = [text for who, kind, text in self.taken if (who, kind) == (id, "output")]
        return sum(map(len, pieces)) if pieces else None

    def take_report(self, item: Item, kind: str, value: Any) -> None:
        self.taken.append((item.id, kind, value))


def items(number: int) -> list[Item]:
    return [Item(f"p{n}", {"n": n}) for n in range(number)]


def numbers(batch: list[Item]) -> list[int]:
    return [item.input["n"] for item in batch]


def claimed(*inputs: str) -> list[Claimed]:
    return [Claimed(f"p{n}", n + 1, text, 0.0) for n, text in enumerate(inputs)]
