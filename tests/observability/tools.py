"""promtool, node and what they say; where they are missing, a test says so, and fails in CI."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FETCHED = HERE.parents[1] / ".soloist" / "clients"
SECONDS = 150


def missing(what: str) -> None:
    """A check that cannot be made: said aloud on a laptop, an error in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def program(name: str, install: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed: {install}")
    return str(found)


def promtool(*arguments: str | Path) -> str:
    """What promtool says; it must be content."""
    command = [program("promtool", "make prometheus"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node_modules(folder: Path) -> Path:
    """What the package-lock.json of a folder names, fetched once."""
    npm = program("npm", "apt-get install npm")
    lock = (folder / "package-lock.json").read_bytes()
    home = FETCHED / f"{folder.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not home.exists():
        FETCHED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED) as fresh:
            there = Path(shutil.copytree(folder, Path(fresh) / "it"))
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(
                command, cwd=there, capture_output=True, text=True, timeout=SECONDS
            )
            if done.returncode:
                missing(f"{folder.name} cannot be fetched: {done.stderr.strip()[-300:]}")
            # Two that fetch at once: the later one finds it there.
            if not home.exists():
                there.rename(home)
    return home / "node_modules"
