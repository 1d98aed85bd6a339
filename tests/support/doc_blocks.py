"""The blocks of code that README and docs show, and a checkout in which a reader would run them."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/kubernetes.md",
    "docs/observability.md",
    "docs/values.md",
    "k8s/README.md",
)
"""Of these, each block must be run by a test."""
MORE = ("docs/models.md", "docs/scaling.md")
"""Of these, the catalogs, the values and the Python are."""
WRITTEN_TO = ("charts", "examples", "k8s")
"""Folders that a reader may write into: a checkout has copies of them, and links to the rest."""
CHARTS = re.compile(r"helm install \S+ (?:\S+/)?(\S+) (?:--repo \S+ )?--version (\S+)")
REPOSITORY = re.compile(r"https://\S*(?:helm-charts|/charts|ngc\.nvidia\.com/nvidia)(?= |\n|$)")


@dataclass(frozen=True)
class Block:
    """A block of code; `line` is where it begins."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Those that say their language; what says none is a drawing."""
    text = (ROOT / page).read_text("utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, text.count("\n", 0, f.start()) + 1, f[1], f[2]) for f in found]


BLOCKS = [block for page in (*PAGES, *MORE) for block in blocks_of(page)]


def commands(block: Block) -> list[str]:
    """What each command of a block of `sh` begins with: the program, with its module."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [re.sub("^(.*/)?python -m ", "python-m-", line).split() for line in lines]
    return [first for first, *_ in filter(None, words) if not first.startswith("#")]


def checkout(folder: Path) -> Path:
    """The repository, such that nothing that is done in it touches ours."""
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in WRITTEN_TO:
            shutil.copytree(entry, folder / entry.name)
        elif entry.name != ".git":
            (folder / entry.name).symlink_to(entry)
    return folder


def programs(folder: Path, helm: Path, kubectl: Path, absent: tuple[str, ...]) -> Path:
    """A folder for the PATH: Helm, kubectl, and programs that only say how they were called."""
    folder.mkdir()
    (folder / "helm").symlink_to(helm)
    (folder / "kubectl").symlink_to(kubectl)
    for name in absent:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*"\n')
        (folder / name).chmod(0o755)
    return folder


@contextmanager
def charts_of_others(folder: Path, helm: Path) -> Iterator[str]:
    """The address of a repository with each chart that the pages install, by its name and version."""
    folder.mkdir()
    text = "".join(block.text.replace("\\\n", " ") for block in BLOCKS)
    for name, version in set(CHARTS.findall(re.sub(" +", " ", text))):
        chart = folder / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
        subprocess.run([helm, "package", chart, "-d", folder], check=True, capture_output=True)
    subprocess.run([helm, "repo", "index", folder], check=True, capture_output=True)
    silent = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(silent, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run_in_shell(
    text: str, folder: Path, path: Path, charts: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a block as it stands, line after line until one fails; others' charts come from `charts`."""
    environment = {
        "PATH": f"{path}:{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "OMP_NUM_THREADS": "1",
        **{f"HELM_{kind}_HOME": str(folder.parent / kind) for kind in ("CACHE", "CONFIG", "DATA")},
        **more,
    }
    return subprocess.run(
        ["bash", "-eu", "-c", REPOSITORY.sub(charts, text)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
