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
from bench.pipe import Ended
from bench.processes import StartFailed, pinned
from bench.stacks.litserve import LitServe
from bench.stacks.mosec import Mosec
from bench.stacks.ours import Ours, OursOnRabbitMQ
from bench.stacks.stack import Stack
from bench.stacks.usual import Usual, UsualWait
from bench.texts import TEXTS, texts
from bench.visit import CALLERS, Cores, Plan, WrongAnswers, generator_ceiling, visit

STACKS: dict[str, type[Stack]] = {
    stack.name: stack for stack in (Ours, OursOnRabbitMQ, Mosec, LitServe, Usual, UsualWait)
}
DEFAULT_STACKS = [name for name in STACKS if name != UsualWait.name]
STEPS = 4 + len(CALLERS)
FAILURES = (StartFailed, WrongAnswers, Ended, OSError, ValueError, LookupError)


class Run:
    """One run: rounds of all stacks, in turn, for each model."""

    def __init__(
        self, names: list[str], chosen: list[BenchModel], plan: Plan, folder: Path
    ) -> None:
        self.names = names
        self.models = chosen
        self.plan = plan
        self.folder = folder
        self.cores = split_cores()
        self.results: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "machine": machine(self.cores),
            "plan": asdict(plan),
            "labels": {name: STACKS[name].label for name in names},
            "models": [model.name for model in chosen],
            "bounds": [],
            "visits": [],
            "failures": [],
            "generator": {},
        }

    def perform(self, progress: Progress) -> None:
        lines = texts(TEXTS)
        total = self.plan.rounds * len(self.models) * len(self.names) * STEPS
        bar = progress.add_task("", total=total)
        with pinned(self.cores.load), ExitStack() as opened:
            progress.update(bar, description="load generator")
            self.results["generator"] = generator_ceiling(self.folder, self.cores, 1.5)
            bounds = {}
            for model in self.models:
                progress.update(bar, description=f"{model.name}: raw bound")
                with pinned(self.cores.stack):
                    bound = Bound(model, lines, self.folder / f"raw-{model.name}.log")
                    bounds[model.name] = opened.enter_context(bound)
                bound.calibrate(self.plan.raw_seconds)
            expected = {name: bound.answers() for name, bound in bounds.items()}
            for number in range(self.plan.rounds):
                for model in self.models:
                    bound = bounds[model.name]
                    self._bound(bound, number)
                    shift = number % len(self.names)
                    for name in self.names[shift:] + self.names[:shift]:
                        stack = STACKS[name](model, self.folder)
                        done = progress.tasks[bar].completed
                        self._visit(stack, bound, expected[model.name], number, progress, bar)
                        progress.update(bar, completed=done + STEPS)

    def _bound(self, bound: Bound, number: int) -> None:
        seconds = self.plan.raw_seconds * 2
        self.results["bounds"].append(
            {
                "model": bound.model.name,
                "round": number,
                "batch": bound.batch,
                "plain": bound.rate(seconds),
                "by_length": bound.rate(seconds, by_length=True),
            }
        )

    def _visit(
        self,
        stack: Stack,
        bound: Bound,
        expected: list[Any],
        number: int,
        progress: Progress,
        bar: Any,
    ) -> None:
        def step(what: str) -> None:
            progress.update(
                bar,
                advance=1,
                description=f"round {number + 1}, {stack.model.name}, {stack.name}: {what}",
            )

        try:
            found = visit(stack, bound, expected, self.plan, self.cores, step)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"
            progress.console.print(
                f"[red]{stack.name}, {stack.model.name}:[/] {reason}", highlight=False
            )
            where = f"{stack.name}, {stack.model.name}, round {number}"
            self.results["failures"].append(f"{where}: {reason.splitlines()[0]}")
        else:
            self.results["visits"].append({**found, "round": number})


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
