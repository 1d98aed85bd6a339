"""Storms of fixed seeds: whatever happens to whom, no promise of docs/guarantees.md is broken."""

from pathlib import Path

import pytest

from local.rabbitmq import RabbitMQ
from tests.storm.storm import run_storm
from tests.support.external_tools import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Seeds under which nearly every kind of fault happens in this time.
SECONDS = 45
GAP_SECONDS = 1.5


@pytest.mark.parametrize(
    ("broker", "seed"),
    [("redis", 85), pytest.param("rabbitmq", 104, marks=pytest.mark.rabbitmq)],
)
def test_a_storm_breaks_no_promise(tmp_path: Path, broker: str, seed: int) -> None:
    if broker == "rabbitmq" and not RabbitMQ.installed():
        missing("RabbitMQ is not installed: apt-get install rabbitmq-server")
    outcome = run_storm(tmp_path, broker, seed, SECONDS, gap=GAP_SECONDS)
    row = outcome.row()
    print(row)
    assert not outcome.violations, outcome.complaint
    # It was a storm, and somebody was out in it.
    assert row["faults"] >= 12
    assert row["accepted"] > 100
    assert row["refused"] + row["unknown"] + row["unanswered"] > 0
    assert len(outcome.recovery) > 10
