"""The ways of running Celery, side by side on one model: processes, threads, and why solo is the default.

Each serves the same Task behind one gateway; only the pool and the number of workers differ.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import Progress

from bench.bound import Bound
from bench.generator import Generator
from bench.measure import Tree
from bench.models import BenchModel
from bench.report import Spread, cell, table
from bench.run import FAILURES, machine, split_cores
from bench.stacks.ours import Ours
from bench.texts import TEXTS, texts
from bench.visit import Cores, Plan, check, measured
from local.processes import pinned

CALLERS = 64
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Way:
    """How many workers of which pool, and how many processes then hold the model."""

    name: str
    pool: str
    workers: int
    concurrency: int
    copies: int


def ways(workers: int, size: int) -> list[Way]:
    """The topologies for N = `workers` and M = `size`; green threads where they are installed."""
    every = workers * size
    found = [
        Way(f"{workers} workers of {size} processes", "prefork", workers, size, every),
        Way(f"1 worker of {every} processes", "prefork", 1, every, every),
        Way(f"{workers} workers of one process", "solo", workers, 1, workers),
        Way(f"{workers} workers of {size} threads", "threads", workers, size, workers),
        Way(f"1 worker of {every} threads", "threads", 1, every, 1),
        Way("1 worker of one process", "solo", 1, 1, 1),
    ]
    for pool in ("gevent", "eventlet"):
        if find_spec(pool):
            found.append(Way(f"1 worker of {every} greenlets", pool, 1, every, 1))
    return found


def measure(
    chosen: Sequence[Way], model: BenchModel, plan: Plan, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Rounds in which every way has its turn."""
    cores = split_cores()
    results: dict[str, Any] = {
        "machine": machine(cores),
        "plan": asdict(plan),
        "model": model.name,
        "ways": [asdict(way) for way in chosen],
        "visits": [],
        "failures": [],
    }
    bar = progress.add_task("raw bound", total=plan.rounds * len(chosen))
    try:
        with pinned(cores.load), ExitStack() as opened:
            with pinned(cores.stack):
                bound = opened.enter_context(Bound(model, texts(TEXTS), folder / "raw.log"))
            bound.calibrate(plan.raw_seconds)
            expected = bound.answers()
            for number in range(plan.rounds):
                for way in chosen:
                    where = f"round {number + 1}, {way.name} ({way.pool})"
                    progress.update(bar, description=where)
                    try:
                        found = _visit(way, bound, expected, plan, cores, folder)
                    except FAILURES as error:
                        progress.console.print(f"[red]{where}:[/] {error}", highlight=False)
                        results["failures"].append(f"{where}: {str(error).splitlines()[0]}")
                    else:
                        results["visits"].append({**found, "round": number})
                    progress.advance(bar)
    except KeyboardInterrupt:
        results["failures"].append("stopped before its end")
    return results


def _visit(
    way: Way, bound: Bound, expected: list[Any], plan: Plan, cores: Cores, folder: Path
) -> dict[str, Any]:
    raw = bound.rate(plan.raw_seconds)["per_second"]
    stack = Ours(bound.model, folder, [(way.pool, way.concurrency)] * way.workers)
    with ExitStack() as opened:
        with pinned(cores.stack):
            opened.enter_context(stack)
        stack.first_answer(bound.texts[0])
        stack.processes[-1].wait_until(stack.workers_ready, READY_SECONDS)
        target = stack.target(bound.texts)
        generator = opened.enter_context(Generator(target, stack.folder / "load.log"))
        check(stack, generator.once(CALLERS), expected)
        tree = Tree(stack.pids)
        result = measured(
            tree, lambda mark: generator.closed(CALLERS, plan.warm_seconds, plan.seconds, mark)
        )
        memory = sum(Tree(process.pid for process in stack.processes[2:]).memory_bytes().values())
    return {
        "way": way.name,
        "pool": way.pool,
        "raw_per_second": raw,
        "memory_bytes": memory,
        **result,
    }


def render(results: dict[str, Any]) -> str:
    """One table of all ways, as Markdown."""
    head = ["topology", "pool", "predictions/s", "of raw", "p50 ms", "p99 ms"]
    head += ["CPU-s per 1000", "memory of the workers MiB", "copies of the model"]
    rows = []
    for way in results["ways"]:
        visits = [
            visit
            for visit in results["visits"]
            if (visit["way"], visit["pool"]) == (way["name"], way["pool"])
        ]
        values = [
            [visit["per_second"] for visit in visits],
            [visit["per_second"] / visit["raw_per_second"] for visit in visits],
            [visit["latency_ms"]["p50"] for visit in visits if visit["latency_ms"]],
            [visit["latency_ms"]["p99"] for visit in visits if visit["latency_ms"]],
            [visit["cpu_seconds_per_1000"] for visit in visits],
            [visit["memory_bytes"] / 2**20 for visit in visits],
        ]
        cells = [cell(Spread.of(value)) for value in values]
        rows.append([way["name"], way["pool"], *cells, str(way["copies"])])
    where = results["machine"]
    text = (
        f"# Ways of running Celery\n\nModel {results['model']}, {CALLERS} callers, "
        f"{where['processor']}, whole stack on {len(where['stack_cores'])} core(s), one thread a "
        f"process, {results['plan']['rounds']} round(s).\n\n{table(head, rows)}\n"
    )
    return text + "".join(f"\n- {line}" for line in results["failures"])
