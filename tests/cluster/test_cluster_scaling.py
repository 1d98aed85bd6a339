"""From zero to all devices and back, and who goes when fewer are needed."""

import random

import pytest
from history import PodHistory
from release import DEVICES, LONG, Release
from suite_namespace import names

pytestmark = pytest.mark.cluster

PREDICTIONS = 45
STALE_SECONDS = 5.0
"""The keeper and the ReplicaSet need a moment to learn that a worker is busy."""


def test_scale_in_takes_idle_workers_and_no_busy_one(release: Release) -> None:
    ids = [release.submit(seconds=LONG) for _ in range(DEVICES)]
    where = {id: release.running(id) for id in ids}
    with PodHistory(lambda: pods(release)) as history:
        for count in reversed(range(1, DEVICES)):
            done, *rest = ids[len(ids) - count - 1 :]
            release.let_go(where[done].pod)
            release.succeeded([done])
            # With all that is left busy, one worker is too many: it must be the idle one.
            left = release.ready_workers(count, seconds=400)
            assert names(left) == {where[id].pod for id in rest}
            assert {id: release.where(id, attempt=1) for id in rest} == {
                id: where[id] for id in rest
            }
        release.let_go(where[ids[-1]].pod)
        release.succeeded(ids)
        release.no_workers()
    assert [pod for pod, _ in sorted(history.deletions, key=lambda d: d[1])] == [
        where[id].pod for id in ids
    ]


def test_load_brings_workers_and_takes_them_again_and_nothing_runs_twice(release: Release) -> None:
    release.no_workers()
    lengths = [random.uniform(0.5, 15) for _ in range(PREDICTIONS)]
    with PodHistory(lambda: pods(release)) as history:
        ids = [release.submit(seconds=seconds) for seconds in lengths]
        outputs = release.succeeded(ids, 1200)
        release.no_workers()
    assert history.most_ready == DEVICES
    for pod, deleted_at in history.deletions:
        for output in outputs:
            began, ended = output["started_at"], output["ended_at"]
            hit = output["pod"] == pod and began + STALE_SECONDS < deleted_at < ended - 1
            assert not hit, f"{pod} was {deleted_at - began:.1f} s into a prediction"


def pods(release: Release) -> list[dict]:
    return release.namespace.pods(instance=release.name, component="worker", model="nap")
