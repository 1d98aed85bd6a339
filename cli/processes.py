"""`soloist gateway`, `keeper`, `worker` and `bench`: each becomes the process of that name."""

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer

from cli.console import Failure


def gateway(context: typer.Context) -> None:
    """The gateway alone: HTTP in, prediction out."""
    become("service", "gateway", *context.args)


def keeper(context: typer.Context) -> None:
    """The keeper alone: takes leases back and sends lost wake-ups again."""
    become("service", "keeper", *context.args)


def worker(context: typer.Context) -> None:
    """One worker: --model NAME [--pool POOL] [--concurrency N]."""
    become("worker", *context.args)


def bench(context: typer.Context) -> None:
    """Measure this machine; see bench/README.md."""
    become("bench", *context.args)


def become(module: str, *arguments: str) -> NoReturn:
    """Go on as `python -m module`: the same process id, so that signals reach it and nothing stands between."""
    if find_spec(f"{module}.__main__") is None:
        raise Failure(f"`python -m {module}` is not part of this installation")
    command = [sys.executable, "-m", module, *arguments]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, command)  # noqa: S606
    raise SystemExit(subprocess.call(command))  # noqa: S603
