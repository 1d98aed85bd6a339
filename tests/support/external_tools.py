"""What tests need and pip does not bring: programs, and packages that are fetched once."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from local.redis import server_program

FETCHED = Path(__file__).parents[2] / ".soloist" / "clients"
SECONDS = 120
SYSTEM_PATH = "/usr/local/bin:/usr/bin"


def missing(what: str) -> NoReturn:
    """A check that cannot be made: said aloud on a laptop, an error in CI."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def program(name: str, install: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: {install}")
    return found


def newer_redis() -> Path:
    """The machine's `redis-server`, 7 or newer. The one of the environment is the product's own, 6.2."""
    found = shutil.which("redis-server", path=SYSTEM_PATH)
    if found is None:
        missing("no Redis 7 is installed: apt-get install redis-server")
    return Path(found)


def newest_redis() -> Path:
    """The machine's own `redis-server` where it has one, else the product's."""
    found = shutil.which("redis-server", path=SYSTEM_PATH)
    return Path(found) if found else server_program()


def fetch(name: str, command: Callable[[Path], list[str]]) -> Path:
    """The folder of a package that is fetched once; `command` installs it into a folder."""
    folder = FETCHED / name
    if folder.exists():
        return folder
    FETCHED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FETCHED) as fresh:
        arguments = command(Path(fresh) / "it")
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            missing(f"{name} cannot be fetched: {(done.stderr or done.stdout).strip()[-300:]}")
        # Two that fetch at once: the later one finds it there.
        if not folder.exists():
            (Path(fresh) / "it").rename(folder)
    return folder
