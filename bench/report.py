"""The tables: medians and ranges over the rounds, ratios only between what was measured together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Visit = dict[str, Any]
GENERATOR_BUSY = 0.85


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest of the values."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        found = list(values)
        return cls(median(found), min(found), max(found)) if found else None


def figure(value: float) -> str:
    """Three significant digits, and never an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.low == spread.high:
        return figure(spread.middle)
    return f"{figure(spread.middle)} ({figure(spread.low)} to {figure(spread.high)})"


def ratio(
    visits: Sequence[Visit], stack: str, to: str, value: Callable[[Visit], float]
) -> Spread | None:
    """The spread over the rounds of `value` of one stack over that of another in the same round."""
    others = {visit["round"]: visit for visit in visits if visit["stack"] == to}
    return Spread.of(
        value(visit) / value(others[visit["round"]])
        for visit in visits
        if visit["stack"] == stack and visit["round"] in others and value(others[visit["round"]])
    )


def best_to_raw(visit: Visit) -> float:
    # The raw bound was measured just before and just after; so a slower minute hits both.
    return float(visit["best_per_second"] / visit["raw_per_second"])


def half_p50(visit: Visit) -> float:
    return float(visit["half"]["latency_ms"].get("p50", float("nan")))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def both(visits: Sequence[Visit], level: Callable[[Visit], dict[str, Any]]) -> str:
    """`p50 / p99` of a level, with the range over the rounds of each."""
    parts = [
        Spread.of(ms[name] for visit in visits if name in (ms := level(visit)["latency_ms"]))
        for name in ("p50", "p99")
    ]
    return " / ".join(map(cell, parts))


class Report:
    """The results of a run as Markdown."""

    def __init__(self, results: dict[str, Any]) -> None:
        self._results = results
        self._labels: dict[str, str] = results["labels"]
        self._visits: list[Visit] = results["visits"]

    def render(self) -> str:
        parts = ["# Measurements", self._setting()]
        for model in self._results["models"]:
            visits = [visit for visit in self._visits if visit["model"] == model]
            if visits:
                parts += [f"## {model}", self._bound(model), self._ratios(visits)]
                parts += ["### At half of its own best rate", self._costs(visits)]
                parts += ["### Predictions a second", self._rates(visits)]
                parts += ["### Latency, p50 / p99 ms", self._latencies(visits)]
                parts += ["### CPU seconds per 1000 predictions", self._cpu(visits)]
        return "\n\n".join([*parts, self._generator(), *self._warnings()]) + "\n"

    def _setting(self) -> str:
        machine, plan = self._results["machine"], self._results["plan"]
        return (
            f"{machine['processor']}, {machine['cores']} cores; whole stack on core "
            f"{_names(machine['stack_cores'])}, load generator on {_names(machine['load_cores'])}; "
            f"one thread for the model. {plan['rounds']} round(s) of all stacks in turn, "
            f"{plan['seconds']:g} s a cell. Medians, and least and greatest of the rounds in brackets. "
            "Every stack answered as the model does before it was timed."
        )

    def _stacks(self, visits: Sequence[Visit]) -> list[tuple[str, str, list[Visit]]]:
        return [
            (name, label, mine)
            for name, label in self._labels.items()
            if (mine := [visit for visit in visits if visit["stack"] == name])
        ]

    def _bound(self, model: str) -> str:
        bounds = [bound for bound in self._results["bounds"] if bound["model"] == model]
        plain = Spread.of(bound["plain"]["per_second"] for bound in bounds)
        by_length = Spread.of(bound["by_length"]["per_second"] for bound in bounds)
        cpu = Spread.of(bound["plain"]["cpu_seconds_per_1000"] for bound in bounds)
        return (
            f"Raw bound, batches of {bounds[0]['batch']} in order of arrival: {cell(plain)} "
            f"predictions/s, {cell(cpu)} CPU-s per 1000. Sorted by length: {cell(by_length)}."
        )

    def _ratios(self, visits: list[Visit]) -> str:
        head = ["stack", "best / raw", "best / mosec", "best / usual", "p50 at half load / mosec"]
        rows = [
            [
                label,
                cell(Spread.of(map(best_to_raw, mine))),
                cell(ratio(visits, name, "mosec", best_to_raw)),
                cell(ratio(visits, name, "usual", best_to_raw)),
                cell(ratio(visits, name, "mosec", half_p50)),
            ]
            for name, label, mine in self._stacks(visits)
        ]
        return table(head, rows)

    def _costs(self, visits: list[Visit]) -> str:
        head = ["stack", "p50 / p99 ms", "CPU-s per 1000", "memory MiB", "cold start s"]
        rows = [
            [
                label,
                both(mine, lambda visit: visit["half"]),
                cell(Spread.of(visit["half"]["cpu_seconds_per_1000"] for visit in mine)),
                cell(Spread.of(visit["memory_bytes"] / 2**20 for visit in mine)),
                cell(Spread.of(visit["cold_start_seconds"] for visit in mine)),
            ]
            for _, label, mine in self._stacks(visits)
        ]
        return table(head, rows)

    def _by_callers(self, visits: list[Visit], content: Callable[[list[Visit], str], str]) -> str:
        levels = list(visits[0]["levels"])
        head = ["stack", *(f"{level} caller{'s' * (level != '1')}" for level in levels)]
        rows = [
            [label, *(content(mine, level) for level in levels)]
            for _, label, mine in self._stacks(visits)
        ]
        return table(head, rows)

    def _rates(self, visits: list[Visit]) -> str:
        return self._by_callers(
            visits,
            lambda mine, level: cell(Spread.of(v["levels"][level]["per_second"] for v in mine)),
        )

    def _latencies(self, visits: list[Visit]) -> str:
        return self._by_callers(
            visits, lambda mine, level: both(mine, lambda visit: visit["levels"][level])
        )

    def _cpu(self, visits: list[Visit]) -> str:
        return self._by_callers(
            visits,
            lambda mine, level: cell(
                Spread.of(v["levels"][level]["cpu_seconds_per_1000"] for v in mine)
            ),
        )

    def _generator(self) -> str:
        rates = self._results["generator"]
        measured = ", ".join(
            f"{figure(result['per_second'])} with {callers}" for callers, result in rates.items()
        )
        return f"The load generator against a server that only answers, requests/s: {measured} callers."

    def _warnings(self) -> list[str]:
        lines = [f"- {line}" for line in self._results["failures"]]
        for visit in self._visits:
            for level, result in [*visit["levels"].items(), ("half load", visit["half"])]:
                where = f"{visit['stack']}, {visit['model']}, round {visit['round']}, {level}"
                if result["errors"]:
                    lines.append(f"- {where}: {result['errors']} errors: {result['last_error']}")
                if result["generator_busy"] > GENERATOR_BUSY:
                    lines.append(f"- {where}: the load generator may have been the bottleneck")
        return ["## Warnings", "\n".join(lines)] if lines else []


def _names(cores: Sequence[int]) -> str:
    return ", ".join(map(str, cores))
