"""What the ledger's Redis is asked by a Soloist that nobody asks anything, part by part.

Redis counts every command in `INFO commandstats`, those of scripts too; so nothing of ours is in the way of what is
counted. Parts are started one after the other, and each costs what there is more of since then.
"""

import contextlib
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
import yaml
from rich.progress import Progress

from bench.http import build_request
from bench.report import table
from bench.stacks.stack import ONE_THREAD, exchange
from contract.settings import Settings
from local.processes import PROJECT, Process, free_port
from local.redis import EmbeddedRedis

MODELS = 3
WORKERS = 2
"""Of each model, at last."""
READY_SECONDS = 60.0
WINDOW_SECONDS = 2 * Settings.model_fields["lease_seconds"].default
"""Two leases: what is done once in one of them counts as often as it should."""
SETTLE_SECONDS = 3.0
SCRIPTS = ("evalsha", "eval")
OURS = ("info", "client")
"""What counting itself costs."""


class NoOpModel:
    """A model that loads nothing."""

    def load(self, spec: Any, device: str) -> None:
        """Nothing to load."""

    def predict(self, items: list[Any]) -> list[Any]:
        return [None] * len(items)


class Idle:
    """One Redis for ledger and broker, and the processes of an idle Soloist."""

    def __init__(self, folder: Path, opened: ExitStack, models: int) -> None:
        self._folder = folder / f"idle-{models}"
        self._folder.mkdir()
        self._opened = opened
        self._redis = opened.enter_context(EmbeddedRedis(self._folder / "redis"))
        self._client = opened.enter_context(redis.Redis.from_url(self._redis.url))
        self._models = [f"m{number}" for number in range(models)]
        entry = {"python": "bench.idle:NoOpModel", "device": "cpu"}
        catalog = self._folder / "catalog.yaml"
        catalog.write_text(yaml.safe_dump({"models": dict.fromkeys(self._models, entry)}))
        self._environment = {
            **ONE_THREAD,
            "SOLOIST_REDIS_URL": self._redis.url,
            "SOLOIST_CATALOG": str(catalog),
        }

    def start_part(self, what: str) -> None:
        """Start a `keeper`, a `gateway` or a `worker` for each model, and wait until it is ready."""
        if what == "worker":
            for model in self._models:
                self._start_process("worker", ["-m", "worker", "--model", model])
        else:
            self._start_process("" if what == "gateway" else what, ["-m", "service", what])

    def _start_process(self, part: str, command: list[str]) -> None:
        port = free_port()
        name = f"SOLOIST_{part.upper()}_PORT" if part else "SOLOIST_PORT"
        process = Process(
            [sys.executable, *command],
            log=self._folder / f"{part or 'gateway'}-{port}.log",
            env={**self._environment, name: str(port), "SOLOIST_WORKER_NAME": f"idle-{port}"},
            cwd=PROJECT,
        )
        self._opened.callback(process.terminate)

        def ready() -> bool:
            with contextlib.suppress(OSError):
                return exchange(port, build_request("GET", "/readyz"))[0] == 200
            return False

        process.wait_until(ready, READY_SECONDS)

    def command_rates(self) -> dict[str, float]:
        """Commands a second, by name, as Redis counts them."""
        time.sleep(SETTLE_SECONDS)
        before, started = self._counts(), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        after, seconds = self._counts(), time.monotonic() - started
        rates = {name: (n - before.get(name, 0)) / seconds for name, n in after.items()}
        return {name: rate for name, rate in rates.items() if rate > 0 and name not in OURS}

    def _counts(self) -> dict[str, int]:
        stats = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): said["calls"] for name, said in stats.items()}


def measure_idle(folder: Path, progress: Progress, models: int = MODELS) -> dict[str, Any]:
    """Each part's share, for one model and for several."""
    parts = ["keeper", "gateway", *["worker"] * WORKERS]
    bar = progress.add_task("", total=2 * len(parts))
    results: dict[str, Any] = {"seconds": WINDOW_SECONDS, "steps": [], "failures": []}
    for number in (1, models):
        with ExitStack() as opened:
            idle = Idle(folder, opened, number)
            for part in parts:
                progress.update(bar, description=f"{number} model(s), one more {part}")
                idle.start_part(part)
                results["steps"].append(
                    {"models": number, "part": part, "rates": idle.command_rates()}
                )
                progress.advance(bar)
    return results


def shares(results: dict[str, Any]) -> dict[str, float]:
    """Commands a second of each part: a worker, a keeper and a gateway, and what each model adds to these two."""
    total: dict[tuple[int, str], list[float]] = {}
    last: dict[int, float] = {}
    for step in results["steps"]:
        models, now = step["models"], sum(step["rates"].values())
        total.setdefault((models, step["part"]), []).append(now - last.get(models, 0.0))
        last[models] = now
    few, many = min(last), max(last)
    found = {"worker": sum(total[many, "worker"]) / len(total[many, "worker"]) / many}
    for part in ("keeper", "gateway"):
        one, several = total[few, part][0], total[many, part][0]
        found[f"{part}, a model"] = (several - one) / (many - few)
        found[part] = one - found[f"{part}, a model"] * few
    return found


def render_idle(results: dict[str, Any]) -> str:
    """A table of the steps, one of the shares, and what is asked most, as Markdown."""
    rows, last = [], results["steps"][-1]["rates"]
    for step in results["steps"]:
        rates = step["rates"]
        calls = sum(rates.get(name, 0.0) for name in SCRIPTS)
        rows.append(
            [str(step["models"]), step["part"], f"{sum(rates.values()):.1f}", f"{calls:.1f}"]
        )
    most = sorted(last.items(), key=lambda pair: -pair[1])[:12]
    return (
        f"# An idle Soloist\n\nCommands a second that Redis counted in {results['seconds']:g} s, those of scripts "
        f"included; one Redis for ledger and broker.\n\n"
        f"{table(['models', 'with one more', 'commands/s', 'scripts/s'], rows)}\n\n"
        f"{table(['part', 'commands/s'], [[k, f'{v:.2f}'] for k, v in shares(results).items()])}\n\n"
        f"Asked most at last: {', '.join(f'{name} {rate:.1f}' for name, rate in most)}.\n"
    )
