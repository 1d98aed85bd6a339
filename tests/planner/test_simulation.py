"""The simulation as a whole: nothing gets lost in it, and pods live as those of Kubernetes do."""

from dataclasses import replace
from random import Random

import pytest

from bench.scaling.scenarios import SCENARIOS, VARIANTS
from planner.autoscaler import Scaling
from planner.load import HOUR, Load, ServiceTime
from planner.outcome import Outcome
from planner.simulation import MAX_ATTEMPTS, OURS, Cluster, Simulation, Variant

LONG = replace(
    next(scenario for scenario in SCENARIOS if scenario.name == "long"),
    load=Load(80, "bursts", 8),
)


def simulate(load: Load, service: ServiceTime, scaling: Scaling, **more: object) -> Outcome:
    arrivals = load.arrivals(Random(1))
    known = {"cluster": Cluster(scaling.max, 60), "until": load.hours * HOUR}
    return Simulation(arrivals, service, scaling, **(known | more)).simulate()  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
@pytest.mark.parametrize("shape", ["steady", "daily", "bursts", "spike"])
def test_every_prediction_ends_once(variant: Variant, shape: str) -> None:
    service, scaling = ServiceTime(20, 5, 4, 0.5), Scaling(4, 6)
    outcome = simulate(Load(400, shape, 3), service, scaling, variant=variant)
    assert outcome.succeeded == outcome.arrivals
    assert (outcome.lost, outcome.killed) == (0, 0)
    assert min(outcome.waits) >= 0
    assert len(outcome.waits) == outcome.arrivals
    assert outcome.busy == pytest.approx(sum(end - start for start, end in outcome.batches))
    assert outcome.busy < outcome.paid <= 6 * (outcome.ends + 60)
    assert outcome.oracle(60) <= outcome.paid


def test_never_more_gpus_are_taken_than_there_are_and_pods_wait_for_them() -> None:
    outcome = simulate(Load(2000, "spike", 2), ServiceTime(10), Scaling(1, 20), cluster=Cluster(3))
    assert outcome.peak_replicas == 20
    assert max(sample.gpus for sample in outcome.timeline) == 3
    assert max(sample.busy for sample in outcome.timeline) <= 3


def test_a_worker_takes_all_that_waits_and_never_waits_for_more() -> None:
    one_at_a_time = Simulation(
        [100.0, 200.0], ServiceTime(5, 1, 8, 0), Scaling(8), Cluster(1)
    ).simulate()
    assert one_at_a_time.waits == [0, 0]
    together = Simulation(
        [100.0, 101.0, 102.0], ServiceTime(5, 1, 8, 0), Scaling(8), Cluster(1)
    ).simulate()
    assert together.waits == [0, 4, 3]
    assert together.batches == [(100, 105), (105, 111)]


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    first, again, other = (LONG.simulate(OURS, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_at_zero_one_prediction_waits_for_a_poll_and_a_cold_start() -> None:
    scaling = Scaling(1, 4, initial_cooldown_seconds=0)
    outcome = Simulation([1000.0], ServiceTime(5), scaling, Cluster(4, 60)).simulate()
    assert 54 < outcome.waits[0] <= 5.5 + 66
    assert outcome.cold_starts == 2  # the first pod of the install as well


def test_the_grace_period_of_the_chart_kills_nobody_and_that_of_kubernetes_does() -> None:
    kinds = {"variant": VARIANTS[0]}
    kept = simulate(LONG.load, LONG.service, LONG.scaling, **kinds)
    assert len(kept.hits) > 10
    assert (kept.killed, kept.lost) == (0, 0)
    assert kept.dead_in_30 > 10
    killed = simulate(LONG.load, LONG.service, LONG.scaling, **kinds, grace=30.0)
    assert killed.killed > 10
    assert killed.succeeded + killed.lost == killed.arrivals
    assert killed.lost * MAX_ATTEMPTS <= killed.killed


def test_a_killed_prediction_is_queued_again_at_its_old_place() -> None:
    # Scaled by what waits: at 0 the pod is deleted under its batch, killed 30 s later, and the lease takes 15 s.
    scaling = Scaling(1, 1, cooldown_seconds=10)
    simulation = Simulation(
        [70.0], ServiceTime(100, spread=0), scaling, Cluster(1), VARIANTS[0], grace=30.0
    )
    outcome = simulation.simulate()
    assert (outcome.killed, outcome.lost, outcome.succeeded) == (MAX_ATTEMPTS, 1, 0)


def test_a_pod_that_drains_pays_for_its_gpu_until_it_is_done() -> None:
    scaling = Scaling(1, 1, cooldown_seconds=10)
    outcome = Simulation(
        [500.0], ServiceTime(500, spread=0), scaling, Cluster(1, 0), VARIANTS[0], until=2000
    ).simulate()
    assert len(outcome.hits) == 1
    first_pod_of_the_install = scaling.cooldown_seconds + scaling.polling_seconds
    assert 500 <= outcome.paid <= 500 + first_pod_of_the_install + 5
