"""Dockerfile.api, done step by step in a folder, gives a gateway that starts and a command line that answers."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from dockerfile import ROOT, Build, parse

from contract.settings import Settings
from local.processes import Process, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # it installs what the image holds


class Image:
    """The environment that was built, and an empty folder that nobody may write, as a pod's root."""

    def __init__(self, folder: Path) -> None:
        self.environment = folder / "opt" / "soloist"
        self.place = folder / "srv"
        self.place.mkdir(mode=0o555)
        self.env = {
            "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.place,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def modules(self) -> set[str]:
        (packages,) = self.environment.glob("lib/python3*/site-packages")
        return {path.name for path in packages.iterdir()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    _, build, _ = parse(ROOT / "Dockerfile.api")
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    Build(folder, {**kept, "PATH": path, "HOME": str(folder)}).run(build)
    return Image(folder)


@pytest.mark.parametrize(
    "command",
    [
        ("soloist", "--help"),
        ("soloist", "plan", "--help"),
        ("python", "-m", "k8s", "--help"),
        ("python", "-m", "k8s", "check", "--help"),
        ("python", "-m", "service", "--help"),
    ],
)
def test_its_commands_answer(image: Image, command: tuple[str, ...]) -> None:
    done = image.run(*command)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout or "usage" in done.stdout


def test_it_holds_no_torch_no_worker_and_no_pip(image: Image) -> None:
    assert not image.modules() & {"torch", "transformers", "numpy", "worker", "pip", "setuptools"}
    done = image.run("python", "-c", "import torch")
    assert "No module named 'torch'" in done.stderr


def test_its_gateway_starts(image: Image, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("models: {m: {python: 'a:B'}}")
    port = free_port()
    env = image.env | {
        "SOLOIST_CATALOG": str(tmp_path / "catalog.yaml"),
        "SOLOIST_REDIS_URL": settings.ledger,
        "SOLOIST_PREFIX": settings.prefix,
        "SOLOIST_PORT": str(port),
    }
    python = str(image.environment / "bin" / "python")
    gateway = Process(
        [python, "-m", "service", "gateway"], log=tmp_path / "log", env=env, cwd=image.place
    )
    try:
        gateway.wait_until(lambda: ready(port), 60)
    finally:
        gateway.kill()


def ready(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
