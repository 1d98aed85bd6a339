"""The rules of the house: who may import whom, who reads the environment, and how modules and errors look."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import errors
from contract.errors import (
    OutcomeUnknown,
    PredictionFailed,
    Refused,
    RequestError,
    SoloistError,
    StartRefused,
)
from service.http.problems import STATUS

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
ROOMS = ("contract", "service", "worker", "cli", "k8s", "local", "planner", "bench")
OUTSIDE = ("tests", "docs", "examples")
MOST_LINES = 350
LONGER = {
    "contract/settings.py": "the one place of all settings, each with its description",
}
READS_ENVIRONMENT = {
    "contract/settings.py": "the one place of all settings",
    "contract/gpus.py": "CUDA_VISIBLE_DEVICES says which GPUs this process may use",
    "worker/device.py": "CUDA_VISIBLE_DEVICES is how a device is chosen and the others hidden",
    "local/processes.py": "a child process gets our environment and its own settings over it",
    "local/topology.py": "the processes of `soloist up` get our environment and a device each",
}
SHARED_CODES = {
    "invalid_input": "the same fault of an input, found by the gateway or by the model",
    "invalid_request": "the same fault of a request, found by the parser of HTTP or behind it",
}


def modules(*rooms: str) -> Iterator[tuple[str, Path]]:
    """The modules of these rooms, by their path from the root."""
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# --- imports ----------------------------------------------------------------------------------------


def test_nobody_imports_what_it_must_not_know() -> None:
    # In a process of its own: it changes the logging of the one that it runs in.
    code = f"from importlinter.cli import lint_imports as run; exit(run({str(PYPROJECT)!r}, no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_import_rules_know_every_room() -> None:
    config = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - set(OUTSIDE)

    assert set(config["root_packages"]) == rooms


@pytest.mark.parametrize(
    ("entry", "strangers"),
    [
        (
            "service.app, service.keeper.app, service.process",
            "torch transformers worker cli local planner bench",
        ),
        ("worker.process, worker.task", "fastapi starlette uvicorn torch transformers service cli"),
        ("worker.testing", "fastapi starlette uvicorn torch transformers numpy celery service cli"),
        ("cli.main", "fastapi starlette uvicorn torch transformers service worker k8s kubernetes"),
        ("k8s.__main__", "fastapi starlette uvicorn torch transformers service worker bench"),
        (
            "contract.broker, contract.catalog, contract.ledger.client, contract.ledger.transitions",
            "fastapi starlette uvicorn torch transformers service worker cli bench",
        ),
    ],
)
@pytest.mark.slow
def test_a_fresh_process_loads_no_stranger(entry: str, strangers: str) -> None:
    code = f"import sys, {entry}\nprint(*sorted(set({strangers.split()!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


# --- the environment --------------------------------------------------------------------------------


def reads_environment(module: ast.Module) -> bool:
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in names:
                return True
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and names & {alias.name for alias in node.names}
        ):
            return True
    return False


def test_only_those_with_a_reason_read_the_environment() -> None:
    readers = {name for name, path in modules(*ROOMS[:-1]) if reads_environment(tree(path))}

    assert readers == set(READS_ENVIRONMENT)


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("import os\nos.environ['A']", True),
        ("import os\nx = {**os.environ}", True),
        ("import os\nos.getenv('A')", True),
        ("from os import environ", True),
        ("import os\nos.getpid()", False),
        ("process.environ", False),
    ],
)
def test_reading_the_environment_is_noticed_in_every_form(code: str, reads: bool) -> None:
    assert reads_environment(ast.parse(code)) is reads


# --- errors -----------------------------------------------------------------------------------------


def all_errors() -> list[type[SoloistError]]:
    """Every error class of contract/errors.py."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, SoloistError) and kind is not SoloistError]


def groups() -> set[type[SoloistError]]:
    return {RequestError, Refused, PredictionFailed, StartRefused}


def test_every_error_has_a_code_and_a_title_of_its_own() -> None:
    owners: dict[str, list[str]] = {}
    for kind in all_errors():
        if kind in groups():
            assert "code" not in vars(kind), f"{kind.__name__} is never raised itself"
            continue
        assert {"code", "title"} <= vars(kind).keys(), kind.__name__
        assert re.fullmatch("[a-z]+(_[a-z]+)*", kind.code)
        owners.setdefault(kind.code, []).append(kind.__name__)

    assert {code for code, kinds in owners.items() if len(kinds) > 1} == set(SHARED_CODES)


def test_the_drawing_of_the_errors_shows_them_all_with_their_codes() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) +([a-z_]+)(?:;|$)", errors.__doc__ or "", re.MULTILINE))

    assert drawn == {kind.__name__: kind.code for kind in all_errors() if kind not in groups()}


def test_every_error_that_reaches_a_client_has_a_status() -> None:
    reach = {
        kind
        for kind in all_errors()
        if issubclass(kind, RequestError | Refused | OutcomeUnknown) and kind not in groups()
    }

    assert reach <= STATUS.keys()
    assert STATUS.keys() - reach == {SoloistError}


def test_only_errors_that_a_client_can_mend_are_4xx() -> None:
    for kind in all_errors():
        if kind not in groups() and issubclass(kind, RequestError):
            assert 400 <= STATUS[kind] < 500, kind.__name__
    refused = (errors.QueueFull, errors.LedgerFull, errors.LedgerUnavailable)
    assert {STATUS[kind] for kind in refused} == {429, 503}
    assert STATUS[OutcomeUnknown] == 504


# --- modules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in modules(*ROOMS)])
def test_a_module_opens_with_a_sentence_and_is_not_too_long(name: str, path: Path) -> None:
    text = ast.get_docstring(tree(path))
    assert text, f"{name} says nothing of itself"
    first = text.splitlines()[0]
    assert re.fullmatch(r"\S.*\.", first), f"{name} opens with no sentence: {first!r}"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < MOST_LINES or name in LONGER, f"{name} has {lines} lines"


def test_the_exceptions_of_these_rules_are_still_needed() -> None:
    for name in LONGER:
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) >= MOST_LINES, name
    assert not any(
        path.stem in ("utils", "common", "core", "helpers", "misc") for _, path in modules(*ROOMS)
    )


def test_no_two_test_files_have_the_same_name() -> None:
    names = [
        path.name for path in (ROOT / "tests").rglob("test_*.py")
    ]  # pytest knows them by it alone

    assert sorted(names) == sorted(set(names))
