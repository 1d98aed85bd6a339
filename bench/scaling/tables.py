"""Every way to scale on every load: the runs, and their tables."""

from statistics import median
from typing import Any

from rich.progress import Progress

from bench.report import figure, table
from bench.scaling.scenarios import INSTANT, SCENARIOS, VARIANTS, Scenario
from planner.outcome import Outcome

SEEDS, QUICK_SEEDS = 20, 1
Row = dict[str, Any]


def measure_scaling(
    progress: Progress, seeds: int, scenarios: list[Scenario] = SCENARIOS
) -> dict[str, Any]:
    """The rows of all runs, and what must not be."""
    total = sum(min(seeds, scenario.most_seeds) for scenario in scenarios) * len(VARIANTS)
    bar = progress.add_task("scaling", total=total)
    rows = []
    for scenario in scenarios:
        progress.update(bar, description=scenario.name)
        for variant in VARIANTS:
            for seed in range(min(seeds, scenario.most_seeds)):
                outcome = scenario.simulate(variant, seed)
                where = {"scenario": scenario.name, "variant": variant.name, "seed": seed}
                rows.append(where | figures(outcome, scenario.cluster.cold_start))
                progress.advance(bar)
    texts = {scenario.name: scenario.text for scenario in scenarios}
    return {"scenarios": texts, "rows": rows, "failures": failures(rows)}


def figures(outcome: Outcome, cold_start: float) -> Row:
    """The numbers of one run."""
    return {
        "arrivals": outcome.arrivals,
        "removed": outcome.removed,
        "hits": len(outcome.hits),
        "dead_in_30": outcome.dead_in_30,
        "killed": outcome.killed,
        "lost": outcome.lost,
        "wait_p50": outcome.wait_quantile(0.5),
        "wait_p95": outcome.wait_quantile(0.95),
        "longest_backlog": outcome.longest_backlog,
        "gpu_hours": outcome.paid / 3600,
        "used": outcome.used,
        "oracle_gpu_hours": outcome.oracle(cold_start) / 3600,
        "cold_starts": outcome.cold_starts,
    }


def failures(rows: list[Row]) -> list[str]:
    """Sentences, empty when the two claims hold: nobody is killed, and no known busy pod is chosen."""
    found = []
    for row in rows:
        where = f"{row['scenario']}, {row['variant']}, seed {row['seed']}"
        if row["killed"] or row["lost"]:
            found.append(f"{where}: {row['killed']} killed, {row['lost']} lost")
        if row["variant"] == INSTANT.name and row["hits"]:
            found.append(f"{where}: {row['hits']} busy pods chosen")
    return found


def render_scaling(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows, scenarios = results["rows"], results["scenarios"]
    parts = ["# Scaling", "## Busy pods that scale-in chose", _hits(rows, list(scenarios))]
    for name, text in scenarios.items():
        mine = [row for row in rows if row["scenario"] == name]
        parts += [f"## {name}", f"{text}. {_runs(mine)}.", _details(mine)]
    if results["failures"]:
        parts += ["## Failures", "\n".join(f"- {line}" for line in results["failures"])]
    return "\n\n".join(parts) + "\n"


def _runs(rows: list[Row]) -> str:
    seeds = len({row["seed"] for row in rows})
    return f"{seeds} run{'s' * (seeds > 1)}"


def _of(rows: list[Row], variant: str) -> list[Row]:
    return [row for row in rows if row["variant"] == variant]


def _hits(rows: list[Row], scenarios: list[str]) -> str:
    head = ["scaled by", *scenarios, "all", "of pods removed"]
    head += ["predictions that a grace of 30 s would kill", "killed"]
    body = []
    for variant in (variant.name for variant in VARIANTS):
        mine = _of(rows, variant)
        hits = {name: sum(r["hits"] for r in mine if r["scenario"] == name) for name in scenarios}
        names = ("removed", "dead_in_30", "killed")
        sums = [sum(hits.values()), *(sum(row[name] for row in mine) for name in names)]
        body.append([variant, *map(str, [*hits.values(), *sums])])
    return table(head, body)


def _details(rows: list[Row]) -> str:
    head = ["scaled by", "wait p50 s", "wait p95 s", "longest backlog s", "GPU-hours"]
    head += ["computing", "GPU-hours of an oracle", "cold starts"]
    names = ["wait_p50", "wait_p95", "longest_backlog", "gpu_hours", "used"]
    names += ["oracle_gpu_hours", "cold_starts"]
    return table(
        head,
        (
            [variant.name, *(_middle(_of(rows, variant.name), name) for name in names)]
            for variant in VARIANTS
        ),
    )


def _middle(rows: list[Row], name: str) -> str:
    """The median alone: the loads of the seeds differ, so their range says little."""
    value = median(row[name] for row in rows)
    if name == "used":
        return f"{value:.0%}"
    return figure(value) if value >= 0.001 else "0"
