"""Which models the keeper sweeps: where nothing waits, runs or changes, a sweep asks a single question.

So an idle model costs the ledger next to nothing, however often the keeper sweeps. It is swept when something of it
changed, once more when it became quiet, and otherwise once a lease, to find workers that died silently.
"""

import math
import time
from collections.abc import Callable, Collection

from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import Sweep, find_active


class ActiveModels:
    """What the last sweeps found."""

    def __init__(
        self,
        ledger: AsyncLedger,
        quiet_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """All models are swept every `quiet_seconds`, at least."""
        self._ledger = ledger
        self._quiet_seconds = quiet_seconds
        self._clock = clock
        self._models: list[str] = []
        self._full_at = -math.inf
        self._marks: tuple[bytes | None, bytes | None] = (None, None)
        self._seen: tuple[bytes | None, bytes | None] = (None, None)
        self._at_work: set[str] = set()
        """As of the last sweep of each."""
        self._accepted: dict[str, int] = {}

    async def find_active(self) -> Collection[str] | None:
        """The models to sweep now; None for all.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        found, *marks = await self._ledger.read_activity(self._models)
        self._seen = created, changes = marks[0], marks[1]
        if changes != self._marks[1] or self._clock() - self._full_at >= self._quiet_seconds:
            return None
        if not found and not self._at_work and created == self._marks[0]:
            return []
        seen = await self._ledger.run(find_active(self._models))
        working = {model for model, (works, _) in seen.items() if works}
        fresh = {m for m, (_, accepted) in seen.items() if accepted != self._accepted.get(m)}
        if created != self._marks[0] and not fresh:
            return None  # of a model that we do not know yet
        return working | fresh | self._at_work

    def record_sweep(self, model: str, seen: Sweep) -> None:
        """Note what a sweep found of a model."""
        self._accepted[model] = seen.counts.get("accepted", 0)
        if seen.queued or seen.running or seen.workers or seen.pins or seen.unannounced:
            self._at_work.add(model)
        else:
            self._at_work.discard(model)

    def finish_sweep(self, models: list[str] | None = None) -> None:
        """Note that a sweep is over; `models` are all there are, if it swept them all."""
        self._marks = self._seen
        if models is not None:
            self._models, self._full_at = models, self._clock()
            self._at_work &= set(models)
            self._accepted = {m: n for m, n in self._accepted.items() if m in models}
