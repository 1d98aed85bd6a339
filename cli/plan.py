"""`soloist plan`: the chart's scaling values for a load, found by simulating it, and what to expect of them."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.progress import BarColumn, Progress, TextColumn

from cli.console import Failure, err
from planner.autoscaler import Scaling
from planner.load import HOUR, SHAPES, ServiceTime
from planner.picture import draw_days
from planner.search import Forecast, Requirements, Search
from planner.simulation import Cluster

UNITS = {"s": 3600.0, "min": 60.0, "h": 1.0, "day": 1 / 24}
MOST_PER_HOUR = 200_000.0
NAME = "[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?"


def plan(
    rate: Annotated[
        str, typer.Option(help="How many predictions come: 10/s, 600/min, 2000/h or 5000/day.")
    ],
    seconds: Annotated[
        float, typer.Option(help="Seconds of a batch of one prediction on the device.")
    ],
    each: Annotated[
        float, typer.Option(help="Seconds that each further prediction adds to its batch.")
    ] = 0.0,
    batch: Annotated[
        int, typer.Option(min=1, max=4096, help="The model's max_batch_size; 1: no batching.")
    ] = 1,
    shape: Annotated[
        str, typer.Option(help="How they come: steady, daily, bursts or spike.")
    ] = "steady",
    gpus: Annotated[
        int, typer.Option(min=1, max=10_000, help="The most GPUs that the model can have.")
    ] = 4,
    cold_start: Annotated[
        float, typer.Option(help="Seconds that a pod needs from its GPU to ready.")
    ] = 60.0,
    wait: Annotated[
        float, typer.Option(help="The seconds that 95 % of the predictions may wait at most.")
    ] = 10.0,
    price: Annotated[
        float | None, typer.Option(min=0, help="What a GPU costs an hour, in any currency.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model's name in the values.")] = "my-model",
    picture: Annotated[
        Path | None, typer.Option(help="Draw the simulated time: FILE.svg or FILE.png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other arrivals.")] = 0,
) -> None:
    """Find scaling values for a load by simulating KEDA, HPA and pods; prints values for the chart."""
    check_options(model, picture, shape)
    require_positive("--seconds", seconds)
    require_positive("--wait", wait)
    service = ServiceTime(seconds, require_not_negative("--each", each), batch)
    if service.full_seconds > HOUR / 2:
        raise Failure(
            f"a full batch would take {service.full_seconds:g} s, the most that can be planned is "
            f"{HOUR / 2:g} s: lower --batch, --each or --seconds",
            2,
        )
    cluster = Cluster(gpus, require_not_negative("--cold-start", cold_start))
    required = with_enough_gpus(Requirements(per_hour(rate), shape, service, cluster, wait, seed))
    found = search_scaling(required)
    sys.stdout.write(
        "\n".join([*describe_forecast(required, found, price), chart_values(model, found.scaling)])
    )
    if picture:
        draw_forecast(picture, model, found, required)


def per_hour(rate: str) -> float:
    """`10/s`, `600/min`, `2000/h` or `5000/day` as predictions an hour."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|h|day)", rate.strip())
    if not match or not float(match[1]):
        raise Failure(f"--rate {rate!r} is no rate: write 10/s, 600/min, 2000/h or 5000/day", 2)
    found = float(match[1]) * UNITS[match[2]]
    if found > MOST_PER_HOUR:
        raise Failure(
            f"--rate {rate} is more than {MOST_PER_HOUR:,.0f}/h, too much to simulate: divide the rate and "
            "--gpus by the same number, and multiply min and max by it",
            2,
        )
    return found


def check_options(model: str, picture: Path | None, shape: str) -> None:
    """Refuse what cannot be planned before anything is simulated."""
    if shape not in SHAPES:
        raise Failure(f"--shape {shape!r} is none of {', '.join(SHAPES)}", 2)
    if not re.fullmatch(NAME, model):
        raise Failure(
            f"--model {model!r} is no model name: use up to 40 of a-z, 0-9 and - inside", 2
        )
    if picture:
        if picture.suffix not in (".svg", ".png"):
            raise Failure(f"--picture {picture} must end in .svg or .png", 2)
        if not picture.absolute().parent.is_dir():
            raise Failure(f"--picture {picture}: its folder does not exist; make it first", 2)
        if find_spec("matplotlib") is None:
            raise Failure("--picture needs matplotlib: pip install 'soloist[plan]'")


def require_positive(option: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise Failure(f"{option} {value:g} must be greater than 0", 2)
    return value


def require_not_negative(option: str, value: float) -> float:
    return value if value == 0 else require_positive(option, value)


def with_enough_gpus(required: Requirements) -> Requirements:
    """The requirements as they are or, with a warning, for the fewest GPUs that can serve the load."""
    given, least = required.cluster.gpus, required.least_gpus
    if given >= least:
        return required
    err().print(
        f"{given} GPU{'s' * (given > 1)} cannot serve this load: in its busiest hours even full batches keep "
        f"{least} busy. What follows is for {least} GPUs."
    )
    return required.with_gpus(least)


def search_scaling(required: Requirements) -> Forecast:
    """Search; says so when the wait cannot be kept."""
    with search_progress() as advance:
        search = Search(required, advance)
        found = search.find_best()
        if found.p95_wait > required.p95_wait:
            err().print(explain_missed_wait(required, found, search))
    return found


def explain_missed_wait(required: Requirements, found: Forecast, search: Search) -> str:
    """Why the wait is longer than asked for, and the way out."""
    gpus = required.cluster.gpus
    needed = search.gpus_needed(found.scaling, 4 * gpus)
    way_out = (
        f"{needed} GPUs would keep it"
        if needed
        else "more GPUs alone would not help: accept a longer --wait, or make the start shorter"
    )
    return (
        f"No values that were tried keep a p95 wait of {required.p95_wait:g} s with {gpus} GPU{'s' * (gpus > 1)}, "
        f"the best keep {found.p95_wait:.1f} s; {way_out}."
    )


@contextmanager
def search_progress() -> Iterator[Callable[..., None]]:
    """A bar on stderr while it simulates."""
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, console=err(), transient=True) as shown:
        bar = shown.add_task("", total=None)

        def advance(total: int | None = None) -> None:
            if total:
                shown.reset(bar, total=total)
            else:
                shown.advance(bar)

        yield advance


def describe_forecast(
    required: Requirements, found: Forecast, price: float | None
) -> Iterator[str]:
    """What was simulated and what to expect, as comments above the values."""
    service, outcome = required.service, found.outcome
    hours, day = outcome.paid / 3600, found.per_day(outcome.paid / 3600)
    oracle = found.per_day(outcome.oracle(required.cluster.cold_start) / 3600)
    sizes = f"a batch of 1 takes {service.first:g} s"
    if service.max_batch_size > 1:
        sizes += f", of {service.max_batch_size} {service.full_seconds:g} s"
    pressed = ", in which a day passes" if found.hours < 24 and required.shape == "daily" else ""
    yield f"# {required.per_hour:g} predictions/h, {required.shape}; {sizes}; a pod starts in {required.cluster.cold_start:g} s;"
    yield f"# at most {required.cluster.gpus} GPUs; 95 % shall start within {required.p95_wait:g} s."
    yield f"# Expected, from {found.hours:.3g} simulated hours{pressed} with {outcome.arrivals} predictions:"
    yield f"#   wait until started: half up to {format_number(outcome.wait_quantile(0.5))} s, 95 % up to {format_number(found.p95_wait)} s"
    yield (
        f"#   GPU-hours a day: {format_number(day)}, {outcome.used:.0%} of them compute; "
        f"who knew the arrivals would pay {format_number(oracle)}"
    )
    if price is not None:
        thousand = hours * price / outcome.arrivals * 1000
        yield f"#   cost a day: {day * price:.2f}; of 1000 predictions: {thousand:.3f}"
    yield f"#   cold starts a day: {format_number(found.per_day(outcome.cold_starts))}"
    hits = format_number(found.per_day(len(outcome.hits)))
    yield f"#   busy pods chosen by scale-in a day: {hits}; predictions killed: {outcome.killed}"


def format_number(value: float) -> str:
    """Three significant digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "0"


def chart_values(model: str, scaling: Scaling) -> str:
    """The part of the chart's values; `max` and `target` always, others where they differ from its defaults."""
    default = Scaling(scaling.target)
    down: dict[str, int] = {}
    if scaling.stabilization_seconds != default.stabilization_seconds:
        down["stabilizationSeconds"] = scaling.stabilization_seconds
    if scaling.down_pods_per_minute != default.down_pods_per_minute:
        down["podsPerMinute"] = scaling.down_pods_per_minute
    found: dict[str, Any] = {"min": scaling.min} if scaling.min else {}
    found |= {"max": scaling.max, "target": scaling.target}
    if scaling.cooldown_seconds != default.cooldown_seconds:
        found["cooldownSeconds"] = scaling.cooldown_seconds
    if down:
        found["scaleDown"] = down
    return yaml.safe_dump({"models": {model: {"scaling": found}}}, sort_keys=False)


def draw_forecast(path: Path, model: str, found: Forecast, required: Requirements) -> None:
    """Draw the run that the forecast is from."""

    try:
        draw_days(path, found.arrivals, {model: found.outcome}, required.cluster.gpus)
    except OSError as error:
        raise Failure(f"cannot write --picture {path}: {error.strerror}") from None
