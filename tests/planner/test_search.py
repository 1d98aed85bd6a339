"""The search behind `soloist plan`: it keeps the wait, and knows how many GPUs a load needs."""

import pytest

from planner.autoscaler import Scaling
from planner.load import ServiceTime
from planner.search import Requirements, Search
from planner.simulation import Cluster


def required(per_hour: float, service: ServiceTime, gpus: int, wait: float) -> Requirements:
    return Requirements(per_hour, "steady", service, Cluster(gpus, 60), wait)


@pytest.mark.slow
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
