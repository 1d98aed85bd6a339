"""The end of a worker: SIGTERM lets it finish its batch, take no more, and exit with 0."""

import logging
import signal
import sys
from collections.abc import Callable
from threading import Thread, Timer
from types import FrameType

logger = logging.getLogger(__name__)


class _Drain:
    started = False
    consuming = False
    grace_seconds = 30.0
    hand_back: Callable[[], None] = staticmethod(lambda: None)


def draining() -> bool:
    """True once the worker was told to end."""
    return _Drain.started


def listen() -> None:
    """Install the handlers. First thing in the process: as PID 1 in a container, a signal that nobody
    handles is ignored, and the pod would keep its GPU for its whole grace period.
    """
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), _on_signal)


def begin(grace_seconds: float, hand_back: Callable[[], None]) -> None:
    """From now on there may be a batch to finish. `hand_back` is called, in a thread of its own, when it
    is not finished after `grace_seconds`; it must end the process.
    """
    _Drain.grace_seconds, _Drain.hand_back, _Drain.consuming = grace_seconds, hand_back, True


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _Drain.started:
        return
    _Drain.started = True
    logger.info("draining", extra={"signal": signal.Signals(number).name})
    if not _Drain.consuming:
        sys.exit(0)
    from celery.worker import state  # imported only now: the handlers stand before Celery is loaded

    state.should_stop = 0  # Celery's loop looks at it before it polls again
    timer = Timer(_Drain.grace_seconds, _Drain.hand_back)
    timer.daemon = True
    timer.start()
    Thread(target=_wake_loop, name="wake", daemon=True).start()


def _wake_loop() -> None:
    """An idle loop may poll for 10 s more. Python polls on after a signal, so the loop is woken; from
    another thread, because only then does it let itself be woken.
    """
    from kombu.asynchronous import get_event_loop

    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(lambda: None)
