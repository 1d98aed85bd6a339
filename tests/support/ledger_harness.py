"""A ledger with a clock that the test moves, and short words for what its callers do with it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.retry import DEFAULT_RETRY
from contract.ledger.transitions import (
    Claimed,
    Created,
    Creation,
    Expired,
    Outcome,
    Sweep,
    Transition,
    View,
    cancel,
    claim,
    create,
    expire,
    extend,
    finish,
    prune,
    read_predictions,
    release,
    sweep,
)
from contract.prediction import Prediction, Status, new_id
from contract.settings import Settings

T = TypeVar("T")

CLOCK = "local now = tonumber(redis.call('GET', ARGV[1] .. 'test-clock'))\n"
START = 1_700_000_000.0
OF_NEW_PREDICTION = (
    "max_queue",
    "max_batch_size",
    "entry",
    "credit_seconds",
    "deadline_seconds",
    "watcher",
    "not_after",
)


class LedgerHarness:
    """One model `m`, batches of four, leases of 15 s, three attempts."""

    def __init__(self, settings: Settings) -> None:
        self.ledger = Ledger(settings, clock=CLOCK)
        self.redis = self.ledger.redis
        self.wakeups: list[int] = []
        """The wake-ups that the ledger asked for, in order."""
        self.now = START
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Move the ledger's clock, while another worker of the model gives its signs of life."""
        self.be_away(seconds)
        if self.redis.exists(heard := self.ledger.key("heard", "m")):
            self.redis.hset(heard, "at", f"{self.now:.6f}")

    def be_away(self, seconds: float) -> None:
        """Move the ledger's clock, while nobody can reach it."""
        self.now += seconds
        self.redis.set(self.ledger.key("test-clock"), repr(self.now))

    def close(self) -> None:
        self.ledger.close()

    def run(self, transition: Transition[T]) -> T:
        return self.ledger.run(transition)

    def new_prediction(self, **what: Any) -> NewPrediction:
        """A prediction to accept; `what` is its fields or those of the record."""
        more = {name: what.pop(name) for name in OF_NEW_PREDICTION if name in what}
        prediction = Prediction(**{"id": new_id(), "model": "m", **what})
        return NewPrediction(prediction, **{"max_queue": 1000, "max_batch_size": 4, **more})

    def create(self, *predictions: NewPrediction) -> Creation:
        creation = self.run(create(predictions))
        self.wakeups += [wakeup for wakeups in creation.wakeups.values() for wakeup in wakeups]
        return creation

    def accept(self, **what: Any) -> str:
        """The id of a prediction that was accepted."""
        results = self.create(self.new_prediction(**what)).results
        assert results is not None
        assert isinstance(results[0], Created)
        assert not results[0].repeated
        return results[0].prediction.id

    def terms(self, worker: str = "w1", **more: Any) -> LeaseTerms:
        return LeaseTerms(**{"model": "m", "worker": worker, "max_batch_size": 4, **more})

    def claim(
        self, worker: str = "w1", *, wakeup: int = 0, limit: int | None = None, **more: Any
    ) -> list[Claimed]:
        claimed = self.run(claim(self.terms(worker, **more), wakeup, limit))
        self.wakeups += claimed.wakeups
        return claimed.predictions

    def extend(
        self,
        claimed: Sequence[Claimed],
        worker: str = "w1",
        left: Mapping[str, float | None] | None = None,
    ) -> list[str]:
        return self.run(extend(self.terms(worker), [(c.id, c.attempt) for c in claimed], left))

    def finish(
        self,
        claimed: Sequence[Claimed],
        output: str = '"done"',
        *,
        worker: str = "w1",
        idle: bool = True,
        **more: Any,
    ) -> list[str]:
        fields = {"output": output.encode(), "predict_seconds": 0.5, **more}
        outcomes = [Outcome(c.id, c.attempt, **fields) for c in claimed]
        return self.run(finish(self.terms(worker), outcomes, idle=idle, seconds=0.5))

    def release(
        self,
        claimed: Sequence[Claimed],
        *,
        worker: str = "w1",
        suspect: bool = False,
        lost: bool = False,
    ) -> list[int]:
        attempts = [(c.id, c.attempt) for c in claimed]
        how = {"idle": True, "suspect": suspect, "lost": lost}
        released = self.run(release(self.terms(worker), attempts, **how))
        wakeups = released.wakeups
        self.wakeups += wakeups
        return wakeups

    def cancel(self, id: str, owner: str = "local") -> Prediction | None:
        return self.run(cancel(id, owner))

    def sweep(self, *, depth: int | None = None, patience: float = 2.0, most: int = 500) -> Sweep:
        swept = self.run(
            sweep(
                "m",
                max_batch_size=4,
                retry=DEFAULT_RETRY,
                depth=depth,
                patience_seconds=patience,
                most=most,
            )
        )
        self.wakeups += swept.wakeups
        return swept

    def expire(self) -> Expired:
        return self.run(expire(retry=DEFAULT_RETRY))

    def prune(self) -> int:
        return self.run(prune())[0]

    def view(self, id: str, since: int = 0, **asked: Any) -> View | None:
        return self.run(read_predictions([(id, since)], **asked))[0]

    def get(self, id: str) -> Prediction:
        view = self.view(id, -1)
        assert view is not None
        return view.prediction

    def status(self, id: str) -> Status:
        return self.get(id).status

    def lose(self, times: int, worker: str = "w1") -> None:
        """Start what waits and lose the worker, this many times."""
        for _ in range(times):
            assert self.claim(worker)
            self.advance(16)
            self.sweep()

    def record(self, id: str) -> dict[bytes, bytes]:
        """The record as Redis has it."""
        return self.redis.hgetall(self.ledger.key("prediction", id))

    def members(self, kind: str, name: str = "m") -> list[str]:
        """A sorted set's members in order."""
        return [m.decode() for m in self.redis.zrange(self.ledger.key(kind, name), 0, -1)]
