"""The parts of the scaling simulation: each follows the rules of KEDA, the HPA, the ReplicaSet and the keeper."""

from collections import deque
from random import Random

import pytest

from planner.autoscaler import (
    Activation,
    Demand,
    HorizontalPodAutoscaler,
    Scaling,
    ready_and_running,
    ready_only,
    with_busy,
)
from planner.load import HOUR, Load, ServiceTime
from planner.outcome import Outcome
from planner.pods import Keeper, Pod, pods_to_delete
from service.keeper import pods as keeper_of_the_gateway

NOW = 10_000.0


# --- the load ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["steady", "daily", "bursts", "spike"])
def test_each_shape_has_its_rate_on_average(shape: str) -> None:
    arrivals = Load(2000, shape, 24).arrivals(Random(1))
    more = 2000 if shape == "spike" else 0
    assert len(arrivals) == pytest.approx(24 * 2000 + more, rel=0.1)
    assert arrivals == sorted(arrivals)
    assert 0 < arrivals[0] < arrivals[-1] < 24 * HOUR


def test_a_daily_wave_is_quiet_at_night_and_highest_at_noon() -> None:
    arrivals = Load(1000, "daily").arrivals(Random(1))
    night = sum(at < HOUR for at in arrivals)
    noon = sum(11.5 * HOUR < at < 12.5 * HOUR for at in arrivals)
    assert night < 20
    assert noon == pytest.approx(Load(1000, "daily").peak_per_hour, rel=0.1)


def test_a_spike_is_an_hours_worth_within_a_minute() -> None:
    arrivals = Load(600, "spike", 6).arrivals(Random(1))
    within = sum(2 * HOUR <= at <= 2 * HOUR + 60 for at in arrivals)
    assert within == pytest.approx(610, rel=0.1)


def test_a_batch_costs_its_first_and_each_further_prediction_and_ends_at_the_hard_limit() -> None:
    service = ServiceTime(6, 2, max_batch_size=8, spread=0)
    assert [service.seconds(size, Random(1)) for size in (1, 2, 8)] == [6, 8, 20]
    assert service.full_seconds == 20
    assert ServiceTime(5000, hard_limit=1800, spread=0).seconds(1, Random(1)) == 1800


def test_the_spread_leaves_the_mean_as_it_is() -> None:
    random, service = Random(1), ServiceTime(10, spread=0.8)
    assert sum(service.seconds(1, random) for _ in range(20_000)) / 20_000 == pytest.approx(
        10, 0.05
    )


# --- the ReplicaSet's choice ------------------------------------------------------------------------


def pod(name: float, **fields: object) -> Pod:
    """A ready pod on a node of its own."""
    known = {"created_at": 1000.0, "node": int(name), "phase": "Running", "ready_at": 2000.0}
    return Pod(uid=name, **(known | fields))  # type: ignore[arg-type]


def busy_since(start: float) -> list[tuple[float, float]]:
    return [(start, NOW + 1000)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            {"node": None, "phase": "Pending", "ready_at": None, "recent": busy_since(0)},
            {"phase": "Pending", "ready_at": None},
            id="unassigned before assigned",
        ),
        pytest.param(
            {"phase": "Pending", "ready_at": None},
            {"phase": "Unknown", "ready_at": None},
            id="pending before unknown",
        ),
        pytest.param(
            {"phase": "Unknown", "ready_at": None},
            {"phase": "Running", "ready_at": None},
            id="unknown before running",
        ),
        pytest.param(
            {"ready_at": None, "recent": busy_since(0)},
            {},
            id="not ready before ready, whatever the cost",
        ),
        pytest.param(
            {"ready_at": 2000.0},
            {"ready_at": 9999.0, "recent": busy_since(9000)},
            id="lower cost before younger",
        ),
        pytest.param(
            {"recent": busy_since(9500)},
            {"recent": busy_since(9000)},
            id="the younger batch before the older",
        ),
        pytest.param(
            {"ready_at": 9900.0}, {"ready_at": 2000.0}, id="lately ready before long ready"
        ),
        pytest.param({"restarts": 2}, {"restarts": 1}, id="more restarts before fewer"),
        pytest.param({"created_at": 1999.0}, {"created_at": -90_000.0}, id="newer before older"),
    ],
)
def test_victims_are_chosen_in_the_order_of_kubernetes(first: dict, second: dict) -> None:
    one, other = pod(2, **first), pod(1, **second)
    for pods in ([one, other], [other, one]):
        assert pods_to_delete(pods, 1, NOW, Keeper()) == [one]


def test_of_pods_of_one_cost_those_on_a_shared_node_go_first() -> None:
    alone, shared, neighbour = pod(1), pod(2, node=7), pod(3, node=7)
    assert alone not in pods_to_delete([alone, shared, neighbour], 2, NOW, Keeper())
    costly = pod(2, node=7, recent=busy_since(9000))
    assert pods_to_delete([alone, costly, pod(3, node=7)], 2, NOW, Keeper())[-1] is alone


def test_among_pods_of_like_age_chance_decides_and_not_the_age() -> None:
    older, younger = pod(1, ready_at=2000.0), pod(2, ready_at=2500.0)
    assert pods_to_delete([younger, older], 1, NOW, None) == [older]  # its uid is lower


def test_without_a_keeper_a_busy_pod_looks_like_any_other() -> None:
    busy, idle = pod(1, recent=busy_since(9000)), pod(2)
    assert pods_to_delete([busy, idle], 1, NOW, None) == [busy]
    assert pods_to_delete([busy, idle], 1, NOW, Keeper()) == [idle]


# --- the keeper's cost ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since_start", "cost"), [(0.5, 0), (0.69, 0), (0.71, 10), (31.0, 40), (100.0, 109)]
)
def test_a_busy_pod_costs_ten_and_its_age_as_of_the_last_look(
    since_start: float, cost: int
) -> None:
    # The keeper looks at each full second, and 0.2 s later the ReplicaSet can read it.
    assert Keeper().cost(pod(1, recent=[(1000.5, 2000.0)]), 1000.5 + since_start) == cost


@pytest.mark.parametrize(("since_end", "idle"), [(0.5, False), (1.1, False), (2.3, True)])
def test_a_pod_counts_as_idle_a_second_after_its_last_batch(since_end: float, idle: bool) -> None:
    cost = Keeper().cost(pod(1, recent=[(1000.0, 1050.0)]), 1050.0 + since_end)
    assert cost == (0 if idle else 60)


def test_the_simulated_keeper_has_the_seconds_of_the_real_one() -> None:
    assert Keeper().look_seconds == keeper_of_the_gateway.ROUND_SECONDS
    assert Keeper().idle_seconds == keeper_of_the_gateway.IDLE_SECONDS


def test_only_batches_that_a_look_can_show_are_kept() -> None:
    subject = pod(1, recent=deque())
    for start in range(100):
        Keeper().drop_old_batches(subject, start)
        subject.recent.append((start, start + 1))
    assert len(subject.recent) < 10


# --- the formulas -----------------------------------------------------------------------------------


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


# --- the HPA ----------------------------------------------------------------------------------------


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


# --- KEDA -------------------------------------------------------------------------------------------


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


# --- the oracle -------------------------------------------------------------------------------------


def test_an_oracle_keeps_a_gpu_over_a_short_gap_and_lets_it_go_over_a_long_one() -> None:
    assert Outcome(batches=[(100.0, 110.0)]).oracle(60) == 60 + 10
    assert Outcome(batches=[(100.0, 110.0), (120.0, 130.0)]).oracle(60) == 60 + 10 + 10 + 10
    assert Outcome(batches=[(100.0, 110.0), (990.0, 999.0)]).oracle(60) == 60 + 10 + 60 + 9
    assert Outcome(batches=[(100.0, 200.0), (150.0, 160.0)]).oracle(60) == 2 * 60 + 110


def test_the_wait_is_that_which_a_share_did_not_exceed() -> None:
    outcome = Outcome(waits=[float(number) for number in range(100)])
    assert (
        outcome.wait_quantile(0.5),
        outcome.wait_quantile(0.95),
        Outcome().wait_quantile(0.95),
    ) == (50, 95, 0)
