"""Which pods a ReplicaSet deletes, and the cost that the keeper gives them."""

from collections import deque

import pytest

from planner.pods import Keeper, Pod, pods_to_delete
from service.keeper import pods as keeper_of_the_gateway

NOW = 10_000.0


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


@pytest.mark.parametrize(
    ("since_start", "cost"), [(0.5, 0), (0.69, 0), (0.71, 10), (31.0, 40), (100.0, 109)]
)
def test_a_busy_pod_costs_ten_and_its_age_as_of_the_last_look(
    since_start: float, cost: int
) -> None:
    # The keeper's round is at each full second, and 0.2 s later the ReplicaSet can read it.
    assert Keeper().cost(pod(1, recent=[(1000.5, 2000.0)]), 1000.5 + since_start) == cost


@pytest.mark.parametrize(("since_end", "idle"), [(0.5, False), (1.1, False), (2.3, True)])
def test_a_pod_counts_as_idle_a_second_after_its_last_batch(since_end: float, idle: bool) -> None:
    cost = Keeper().cost(pod(1, recent=[(1000.0, 1050.0)]), 1050.0 + since_end)
    assert cost == (0 if idle else 60)


def test_the_simulated_keeper_has_the_seconds_of_the_real_one() -> None:
    assert Keeper().round_seconds == keeper_of_the_gateway.ROUND_SECONDS
    assert Keeper().idle_seconds == keeper_of_the_gateway.IDLE_SECONDS


def test_only_batches_that_a_look_can_show_are_kept() -> None:
    subject = pod(1, recent=deque())
    for start in range(100):
        Keeper().drop_old_batches(subject, start)
        subject.recent.append((start, start + 1))
    assert len(subject.recent) < 10
