"""One run: the rounds in which every stack has its turn with every model."""

import os
import platform
import time
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import Progress

from bench.bound import Bound
from bench.models import BenchModel
from bench.packages import PACKAGES
from bench.pipe import ProcessEnded
from bench.stacks.litserve import LitServe
from bench.stacks.mosec import Mosec
from bench.stacks.ours import Ours, OursOnRabbitMQ
from bench.stacks.stack import Stack
from bench.stacks.usual import Usual, UsualWait
from bench.texts import TEXTS, texts
from bench.trial import CALLERS, Cores, Durations, WrongAnswers, generator_ceiling, measure_stack
from local.processes import StartFailed, restrict_to_cores

STACKS: dict[str, type[Stack]] = {
    stack.name: stack for stack in (Ours, OursOnRabbitMQ, Mosec, LitServe, Usual, UsualWait)
}
DEFAULT_STACKS = [name for name in STACKS if name != UsualWait.name]
STEPS = 4 + len(CALLERS)
FAILURES = (StartFailed, WrongAnswers, ProcessEnded, OSError, ValueError, LookupError)


class BenchRun:
    """One run: rounds of all stacks, in turn, for each model."""

    def __init__(
        self, names: list[str], chosen: list[BenchModel], durations: Durations, folder: Path
    ) -> None:
        self.names = names
        self.models = chosen
        self.durations = durations
        self.folder = folder
        self.texts = texts(TEXTS)
        self.cores = split_cores()
        self.results: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "machine": machine(self.cores),
            "plan": asdict(durations),
            "labels": {name: STACKS[name].label for name in names},
            "models": [model.name for model in chosen],
            "bounds": [],
            "visits": [],
            "failures": [],
            "generator": {},
            "steps": [],
        }

    def run_rounds(self, progress: Progress) -> None:
        """Measure everything; what was measured before an interruption is kept."""
        total = self.durations.rounds * len(self.models) * len(self.names) * STEPS
        self._progress, self._bar = progress, progress.add_task("", total=total)
        self._step_began = time.monotonic()
        try:
            with restrict_to_cores(self.cores.load), ExitStack() as opened:
                self._step("load generator")
                self.results["generator"] = generator_ceiling(self.folder, self.cores, 1.0)
                self._rounds([self._open_bound(model, opened) for model in self.models])
        except KeyboardInterrupt:
            self.results["failures"].append("stopped before its end")
        self._step("")

    def _open_bound(self, model: BenchModel, opened: ExitStack) -> tuple[Bound, list[Any]]:
        self._step(f"{model.name}: raw bound")
        with restrict_to_cores(self.cores.stack):
            log = self.folder / f"raw-{model.name}.log"
            bound = opened.enter_context(Bound(model, self.texts, log))
        bound.calibrate(self.durations.raw_seconds)
        return bound, bound.answers()

    def _rounds(self, bounds: list[tuple[Bound, list[Any]]]) -> None:
        for number in range(self.durations.rounds):
            for bound, expected in bounds:
                raw = self._bound(bound, number)
                shift = number % len(self.names)
                for name in self.names[shift:] + self.names[:shift]:
                    done = self._progress.tasks[0].completed
                    stack = STACKS[name](bound.model, self.folder)
                    raw = self._visit(stack, bound, expected, number, raw)
                    self._progress.update(self._bar, completed=done + STEPS)

    def _step(self, what: str, advance: int = 0) -> None:
        now = time.monotonic()
        if self.results["steps"]:
            self.results["steps"][-1]["seconds"] = round(now - self._step_began, 3)
        if what:
            self.results["steps"].append({"step": what})
        self._step_began = now
        self._progress.update(self._bar, advance=advance, description=what)

    def _bound(self, bound: Bound, number: int) -> float:
        self._step(f"round {number + 1}, {bound.model.name}: raw bound")
        seconds = self.durations.raw_seconds
        by_length, plain = bound.rate(seconds, by_length=True), bound.rate(seconds)
        self.results["bounds"].append(
            {
                "model": bound.model.name,
                "round": number,
                "batch": bound.batch,
                "plain": plain,
                "by_length": by_length,
            }
        )
        return plain["per_second"]

    def _visit(
        self, stack: Stack, bound: Bound, expected: list[Any], number: int, before: float
    ) -> float:
        """Visit a stack; gives the raw bound just after, which is that just before the next."""
        where = f"round {number + 1}, {stack.model.name}, {stack.name}"

        def step(what: str) -> None:
            self._step(f"{where}: {what}", 1)

        try:
            found = measure_stack(stack, bound, expected, self.durations, self.cores, before, step)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"
            self._progress.console.print(f"[red]{where}:[/] {reason}", highlight=False)
            self.results["failures"].append(f"{where}: {reason.splitlines()[0]}")
            return bound.rate(self.durations.raw_seconds)["per_second"]
        self.results["visits"].append({**found, "round": number})
        return float(found["raw_after"])


def split_cores() -> Cores:
    """One core for the stack, another for the load generator where there is one."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(stack=(usable[0],), load=(usable[-1],))


def machine(cores: Cores) -> dict[str, Any]:
    """What the figures depend on."""
    packages = ["torch", "transformers", "celery", "redis", "fastapi", "uvicorn"]
    model = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "stack_cores": cores.stack,
        "load_cores": cores.load,
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "others": list(PACKAGES),
    }
