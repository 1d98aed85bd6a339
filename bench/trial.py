"""One trial of a stack: started, checked, measured at every level, stopped."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bound import Bound
from bench.http import build_request
from bench.load_generator import LoadGenerator
from bench.models import difference
from bench.process_tree import ProcessTree
from bench.stacks.stack import Stack
from bench.target import Target
from local.processes import PROJECT, Process, accepts, free_port, restrict_to_cores

CALLERS = (1, 8, 64, 256)
TOLERANCE = 1e-3
CHECK_CALLERS = 64


@dataclass(frozen=True)
class Durations:
    """How long everything takes."""

    rounds: int
    warm_seconds: float
    seconds: float
    half_seconds: float
    raw_seconds: float


QUICK = Durations(rounds=1, warm_seconds=0.3, seconds=1.5, half_seconds=2.5, raw_seconds=0.7)
FULL = Durations(rounds=3, warm_seconds=0.7, seconds=4.0, half_seconds=5.0, raw_seconds=1.5)


@dataclass(frozen=True)
class Cores:
    """Where what runs: the whole stack on some, the load generator and this process on others."""

    stack: tuple[int, ...]
    load: tuple[int, ...]


class WrongAnswers(AssertionError):
    """A stack's answers are not those of the model."""


def measure_stack(
    stack: Stack,
    bound: Bound,
    expected: list[Any],
    durations: Durations,
    cores: Cores,
    before: float,
    step: Callable[[str], None],
) -> dict[str, Any]:
    """Everything that is measured of one stack in one round.

    `before` is the raw bound as it was measured just before.

    Raises:
        StartFailed: it gave no answer. WrongAnswers: its answers are not the model's.
    """
    with ExitStack() as opened:
        step("start")
        with restrict_to_cores(cores.stack):
            opened.enter_context(stack)
        cold_start = stack.first_answer(bound.texts[0])
        tree = ProcessTree(stack.pids)
        step("check")
        target = stack.target(bound.texts)
        generator = opened.enter_context(LoadGenerator(target, stack.folder / "load.log"))
        worst = check_answers(stack, generator.once(CHECK_CALLERS), expected)
        loads = measure_loads(tree, generator, durations, step)
        memory = tree.memory_bytes()
    step("raw bound")
    after = bound.rate(durations.raw_seconds)["per_second"]
    return {
        "stack": stack.name,
        "model": stack.model.name,
        "raw_per_second": (before + after) / 2,
        "raw_after": after,
        "worst_difference": worst,
        "cold_start_seconds": cold_start,
        **loads,
        "memory_bytes": sum(memory.values()),
        "memory_by_process": memory,
    }


def measure_loads(
    tree: ProcessTree, generator: LoadGenerator, durations: Durations, step: Callable[[str], None]
) -> dict[str, Any]:
    """A closed loop of each number of callers, and an open one at half of the best rate."""
    warm = durations.warm_seconds
    levels = {}
    for callers in CALLERS:
        step(f"{callers} callers")
        levels[str(callers)] = measure_load(
            tree, lambda mark, n=callers: generator.closed(n, warm, durations.seconds, mark)
        )
    best = max(level["per_second"] for level in levels.values())
    step("half load")
    half = measure_load(
        tree, lambda mark: generator.open(best / 2, warm, durations.half_seconds, mark)
    )
    return {"levels": levels, "best_per_second": best, "half": {**half, "rate": best / 2}}


def measure_load(
    tree: ProcessTree, perform: Callable[[Callable[[], None]], dict[str, Any]]
) -> dict[str, Any]:
    """One measurement with the CPU time of the stack between its two marks."""
    marks: list[float] = []
    result = perform(lambda: marks.append(tree.cpu_seconds()))
    result.pop("event")
    per_second = (marks[-1] - marks[0]) / result["seconds"]
    return {**result, "cpu_seconds_per_1000": per_second / (result["per_second"] or 1) * 1000}


def check_answers(stack: Stack, bodies: list[str], expected: list[Any]) -> float:
    """The largest difference between a stack's answers and the model's own.

    Raises:
        WrongAnswers: it is too large to be rounding.
    """
    worst = max(
        difference(stack.model.task, stack.parse_answer(body), answer)
        for body, answer in zip(bodies, expected, strict=True)
    )
    if worst > TOLERANCE:
        raise WrongAnswers(f"{stack.name} answers otherwise than the model: by {worst:g}")
    return worst


def generator_ceiling(folder: Path, cores: Cores, seconds: float) -> dict[str, Any]:
    """Requests a second of the load generator against a server that only answers."""
    port = free_port()
    with restrict_to_cores(cores.stack):
        server = Process(
            [sys.executable, "-m", "bench.served.trivial", str(port)],
            log=folder / "trivial.log",
            cwd=PROJECT,
        )
    try:
        server.wait_until(lambda: accepts(port), 20)
        message = build_request(
            "POST", "/", b'{"text": "about as long as a text that is predicted"}'
        )
        target = Target(port, [message.decode()])
        with LoadGenerator(target, folder / "load.log") as generator:
            return {
                str(callers): generator.closed(callers, 0.3, seconds, lambda: None)
                for callers in (1, 64, 256)
            }
    finally:
        server.kill()
