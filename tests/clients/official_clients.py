"""The official clients that pip does not bring along, fetched once, and how they are run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.external_tools import fetch, program

HERE = Path(__file__).parent
SECONDS = 120


def javascript() -> tuple[str, Path]:
    """Where node is, and the folder of the JavaScript client."""
    node, npm = program("node", "apt-get install nodejs"), program("npm", "apt-get install npm")
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    folder = fetch(
        "replicate-1.4.0-js",
        lambda folder: [npm, "install", *options, f"--prefix={folder}", "replicate@1.4.0"],
    )
    return node, folder


def python_2() -> Path:
    """The folder of the Python client of the next generation."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return fetch(
        f"replicate-2.0.0b4-py{sys.version_info.major}{sys.version_info.minor}",
        lambda folder: [*pip, f"--target={folder}", "replicate==2.0.0b4"],
    )


def run_client(command: list[str], **more: str) -> Any:
    """Run a client against the gateway; what it saw, as JSON."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **more}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
