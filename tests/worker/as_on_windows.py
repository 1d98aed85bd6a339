"""`python -m tests.worker.as_on_windows ...`: a worker on a platform without fork, fcntl and most signals.

What is not ours is imported first, because on this platform it may use what Windows lacks. Celery is told
to take the loop that it takes on Windows.
"""

import os
import signal
import sys
from importlib import import_module

THEIRS = (
    "celery.app.trace",
    "celery.concurrency.solo",
    "celery.worker.consumer",
    "filelock",
    "kombu.transport.redis",
    "prometheus_client",
    "pydantic_settings",
    "redis",
    "yaml",
)
NOT_THERE = ("fcntl", "grp", "pwd", "resource", "syslog", "termios")
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
OF_POSIX = ("fork", "forkpty", "getuid", "killpg", "mkfifo", "sched_getaffinity", "setsid", "wait")


def become_windows() -> None:
    for name in THEIRS:
        import_module(name)
    ours = [name for name in sys.modules if name.partition(".")[0] in ("contract", "worker")]
    assert not ours, "they must be imported on what looks like Windows"
    for name in NOT_THERE:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in OF_POSIX:
        delattr(os, name)
    for name in [name for name in vars(signal) if name.startswith("SIG") and name not in SIGNALS]:
        delattr(signal, name)
    sys.modules["celery"].Celery.IS_WINDOWS = True


if __name__ == "__main__":
    become_windows()
    from worker.__main__ import main

    sys.exit(main())
