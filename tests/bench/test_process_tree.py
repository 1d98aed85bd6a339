"""What a stack takes of the machine: its processes and their children."""

import sys
from pathlib import Path

from bench.process_tree import ProcessTree
from local.processes import Process

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; b = bytearray(30_000_000); time.sleep(60)"])
print("child", child.pid, flush=True)
while True: sum(range(10000))
"""


def test_a_tree_counts_children_and_remembers_the_time_of_those_that_ended(tmp_path: Path) -> None:
    process = Process([sys.executable, "-c", FAMILY], log=tmp_path / "log")
    try:
        process.wait_until(lambda: "\n" in process.tail(), 20)
        tree = ProcessTree([process.pid])
        process.wait_until(lambda: tree.cpu_seconds() > 0.1, 20)
        process.wait_until(lambda: len(tree.memory_bytes()) == 2, 20)
        process.wait_until(lambda: max(tree.memory_bytes().values()) > 30_000_000, 20)
        used = tree.cpu_seconds()
    finally:
        process.kill()
    assert tree.cpu_seconds() >= used
    assert tree.memory_bytes() == {}
