"""Each image has all that its code imports: tried here without any other distribution."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions

import pytest
from dockerfile import ROOT, parse
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TRY = """
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

class WithoutStrangers(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in STRANGERS else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutStrangers
for room in ROOMS:
    for path in sorted(Path(room).rglob("*.py")):
        if path.name != "__main__.py":
            import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
"""


def extras(name: str) -> set[str]:
    """The extras of ours that a Dockerfile installs."""
    _, build, _ = parse(ROOT / f"Dockerfile.{name}")
    (found,) = {match for one in build for match in re.findall(r'"\.\[([\w,]+)', one.value)}
    return set(found.split(","))


def closure(wanted: set[str]) -> set[str]:
    """The distributions that these extras of ours bring, as they are installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in wanted:
        lines += project["optional-dependencies"][extra]
    todo = [Requirement(line) for line in lines]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        for line in distribution(one.name).requires or []:
            below = Requirement(line)
            if not below.marker or any(
                below.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)
            ):
                below.marker = None
                todo.append(below)
    return {name for name, _ in seen}


def run(absent: set[str], rooms: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    code = f"STRANGERS, ROOMS = {absent!r}, {rooms!r}\n{TRY}"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def strangers(brought: set[str]) -> set[str]:
    """The modules that can be imported here and are of no distribution in this set."""
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return {
        module
        for module, owners in packages_distributions().items()
        if module not in ours and not brought & {canonicalize_name(owner) for owner in owners}
    }


@pytest.mark.parametrize(
    ("name", "rooms"),
    [
        ("api", ("contract", "service", "cli", "k8s", "local", "planner")),
        ("worker", ("contract", "worker")),
    ],
)
@pytest.mark.slow
def test_an_image_has_all_that_its_code_imports(name: str, rooms: tuple[str, ...]) -> None:
    done = run(strangers(closure(extras(name))), rooms)
    assert done.returncode == 0, done.stderr


def test_what_an_image_lacks_would_be_noticed() -> None:
    brought = closure(extras("api")) - {"redis"}
    done = run(strangers(brought), ("contract",))
    assert "ModuleNotFoundError: No module named 'redis'" in done.stderr


def test_no_model_library_is_in_the_api_image() -> None:
    assert extras("api") == {"gateway", "cli", "otel"}
    brought = closure(extras("api"))
    assert not brought & {"torch", "transformers", "numpy", "huggingface-hub", "matplotlib"}


def test_no_web_framework_is_in_the_worker_image() -> None:
    assert extras("worker") == {"worker", "otel"}
    assert not closure(extras("worker")) & {"fastapi", "starlette", "uvicorn", "kubernetes"}


def test_what_the_api_image_leaves_out_of_kubernetes_nobody_imports() -> None:
    for room in ("contract", "service", "cli", "k8s", "local", "planner"):
        for path in (ROOT / room).rglob("*.py"):
            assert "kubernetes.aio" not in path.read_text(encoding="utf-8"), path
