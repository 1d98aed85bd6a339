"""The ways to scale beside each other: what the tables and the picture say of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress

from bench.scaling import comparison, tables
from bench.scaling.scenarios import INSTANT, SCENARIOS, VARIANTS, Scenario
from planner.autoscaler import with_busy
from planner.load import Load
from planner.outcome import Outcome
from planner.pods import Keeper
from planner.simulation import OURS, Variant

ROOT = Path(__file__).parents[2]


LONG = replace(
    next(scenario for scenario in SCENARIOS if scenario.name == "long"),
    load=Load(80, "bursts", 8),
)


SEEDS = range(6)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    return {
        variant.name: [
            scenario.simulate(variant, seed) for scenario in scenarios() for seed in SEEDS
        ]
        for variant in VARIANTS
    }


def scenarios() -> list[Scenario]:
    day = next(scenario for scenario in SCENARIOS if scenario.name == "bursts")
    return [LONG, replace(day, load=replace(day.load, hours=8))]


def hits(outcomes: list[Outcome]) -> int:
    return sum(len(outcome.hits) for outcome in outcomes)


@pytest.mark.slow
def test_without_any_one_part_scale_in_chooses_busy_pods_and_with_all_none(
    outcomes: dict[str, list[Outcome]],
) -> None:
    for variant in VARIANTS[:-2]:
        assert hits(outcomes[variant.name]) > 50, variant.name
    assert hits(outcomes[INSTANT.name]) == 0


@pytest.mark.slow
def test_what_the_keepers_delay_leaves_is_little_and_kills_nobody(
    outcomes: dict[str, list[Outcome]],
) -> None:
    ours, without = outcomes[OURS.name], outcomes[VARIANTS[3].name]
    assert hits(ours) < hits(without) / 3
    for found in outcomes.values():
        assert sum(outcome.killed + outcome.lost for outcome in found) == 0


def test_a_slower_keeper_lets_more_busy_pods_be_chosen() -> None:
    slow = Variant("slow", with_busy, Keeper(round_seconds=20.0))
    (_, bursts) = scenarios()
    assert hits([bursts.simulate(slow, seed) for seed in SEEDS]) > hits(
        [bursts.simulate(OURS, seed) for seed in SEEDS]
    )


def test_the_tables_show_every_way_to_scale_and_name_what_must_not_be() -> None:
    quick = replace(LONG, load=Load(80, "bursts", 2))
    with Progress(disable=True) as progress:
        results = tables.measure_scaling(progress, 2, [quick])
    assert results["failures"] == []
    text = tables.render_scaling(results)
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


@pytest.mark.slow
def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        comparison.compare(tmp_path / name)
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    assert b"<dc:date>" not in drawn
    assert len(drawn) < 300_000
    assert b"busy pods chosen: 0" in drawn
