"""Brings outcomes to the requests that wait for them in this process.

One subscription per process carries the announcements of all its predictions, by the batch. It may break;
then the process subscribes again and reads the records of all that still wait, so no answer is missed.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgpack

from contract.errors import LedgerUnavailable, SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.subscription import Subscription
from contract.ledger.transitions import read_predictions, read_statuses
from service.gateway import metrics

logger = logging.getLogger(__name__)

Listener = Callable[[str, dict[str, Any]], None]
"""Called with `outcome` and the fields that changed, with `events`, or with `drain` when this process ends."""

PROOF_SECONDS = 2.0
"""How often this process publishes to itself."""
SILENCE_SECONDS = 5.0
"""A subscription that is silent for so long counts as broken: it should have heard at least ourselves."""
AGAIN_SECONDS = 0.2
READ_AT_ONCE = 256


class OutcomeSubscription:
    """Who waits in this process for which prediction. `name` is this process's name in the ledger."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self.name = secrets.token_hex(8)
        self._ledger = ledger
        self._listeners: dict[str, list[Listener]] = {}
        self._channel = ledger.key("answers", self.name)
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._trouble = ""
        """Why the subscription is down; logged once."""
        self._subscribed = asyncio.Event()
        self.draining = False

    @property
    def subscribed(self) -> bool:
        """False while this process hears no announcements."""
        return self._subscribed.is_set()

    @property
    def waiting(self) -> int:
        """How many predictions somebody waits for."""
        return len(self._listeners)

    @contextmanager
    def listen_to(self, id: str, listener: Listener) -> Iterator[None]:
        """Call `listener` with every announcement about this prediction. Listen first and then ask the ledger to
        announce, or an announcement may be missed.
        """
        self._listeners.setdefault(id, []).append(listener)
        if self.draining:
            listener("drain", {})
        try:
            yield
        finally:
            listeners = self._listeners[id]
            listeners.remove(listener)
            if not listeners:
                del self._listeners[id]

    def drain(self) -> None:
        """Release all who wait: each is answered with its prediction as it stands."""
        self.draining = True
        for id in list(self._listeners):
            self._notify(id, "drain", {})

    async def subscribe(self) -> None:
        """Subscribe; a ledger that is away does not hold the start up."""
        self._task = asyncio.create_task(self._keep_subscribed())
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._subscribed.wait()

    async def unsubscribe(self) -> None:
        # Both: the Redis client may swallow a cancel.
        self._ended = True
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_subscribed(self) -> None:
        """Subscribe, and again after any fault: nobody would miss a subscription before requests had waited in
        vain.
        """
        while not self._ended:
            proving = asyncio.create_task(self._publish_proofs())
            try:
                async with self._ledger.subscribe(self._channel) as subscription:
                    await self._receive(subscription)
            except (Exception, asyncio.CancelledError) as error:
                if self._ended:
                    return
                self._log_fault(error)
            finally:
                self._subscribed.clear()
                metrics.SUBSCRIBED.set(0)
                proving.cancel()
            await asyncio.sleep(AGAIN_SECONDS)

    def _log_fault(self, error: BaseException) -> None:
        known = isinstance(error, SoloistError)
        reason = error.code if isinstance(error, SoloistError) else "internal_error"
        metrics.SUBSCRIPTION_FAULTS.labels(reason).inc()
        if known and self._trouble == reason:
            return
        self._trouble = reason
        cause = {"cause": str(error.__cause__ or error)}
        logger.warning(
            "answers are cut off",
            extra={"error": type(error).__name__, **cause},
            exc_info=None if known else error,
        )

    async def _publish_proofs(self) -> None:
        """Publish to ourselves, again and again; `_receive` listens for it."""
        while not self._ended:
            await asyncio.sleep(PROOF_SECONDS)
            try:
                await self._ledger.publish_echo(self._channel)
            except SoloistError as error:
                logger.debug("no echo", extra={"code": error.code})
            except Exception:
                logger.exception("the echo failed")

    async def _receive(self, subscription: Subscription) -> None:
        heard, demotions = time.monotonic(), self._ledger.connections.demotions
        await self._catch_up()
        self._subscribed.set()
        if self._trouble:
            logger.info("answers are heard again")
        self._trouble = ""
        metrics.SUBSCRIBED.set(1)
        while not self._ended:
            message = await subscription.message(PROOF_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard = now
                await self._deliver(message)
            elif now - heard > SILENCE_SECONDS:
                # Half open, or with a server that is not the ledger any more.
                raise LedgerUnavailable("the subscription is silent")
            if demotions != self._ledger.connections.demotions:
                raise LedgerUnavailable("the ledger moved")

    async def _deliver(self, packed: bytes) -> None:
        if not packed:
            return  # our own echo
        try:
            for id, kind, *fields in msgpack.unpackb(packed, unicode_errors="replace"):
                self._notify(id, kind, fields[0] if fields else {})
        except Exception:
            # Of another version, or damaged. The records say what it was about.
            logger.exception("an announcement cannot be read")
            metrics.SUBSCRIPTION_FAULTS.labels("unreadable").inc()
            await self._catch_up()

    def _notify(self, id: str, kind: str, fields: dict[str, Any]) -> None:
        for listener in tuple(self._listeners.get(id, ())):
            try:
                listener(kind, fields)
            except Exception:
                logger.exception("a listener failed")  # the others are to hear it all the same

    async def _catch_up(self) -> None:
        """Read what was announced while nobody listened."""
        ids = list(self._listeners)
        for start in range(0, len(ids), READ_AT_ONCE):
            some = ids[start : start + READ_AT_ONCE]
            found = await self._ledger.run(read_statuses(some, self.name))
            for id, status in zip(some, found, strict=True):
                if status is None:
                    continue
                self._notify(id, "events", {})
                if status.terminal:
                    await self._notify_of_outcome(id)

    async def _notify_of_outcome(self, id: str) -> None:
        """Read one that is over. One at a time: together they may be too large for a ledger's call."""
        (view,) = await self._ledger.run(read_predictions([(id, -1)]))
        if view is not None:
            self._notify(id, "outcome", view.prediction.outcome)
