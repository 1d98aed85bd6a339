"""`python -m bench`: Soloist beside the raw bound and other ways to serve a model, in one run."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import idle, topologies
from bench.models import BenchModel, bench_models
from bench.report import Report
from bench.run import DEFAULT_STACKS, STACKS, BenchRun
from bench.scaling import comparison, tables
from bench.stacks.stack import ONE_THREAD
from bench.trial import FULL, QUICK
from local.processes import PROJECT

MODELS = ["tiny", "minilm"]
MAKE_TINY = "import sys, pathlib, bench.offline; bench.offline.make_tiny(pathlib.Path(sys.argv[1]))"


def make_models(folder: Path, wanted: list[str]) -> list[BenchModel]:
    """The models asked for; the tiny one is made by a process of its own, since it needs torch."""
    known = bench_models(folder)
    if "tiny" in wanted:
        subprocess.run(
            [sys.executable, "-c", MAKE_TINY, str(known["tiny"].folder)],
            check=True,
            cwd=PROJECT,
            env={**os.environ, **ONE_THREAD},
            timeout=120,
            capture_output=True,
        )
    return [known[name] for name in wanted]


def choice(known: list[str]) -> Any:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return chosen

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["stacks", "topologies", "scaling", "idle"],
        default="stacks",
        help="the stacks side by side (default), the ways of running Celery, ways to scale, simulated, or what an "
        "idle Soloist asks of Redis",
    )
    parser.add_argument("--quick", action="store_true", help="one short round, under 5 minutes")
    parser.add_argument(
        "--models",
        type=choice(MODELS),
        default=None,
        metavar="A,B",
        help="of tiny, minilm; the default is both, and tiny for topologies",
    )
    parser.add_argument(
        "--stacks",
        type=choice(list(STACKS)),
        default=DEFAULT_STACKS,
        metavar="A,B",
        help=f"of {', '.join(STACKS)}; the default is all but usual-wait",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=None,
        help="instead of 3, or of 1 with --quick; scaling: seeds",
    )
    parser.add_argument("--workers", type=int, default=2, help="topologies: N, how many workers")
    parser.add_argument(
        "--size", type=int, default=2, help="topologies: M, processes or threads of each"
    )
    parser.add_argument("--out", type=Path, default=PROJECT / "bench/results")
    return parser.parse_args()


def interrupted(*_: Any) -> NoReturn:
    """Ended from outside, it stops what it started just as on Ctrl-C."""
    raise KeyboardInterrupt


def run_part(
    options: argparse.Namespace, console: Console, folder: Path
) -> tuple[dict[str, Any], str]:
    """Measure, and give the results and their report."""
    durations = QUICK if options.quick else FULL
    if options.rounds:
        durations = replace(durations, rounds=options.rounds)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, refresh_per_second=2) as progress:
        if options.what == "scaling":
            seeds = tables.QUICK_SEEDS if options.quick else tables.SEEDS
            results = tables.measure_scaling(progress, options.rounds or seeds)
            return results, tables.render_scaling(results)
        if options.what == "idle":
            results = idle.measure_idle(folder, progress)
            return results, idle.render_idle(results)
        if options.what == "topologies":
            [model] = make_models(folder, (options.models or ["tiny"])[:1])
            setups = topologies.pool_setups(options.workers, options.size)
            results = topologies.measure_topologies(setups, model, durations, folder, progress)
            return results, topologies.render_topologies(results)
        run = BenchRun(
            options.stacks, make_models(folder, options.models or MODELS), durations, folder
        )
        run.run_rounds(progress)
        return run.results, Report(run.results).render()


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="soloist-bench-"))
    try:
        results, text = run_part(options, console, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what == "scaling" and find_spec("matplotlib"):
        comparison.compare(options.out / "scaling.svg")
    (options.out / f"{options.what}.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / f"{options.what}.md").write_text(text)
    console.print(Markdown(text))
    console.print(f"written to {options.out}/{options.what}.md and .json")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
