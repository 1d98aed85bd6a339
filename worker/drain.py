"""SIGTERM: a worker finishes its batch, takes no more, and exits with 0."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Event, Thread
from types import FrameType

logger = logging.getLogger(__name__)


class _Drain:
    by_exception = False
    started = False
    since = 0.0
    signaled: Event | None = None
    """Set by the signal; None while there can be no batch to finish."""


def draining() -> bool:
    """True once SIGTERM or SIGINT came."""
    return _Drain.started


def drain_seconds() -> float:
    """Seconds since the signal; 0 before."""
    return time.monotonic() - _Drain.since if _Drain.started else 0.0


def install_handlers() -> None:
    """Install the handlers. First thing in the process: as PID 1 in a container, a signal that nobody
    handles is ignored, and the pod would keep its GPU for its whole grace period.
    """
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), _on_signal)


def end_by_exception() -> None:
    """From now on a signal raises SystemExit in the main thread, so that what was begun is undone. Before, it ends the
    process at once, as an import may swallow an exception.
    """
    _Drain.by_exception = True


def finish_batch_first(
    grace_seconds: float,
    hand_back: Callable[[], None],
    on_signal: Callable[[], None] = lambda: None,
) -> None:
    """From now on a signal lets the running batch finish. `on_signal` is called at the signal, in a thread of its own;
    `hand_back` when the batch is not finished `grace_seconds` later, and must end the process. If a signal came before
    and the model swallowed its SystemExit, the process ends here.
    """
    signaled = Event()

    def wait() -> None:
        signaled.wait()
        try:
            on_signal()
            _wake_loop()
        except Exception:  # the loop comes round by itself, later; the grace must end in time
            logger.exception("the loop was not woken")
        time.sleep(grace_seconds)
        hand_back()

    # Started here and not by the handler: to start a thread is to wait for it, and a greenlet pool's
    # handlers run where nothing may wait.
    Thread(target=wait, name="drain", daemon=True).start()
    _Drain.signaled = signaled
    if _Drain.started and not signaled.is_set():
        sys.exit(0)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _Drain.started:
        return
    _Drain.since = time.monotonic()
    _Drain.started = True
    if _Drain.signaled is not None:
        from celery.worker import (
            state,
        )  # imported only now: the handlers stand before Celery is loaded

        state.should_stop = 0  # Celery's loop looks at it before it polls again
        _Drain.signaled.set()
    # Only now: a line that cannot be written must not lose the end.
    logger.info("draining", extra={"signal": signal.Signals(number).name})
    if _Drain.signaled is None:
        if not _Drain.by_exception:
            os._exit(0)
        sys.exit(0)


def _wake_loop() -> None:
    """An idle loop may poll for 10 s more. Python polls on after a signal, so the loop is woken; from
    another thread, because only then does it let itself be woken.
    """
    from kombu.asynchronous import get_event_loop

    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(lambda: None)
