"""The scaling simulation as a whole: nothing gets lost in it, and what it says of the ways to scale."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from rich.progress import Progress

from bench.scaling import comparison, tables
from bench.scaling.scenarios import INSTANT, SCENARIOS, VARIANTS, Scenario
from planner.autoscaler import Scaling, with_busy
from planner.load import HOUR, Load, ServiceTime
from planner.outcome import Outcome
from planner.pods import Keeper
from planner.search import Requirements, Search
from planner.simulation import MAX_ATTEMPTS, OURS, Cluster, Simulation, Variant

ROOT = Path(__file__).parents[2]
LONG = Scenario(
    "long",
    "long predictions in bursts",
    Load(80, "bursts", 8),
    ServiceTime(300, 60, 4, 0.8, 1800),
    Cluster(16, 90),
)
SEEDS = range(6)


def simulate(load: Load, service: ServiceTime, scaling: Scaling, **more: object) -> Outcome:
    arrivals = load.arrivals(Random(1))
    known = {"cluster": Cluster(scaling.max, 60), "until": load.hours * HOUR}
    return Simulation(arrivals, service, scaling, **(known | more)).run()  # type: ignore[arg-type]


# --- what must hold in every run --------------------------------------------------------------------


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
    ).run()
    assert one_at_a_time.waits == [0, 0]
    together = Simulation(
        [100.0, 101.0, 102.0], ServiceTime(5, 1, 8, 0), Scaling(8), Cluster(1)
    ).run()
    assert together.waits == [0, 4, 3]
    assert together.batches == [(100, 105), (105, 111)]


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    first, again, other = (LONG.run(OURS, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_at_zero_one_prediction_waits_for_a_poll_and_a_cold_start() -> None:
    scaling = Scaling(1, 4, initial_cooldown_seconds=0)
    outcome = Simulation([1000.0], ServiceTime(5), scaling, Cluster(4, 60)).run()
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
    outcome = simulation.run()
    assert (outcome.killed, outcome.lost, outcome.succeeded) == (MAX_ATTEMPTS, 1, 0)


def test_a_pod_that_drains_pays_for_its_gpu_until_it_is_done() -> None:
    scaling = Scaling(1, 1, cooldown_seconds=10)
    outcome = Simulation(
        [500.0], ServiceTime(500, spread=0), scaling, Cluster(1, 0), VARIANTS[0], until=2000
    ).run()
    assert len(outcome.hits) == 1
    first_pod_of_the_install = scaling.cooldown_seconds + scaling.polling_seconds
    assert 500 <= outcome.paid <= 500 + first_pod_of_the_install + 5


# --- what it says -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    return {
        variant.name: [scenario.run(variant, seed) for scenario in scenarios() for seed in SEEDS]
        for variant in VARIANTS
    }


def scenarios() -> list[Scenario]:
    day = next(scenario for scenario in SCENARIOS if scenario.name == "bursts")
    return [LONG, replace(day, load=replace(day.load, hours=8))]


def hits(outcomes: list[Outcome]) -> int:
    return sum(len(outcome.hits) for outcome in outcomes)


def test_without_any_one_part_scale_in_chooses_busy_pods_and_with_all_none(
    outcomes: dict[str, list[Outcome]],
) -> None:
    for variant in VARIANTS[:-2]:
        assert hits(outcomes[variant.name]) > 50, variant.name
    assert hits(outcomes[INSTANT.name]) == 0


def test_what_the_keepers_delay_leaves_is_little_and_kills_nobody(
    outcomes: dict[str, list[Outcome]],
) -> None:
    ours, without = outcomes[OURS.name], outcomes[VARIANTS[3].name]
    assert hits(ours) < hits(without) / 3
    for found in outcomes.values():
        assert sum(outcome.killed + outcome.lost for outcome in found) == 0


def test_a_slower_keeper_lets_more_busy_pods_be_chosen() -> None:
    slow = Variant("slow", with_busy, Keeper(look_seconds=20.0))
    (_, bursts) = scenarios()
    assert hits([bursts.run(slow, seed) for seed in SEEDS]) > hits(
        [bursts.run(OURS, seed) for seed in SEEDS]
    )


def test_the_tables_show_every_way_to_scale_and_name_what_must_not_be() -> None:
    quick = replace(LONG, load=Load(80, "bursts", 2))
    with Progress(disable=True) as progress:
        results = tables.measure(progress, 2, [quick])
    assert results["failures"] == []
    text = tables.render(results)
    for variant in VARIANTS:
        assert text.count(f"| {variant.name} |") == 2
    results["rows"][-1] |= {"hits": 3, "killed": 1}
    assert len(tables.failures(results["rows"])) == 2


def test_the_table_in_the_docs_is_one_of_ours() -> None:
    text = (ROOT / "docs/scaling.md").read_text()
    for variant in VARIANTS:
        assert f"| {variant.name} |" in text
    for scenario in SCENARIOS:
        assert scenario.text in text


# --- the picture ------------------------------------------------------------------------------------


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        comparison.compare(tmp_path / name)
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    assert b"<dc:date>" not in drawn
    assert len(drawn) < 300_000
    assert b"busy pods chosen: 0" in drawn


# --- the search -------------------------------------------------------------------------------------


def required(per_hour: float, service: ServiceTime, gpus: int, wait: float) -> Requirements:
    return Requirements(per_hour, "steady", service, Cluster(gpus, 60), wait)


def test_few_predictions_that_may_wait_scale_to_zero_and_others_keep_a_replica() -> None:
    patient = Search(required(6, ServiceTime(30), 2, wait=120)).find_best()
    assert patient.scaling.min == 0
    assert patient.p95_wait <= 120
    hasty = Search(required(6, ServiceTime(30), 2, wait=20)).find_best()
    assert hasty.scaling.min >= 1
    assert hasty.p95_wait <= 20
    assert patient.outcome.paid < hasty.outcome.paid


def test_the_search_tells_how_many_gpus_a_load_needs() -> None:
    small = required(600, ServiceTime(60), 11, wait=30)
    assert small.least_gpus == 11  # 10 busy all the time, and not quite full
    search = Search(small.with_gpus(8))
    needed = search.gpus_needed(Scaling(1, 8), 40)
    assert needed is not None
    assert 11 <= needed <= 20
    assert search.gpus_needed(Scaling(1, 8), 9) is None
