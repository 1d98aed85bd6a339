"""Whether a worker of a model was ready when a prediction was accepted: asked beside the requests, seldom."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from contract.errors import SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import state

LOOK_SECONDS = 1.0
"""How old a look may be that another prediction shares."""


@dataclass(slots=True, eq=False)
class Look:
    """What the ledger said of a model's workers at one moment."""

    begun: float
    cold: bool = False
    """No worker was ready. False until the ledger has said so: its answer comes before any prediction's."""


class Readiness:
    """The last look at each model. No request waits for one."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._looks: dict[str, Look] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def look(self, model: str, now: float) -> Look:
        """The last look at a model, or a new one that knows more in a moment. `now` is monotonic."""
        look = self._looks.get(model)
        if look is None or now - look.begun >= LOOK_SECONDS:
            look = self._looks[model] = Look(now)
            task = asyncio.create_task(self._ask(model, look))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return look

    async def _ask(self, model: str, look: Look) -> None:
        with suppress(SoloistError):
            states = await self._ledger.run(state([model]))
            look.cold = states[model].word not in ("ready", "busy")
