"""A day in a picture: what was asked for, and how many GPUs were there, computed and were paid."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from planner.load import HOUR
from planner.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEMAND, PAID, READY, BUSY, HIT = "#475569", "#cbd5e1", "#7dd3fc", "#0369a1", "#dc2626"
BIN, MEAN_OF = 600.0, 180.0  # seconds: of demand, of replicas
STYLE: Any = {
    "svg.hashsalt": "soloist",  # the same picture each time
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
}


def draw_days(
    path: Path, arrivals: Sequence[float], outcomes: dict[str, Outcome], gpus: int
) -> None:
    """Demand on top, and below it each outcome under its title; the format is that of the path's suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context(STYLE):
        rows, height = 1 + len(outcomes), 2.2 + 2.2 * len(outcomes)
        figure, axes = pyplot.subplots(
            rows,
            sharex=True,
            figsize=(9, height),
            height_ratios=[0.7] + [1.0] * len(outcomes),
        )
        figure.subplots_adjust(0.065, 0.55 / height, 0.985, 1 - 0.68 / height, hspace=0.55)
        end = math.ceil(max(outcome.timeline[-1].at for outcome in outcomes.values()) / HOUR)
        _demand(axes[0], arrivals, end)
        for axis, (title, outcome) in zip(axes[1:], outcomes.items(), strict=True):
            _replicas(axis, title, outcome, gpus)
        axes[-1].set_xlabel("hours")
        axes[-1].set_xlim(0, end)
        axes[-1].xaxis.set_major_locator(MaxNLocator(12, integer=True))
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", ncols=4, frameon=False)
        metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=100)
        pyplot.close(figure)


def _demand(axis: "Axes", arrivals: Sequence[float], end: float) -> None:
    counts = [0] * (int(end * HOUR / BIN) + 1)
    for at in arrivals:
        counts[int(at / BIN)] += 1
    edges = [number * BIN / HOUR for number in range(len(counts) + 1)]
    axis.stairs([count * HOUR / BIN for count in counts], edges, fill=True, color=DEMAND)
    axis.set_title("Demand, predictions an hour")


def _replicas(axis: "Axes", title: str, outcome: Outcome, gpus: int) -> None:
    from matplotlib.ticker import MaxNLocator

    moments = outcome.timeline
    layers = (
        ("gpus", PAID, "GPUs starting or draining"),
        ("ready", READY, "GPUs ready"),
        ("busy", BUSY, "GPUs busy"),
    )
    for name, color, label in layers:
        values, edges = _means([(sample.at, getattr(sample, name)) for sample in moments])
        axis.stairs(values, edges, fill=True, color=color, label=label, linewidth=0)
    height = 1.08 * gpus
    axis.plot(
        [at / HOUR for at in outcome.hits],
        [height] * len(outcome.hits),
        "|",
        color=HIT,
        markersize=9,
        label="a busy pod chosen by scale-in",
        clip_on=False,
    )
    said = f"{outcome.paid / HOUR:.0f} GPU-hours, p95 wait {outcome.wait_quantile(0.95):.0f} s"
    axis.set_title(f"{title}\n{said}, busy pods chosen: {len(outcome.hits)}", pad=10)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_ylim(0, height)


def _means(points: Sequence[tuple[float, int]]) -> tuple[list[float], list[float]]:
    """The mean of each bin, and the bins' edges in hours: a day in 480 steps keeps the file small."""
    bins: dict[int, list[int]] = {}
    for at, value in points:
        bins.setdefault(int(at / MEAN_OF), []).append(value)
    numbers = range(max(bins) + 1)
    means = [fmean(bins.get(number, [0])) for number in numbers]
    return means, [number * MEAN_OF / HOUR for number in range(len(numbers) + 1)]
