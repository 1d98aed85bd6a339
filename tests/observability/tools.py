"""promtool and the packages of node that the dashboards are checked with."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.support.external_tools import fetch, program

HERE = Path(__file__).parent
SECONDS = 150


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

    def install(there: Path) -> list[str]:
        shutil.copytree(folder, there)
        return [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", f"--prefix={there}"]

    name = f"{folder.name}-{hashlib.sha256(lock).hexdigest()[:12]}"
    return fetch(name, install) / "node_modules"
