"""Workers are replaced while every device is taken."""

import pytest
from release import DEVICES, LONG, Release, rolled_out
from suite_namespace import PASSING, names, wait_until

pytestmark = pytest.mark.cluster


def test_a_rollout_with_every_device_taken_ends_and_no_prediction_runs_twice(
    release: Release,
) -> None:
    running = [release.submit(seconds=LONG) for _ in range(DEVICES)]
    where = {id: release.running(id) for id in running}
    # These keep all devices wanted until the end.
    waiting = [release.submit(seconds=5) for _ in range(2 * DEVICES)]
    before = names(release.workers())
    release.upgrade(models={"nap": {"podAnnotations": {"suite": "new"}}})

    def leaving() -> set[str]:
        return before - names(release.workers())

    wait_until("the first busy worker is asked to go", leaving)
    for id in running:
        assert release.where(id, attempt=1) == where[id], "an old worker did not finish"

    def over() -> bool:
        for pod in leaving():
            try:
                release.let_go(pod)
            except PASSING:
                continue  # it has gone
        return not before & names(release.workers()) and rolled_out(release.deployment())

    wait_until("the rollout is over", over, 1200, every=2)
    release.succeeded([*running, *waiting], 600)
    assert release.predict(seconds=0)["pod"] not in before
