"""Workers and the ledger are killed, and nothing that was accepted is lost."""

import contextlib
import time

import pytest
from release import LONG, Release, Where
from suite_namespace import ProgramFailed, uids, wait_until

pytestmark = pytest.mark.cluster

PROMISED_SECONDS = 30.0
"""A worker that dies gives its predictions back within so long."""
LOOK_SECONDS = 5.0
"""What it takes to kill it and to see the next one, on a slow node."""
NEW_POD_SECONDS = 240.0


def taken_over(release: Release, id: str, victim: Where, seconds: float) -> Where:
    """Who runs a prediction in its second attempt."""

    def taker() -> Where | None:
        # the logs go on: before the second one says a word the last line is the victim's
        found = release.where(id, attempt=2)
        return None if found == victim else found

    found = wait_until(f"{id} runs again", taker, seconds, every=0.5)
    assert found
    return found


def test_a_killed_worker_process_gives_its_prediction_to_an_idle_one_within_the_promised_time(
    release: Release,
) -> None:
    long, short = (release.submit(seconds=LONG) for _ in range(2))
    victim, heir = release.running(long), release.running(short)
    release.let_go(heir.pod)
    release.succeeded([short])
    release.namespace.exec(victim.pod, "sh", "-c", f"kill -9 {victim.pid}")
    killed = time.monotonic()
    taker = taken_over(release, long, victim, PROMISED_SECONDS + LOOK_SECONDS)
    print(f"taken over after {time.monotonic() - killed:.1f} s by {taker}")
    release.let_go(taker.pod)
    release.succeeded([long], attempts=2)


def test_a_pod_deleted_by_force_gives_its_prediction_back(release: Release) -> None:
    id = release.submit(seconds=LONG)
    victim = release.running(id)
    force = ("--grace-period=0", "--force")
    release.namespace.kubectl("delete", "pod", victim.pod, *force)
    taker = taken_over(release, id, victim, NEW_POD_SECONDS)
    assert taker.pod != victim.pod
    release.let_go(taker.pod)
    release.succeeded([id], attempts=2)


def test_nothing_accepted_is_lost_when_the_ledger_is_killed_under_load(release: Release) -> None:
    ids = [release.submit(seconds=3) for _ in range(20)]
    release.running(ids[0])
    kill_ledger(release)
    ids += [release.submit(seconds=1) for _ in range(10)]
    release.settled()
    # What ran while the ledger was away may have been started a second time.
    outputs = release.succeeded(ids, 900, attempts=2)
    assert len(outputs) == len(ids)


def kill_ledger(release: Release) -> None:
    """Its pod, where its data lies on a volume that outlives the pod; else its process."""
    pod = f"{release.name}-ledger-0"
    namespace = release.namespace
    before = namespace.get("pods", pod, "v1")
    if namespace.stores():
        # Not by force: two of them would write to the volume for a moment.
        namespace.kubectl("delete", "pod", pod, "--grace-period=1")
    else:
        with contextlib.suppress(ProgramFailed):  # it hangs up, as it is told
            namespace.exec(pod, "redis-cli", "shutdown", "nosave", "now", "force")

    def restarted() -> bool:
        now = namespace.get("pods", pod, "v1")
        return uids([now]) != uids([before]) or restarts(now) > restarts(before)

    wait_until("the ledger starts anew", restarted, 120)


def restarts(pod: dict) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
