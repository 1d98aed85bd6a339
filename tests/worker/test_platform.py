"""What runs in a worker needs nothing that only POSIX has; `test_worker_process.py` runs one without it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    p for room in ("contract", "service", "worker") for p in (ROOT / room).rglob("*.py")
)
OF_POSIX = {"fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty", "uvloop"}
EVERYWHERE = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "Signals", "signal"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_needs_nothing_that_windows_lacks(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported = {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported = {(node.module or "").partition(".")[0]}
        else:
            imported = set()
        assert not imported & OF_POSIX, f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os":
                assert node.attr not in ("fork", "forkpty", "killpg", "setsid", "getuid")
            if node.value.id == "signal":
                assert node.attr in EVERYWHERE, f"line {node.lineno}"
