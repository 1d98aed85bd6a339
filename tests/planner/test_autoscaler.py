"""How many replicas: the formulas, KEDA between 0 and 1, and the HPA with its tolerance, windows and policies."""

from pathlib import Path

import pytest
import yaml

from planner.autoscaler import (
    HPA_SECONDS,
    Activation,
    Demand,
    HorizontalPodAutoscaler,
    Scaling,
    ready_and_running,
    ready_only,
    with_busy,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("demand", "metrics"),
    [
        (Demand(0, 0, 0), (0, 0, 0)),
        (Demand(5, 0, 0), (5, 5, 5)),
        (Demand(0, 3, 3), (0, 3, 24)),
        (Demand(40, 8, 1), (40, 48, 48)),
    ],
)
def test_the_chart_never_asks_for_fewer_replicas_than_are_busy(
    demand: Demand, metrics: tuple[int, int, int]
) -> None:
    formulas = (ready_only, ready_and_running, with_busy)
    assert tuple(formula(demand, 8) for formula in formulas) == metrics


@pytest.mark.parametrize(
    ("metric", "replicas", "wanted"),
    [
        (80, 10, 10),
        (87, 10, 10),  # within 10 %
        (73, 10, 10),
        (89, 10, 12),  # ceil(89 / 8)
        (71, 10, 9),
        (0, 10, 0),
        (1, 1, 1),
    ],
)
def test_the_hpa_recommends_by_the_average_with_a_tolerance(
    metric: float, replicas: int, wanted: int
) -> None:
    assert HorizontalPodAutoscaler(Scaling(8, 100)).recommend(metric, replicas) == wanted


def rounds(scaling: Scaling, metrics: list[float], replicas: int) -> list[int]:
    """The replicas after each round of 15 s."""
    hpa, found = HorizontalPodAutoscaler(scaling), []
    for number, metric in enumerate(metrics):
        replicas = hpa.decide(15.0 * number, metric, replicas)
        found.append(replicas)
    return found


def test_up_go_four_pods_or_twice_as_many_in_15_seconds_and_never_over_max() -> None:
    assert rounds(Scaling(1, 100), [1000] * 6, 1) == [5, 10, 20, 40, 80, 100]
    assert rounds(Scaling(1, 100, up_pods=10, up_percent=10), [1000] * 3, 1) == [11, 21, 31]


def test_down_goes_one_pod_a_minute_after_five_quiet_minutes() -> None:
    found = rounds(Scaling(1, 100), [10] + [0] * 40, 10)
    assert found[:20] == [10] * 20
    assert found[20:33] == [9] * 4 + [8] * 4 + [7] * 4 + [6]


def test_the_window_keeps_the_highest_recommendation() -> None:
    scaling = Scaling(1, 100, stabilization_seconds=60, down_pods_per_minute=100)
    assert rounds(scaling, [10, 5, 7, 3, 3, 3, 3, 3], 10) == [10, 10, 10, 10, 7, 7, 3, 3]


def test_the_hpa_keeps_one_replica_and_rests_at_zero() -> None:
    scaling = Scaling(1, 4, stabilization_seconds=0, down_pods_per_minute=9)
    assert rounds(scaling, [0, 0], 3) == [1, 1]
    assert rounds(scaling, [99, 99], 0) == [0, 0]
    assert rounds(Scaling(1, 4, min=2), [0], 2) == [2]


def test_keda_starts_one_replica_and_stops_all_after_the_cooldown() -> None:
    keda = Activation(Scaling(1, 4, cooldown_seconds=60))
    assert keda.decide(5, 3, 0) == 1
    assert keda.decide(10, 3, 1) == 1
    assert keda.decide(65, 0, 3) == 3
    assert keda.decide(70, 0, 3) == 3  # exactly the cooldown is not past it
    assert keda.decide(75, 0, 3) == 0
    assert keda.decide(80, 0, 0) == 0


@pytest.mark.parametrize(("initial", "killed_after"), [(0, 1.0), (None, 301.0), (30, 31.0)])
def test_the_first_pod_of_a_fresh_install_lives_for_the_initial_cooldown(
    initial: int | None, killed_after: float
) -> None:
    keda = Activation(Scaling(1, 4, initial_cooldown_seconds=initial))
    assert keda.decide(killed_after - 1, 0, 1) == 1
    assert keda.decide(killed_after, 0, 1) == 0


def test_keda_leaves_the_least_replicas_alone() -> None:
    keda = Activation(Scaling(1, 4, min=2))
    assert keda.decide(9999, 0, 3) == 3
    assert keda.decide(9999, 0, 0) == 2
    assert keda.decide(9999, 7, 0) == 2


def test_the_defaults_are_those_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "charts/soloist/values.yaml").read_text(encoding="utf-8"))
    chart = values["defaults"]["scaling"]
    ours = Scaling(target=8)

    assert (ours.min, ours.max) == (chart["min"], chart["max"])
    assert ours.polling_seconds == chart["pollingSeconds"]
    assert ours.cooldown_seconds == chart["cooldownSeconds"]
    assert (ours.initial_cooldown_seconds is None) is (chart["initialCooldownSeconds"] == -1)
    assert (ours.up_pods, ours.up_percent) == (
        chart["scaleUp"]["pods"],
        chart["scaleUp"]["percent"],
    )
    assert ours.stabilization_seconds == chart["scaleDown"]["stabilizationSeconds"]
    assert ours.down_pods_per_minute == chart["scaleDown"]["podsPerMinute"]
    assert chart["scaleUp"]["periodSeconds"] == HPA_SECONDS
