"""Whether a worker of a model was ready when a prediction was accepted: asked beside the requests, seldom."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from contract.errors import SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import read_models

CHECK_SECONDS = 1.0
"""How long predictions share one check."""


@dataclass(slots=True, eq=False)
class ReadinessCheck:
    """What the ledger said of a model's workers at one moment."""

    started: float
    cold: bool = False
    """No worker was ready. False until the ledger has said so: its answer comes before any prediction's."""


class Readiness:
    """The last check of each model. No request waits for one."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._checks: dict[str, ReadinessCheck] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def check_model(self, model: str, now: float) -> ReadinessCheck:
        """The last check of a model, or a new one that knows more in a moment. `now` is monotonic."""
        check = self._checks.get(model)
        if check is None or now - check.started >= CHECK_SECONDS:
            check = self._checks[model] = ReadinessCheck(now)
            task = asyncio.create_task(self._ask(model, check))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return check

    async def _ask(self, model: str, check: ReadinessCheck) -> None:
        with suppress(SoloistError):
            states = await self._ledger.run(read_models([model]))
            check.cold = states[model].state not in ("ready", "busy")
