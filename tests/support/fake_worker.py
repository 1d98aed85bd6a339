"""A worker without a process or a model: it claims and finishes in the ledger when a test says so."""

import base64
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import redis

from contract.broker import queue_name
from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import (
    Claimed,
    Outcome,
    Report,
    claim,
    extend,
    finish,
    register,
    report,
)
from contract.ledger.workers import Worker
from tests.support.waiting import until

T = TypeVar("T")

CONTENT = "1" * 32
"""What the files of all its models hold."""
Act = Callable[["FakeWorker", str, Claimed], None]
"""What a model does with one prediction: (worker, model, claimed)."""


class FakeWorker:
    """One worker for every model of a catalog."""

    def __init__(
        self, ledger: Ledger, catalog: Catalog, name: str = "pretend", content: str = CONTENT
    ) -> None:
        self.ledger = ledger
        self.catalog = catalog
        self.name = name
        self.content = content
        self._said: Counter[tuple[str, int]] = Counter()

    def terms(self, model: str) -> LeaseTerms:
        spec = self.catalog[model]
        return LeaseTerms(
            model,
            self.name,
            spec.max_batch_size,
            version=self.version(model),
            timeout_seconds=spec.timeout_seconds,
        )

    def version(self, model: str = "echo") -> str:
        """The version that it has of a model."""
        return self.catalog[model].version(self.content)

    def register(self, model: str = "echo", state: str = "ready") -> str:
        """Say that it is there, for as long as any test takes; the version that it has."""
        worker = Worker(self.name, state, model_version=self.version(model))
        self.ledger.run(register(model, worker, 1000.0))
        return self.version(model)

    def claim(self, model: str = "echo", limit: int | None = None) -> list[Claimed]:
        return self.ledger.run(claim(self.terms(model), 0, limit)).predictions

    def take(self, model: str = "echo") -> Claimed:
        """The next prediction, as soon as there is one."""
        (taken,) = until(f"a prediction for {model}", lambda: self.claim(model, 1))
        return taken

    def extend(self, claimed: Claimed, model: str = "echo") -> bool:
        """Whether it is still this worker's."""
        return not self.ledger.run(extend(self.terms(model), [(claimed.id, claimed.attempt)]))

    def succeed(
        self,
        claimed: Claimed,
        output: Any = "done",
        model: str = "echo",
        seconds: float = 0.5,
        said: int | None = None,
    ) -> list[str]:
        return self.succeed_raw(claimed, json.dumps(output).encode(), model, seconds, said)

    def succeed_raw(
        self,
        claimed: Claimed,
        output: bytes,
        model: str = "echo",
        seconds: float = 0.5,
        said: int | None = None,
    ) -> list[str]:
        outcome = Outcome(claimed.id, claimed.attempt, output, predict_seconds=seconds, said=said)
        return self._finish([outcome], model, seconds)

    def fail(
        self,
        claimed: Claimed,
        error: str = "it broke",
        code: str = "model_error",
        model: str = "echo",
    ) -> list[str]:
        outcome = Outcome(claimed.id, claimed.attempt, error=error, error_code=code)
        return self._finish([outcome], model, 0.5)

    def _finish(self, outcomes: Sequence[Outcome], model: str, seconds: float) -> list[str]:
        return self.ledger.run(finish(self.terms(model), outcomes, idle=True, seconds=seconds))

    def say(
        self, claimed: Claimed, *pieces: str, logs: str = "", progress: float | None = None
    ) -> None:
        """Report pieces of output and lines of log, as a running prediction does; what its earlier attempts
        streamed it must say again.
        """
        run = claimed.id, claimed.attempt
        offset = self._said[run]
        self._said[run] += sum(len(piece.encode()) for piece in pieces)
        events = [("output", piece) for piece in pieces]
        events += [("logs", logs)] if logs else []
        self.ledger.run(report([Report(*run, progress, logs, events, offset)]))

    def watched(self, claimed: Claimed) -> bool:
        """Whether a gateway waits for it, or somebody listens to it there."""
        key = self.ledger.key("prediction", claimed.id)
        return bool(self.ledger.redis.hexists(key, "watchers"))

    def serve_one(self, model: str = "echo", output: Any = "done") -> None:
        self.succeed(self.take(model), output, model)

    @contextlib.contextmanager
    def serving(self, acts: Mapping[str, Act]) -> Iterator[None]:
        """Take messages from the Redis broker and answer them, in the background."""
        end = threading.Event()
        faults: list[BaseException] = []

        def act(model: str, claimed: Claimed) -> None:
            try:
                acts[model](self, model, claimed)
            except BaseException as error:
                faults.append(error)

        def listen() -> None:
            prefix = f"{self.ledger.prefix}broker:"
            models = {prefix + queue_name(model): model for model in acts}
            with (
                redis.Redis.from_url(self.ledger.settings.broker) as broker,
                ThreadPoolExecutor(8) as threads,
            ):
                while not end.is_set():
                    message = broker.blpop(list(models), timeout=0.1)
                    if message is None:
                        continue
                    model = models[message[0].decode()]
                    wakeups = [wakeup_of(message[1])]
                    while wakeups:
                        taken = self.ledger.run(claim(self.terms(model), wakeups.pop()))
                        wakeups += taken.wakeups
                        for claimed in taken.predictions:
                            threads.submit(act, model, claimed)

        thread = threading.Thread(target=listen, name="pretend-worker")
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join(10)
            assert not thread.is_alive()
        if faults:
            raise faults[0]


def wakeup_of(message: bytes) -> int:
    """The wake-up number in a message as kombu wrote it."""
    args, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    wakeup: int = args[0]
    return wakeup
