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
from bench.load_generator import LoadGenerator
from bench.models import BenchModel
from bench.process_tree import ProcessTree
from bench.report import Spread, cell, table
from bench.run import FAILURES, machine, split_cores
from bench.stacks.ours import Ours
from bench.texts import TEXTS, texts
from bench.trial import Cores, Durations, check_answers, measure_load
from local.processes import restrict_to_cores

CALLERS = 64
READY_SECONDS = 120.0


@dataclass(frozen=True)
class PoolSetup:
    """How many workers of which pool, and how many processes then hold the model."""

    name: str
    pool: str
    workers: int
    concurrency: int
    copies: int


def pool_setups(workers: int, size: int) -> list[PoolSetup]:
    """The topologies for N = `workers` and M = `size`; green threads where they are installed."""
    every = workers * size
    found = [
        PoolSetup(f"{workers} workers of {size} processes", "prefork", workers, size, every),
        PoolSetup(f"1 worker of {every} processes", "prefork", 1, every, every),
        PoolSetup(f"{workers} workers of one process", "solo", workers, 1, workers),
        PoolSetup(f"{workers} workers of {size} threads", "threads", workers, size, workers),
        PoolSetup(f"1 worker of {every} threads", "threads", 1, every, 1),
        PoolSetup("1 worker of one process", "solo", 1, 1, 1),
    ]
    for pool in ("gevent", "eventlet"):
        if find_spec(pool):
            found.append(PoolSetup(f"1 worker of {every} greenlets", pool, 1, every, 1))
    return found


def measure_topologies(
    chosen: Sequence[PoolSetup],
    model: BenchModel,
    durations: Durations,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Rounds in which every way has its turn."""
    cores = split_cores()
    results: dict[str, Any] = {
        "machine": machine(cores),
        "plan": asdict(durations),
        "model": model.name,
        "ways": [asdict(setup) for setup in chosen],
        "visits": [],
        "failures": [],
    }
    bar = progress.add_task("raw bound", total=durations.rounds * len(chosen))
    try:
        with restrict_to_cores(cores.load), ExitStack() as opened:
            with restrict_to_cores(cores.stack):
                bound = opened.enter_context(Bound(model, texts(TEXTS), folder / "raw.log"))
            bound.calibrate(durations.raw_seconds)
            expected = bound.answers()
            for number in range(durations.rounds):
                for setup in chosen:
                    where = f"round {number + 1}, {setup.name} ({setup.pool})"
                    progress.update(bar, description=where)
                    try:
                        found = _measure_setup(setup, bound, expected, durations, cores, folder)
                    except FAILURES as error:
                        progress.console.print(f"[red]{where}:[/] {error}", highlight=False)
                        results["failures"].append(f"{where}: {str(error).splitlines()[0]}")
                    else:
                        results["visits"].append({**found, "round": number})
                    progress.advance(bar)
    except KeyboardInterrupt:
        results["failures"].append("stopped before its end")
    return results


def _measure_setup(
    setup: PoolSetup,
    bound: Bound,
    expected: list[Any],
    durations: Durations,
    cores: Cores,
    folder: Path,
) -> dict[str, Any]:
    raw = bound.rate(durations.raw_seconds)["per_second"]
    stack = Ours(bound.model, folder, [(setup.pool, setup.concurrency)] * setup.workers)
    with ExitStack() as opened:
        with restrict_to_cores(cores.stack):
            opened.enter_context(stack)
        stack.first_answer(bound.texts[0])
        stack.processes[-1].wait_until(stack.workers_ready, READY_SECONDS)
        target = stack.target(bound.texts)
        generator = opened.enter_context(LoadGenerator(target, stack.folder / "load.log"))
        check_answers(stack, generator.once(CALLERS), expected)
        tree = ProcessTree(stack.pids)
        result = measure_load(
            tree,
            lambda mark: generator.closed(CALLERS, durations.warm_seconds, durations.seconds, mark),
        )
        memory = sum(
            ProcessTree(process.pid for process in stack.processes[2:]).memory_bytes().values()
        )
    return {
        "way": setup.name,
        "pool": setup.pool,
        "raw_per_second": raw,
        "memory_bytes": memory,
        **result,
    }


def render_topologies(results: dict[str, Any]) -> str:
    """One table of all ways, as Markdown."""
    head = ["topology", "pool", "predictions/s", "of raw", "p50 ms", "p99 ms"]
    head += ["CPU-s per 1000", "memory of the workers MiB", "copies of the model"]
    rows = []
    for setup in results["ways"]:
        visits = [
            visit
            for visit in results["visits"]
            if (visit["way"], visit["pool"]) == (setup["name"], setup["pool"])
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
        rows.append([setup["name"], setup["pool"], *cells, str(setup["copies"])])
    where = results["machine"]
    text = (
        f"# Ways of running Celery\n\nModel {results['model']}, {CALLERS} callers, "
        f"{where['processor']}, whole stack on {len(where['stack_cores'])} core(s), one thread a "
        f"process, {results['plan']['rounds']} round(s).\n\n{table(head, rows)}\n"
    )
    return text + "".join(f"\n- {line}" for line in results["failures"])
