"""The predictions that arrive, and how long a batch of them takes."""

from random import Random

import pytest

from planner.load import HOUR, Load, ServiceTime


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
