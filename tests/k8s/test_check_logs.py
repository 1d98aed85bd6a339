"""Why a container ended: `python -m k8s check` finds its last words wherever the kubelet still has them."""

from copy import deepcopy
from itertools import product
from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster, Object
from release_objects import add_pod, ended

POD = "soloist-worker-spam-1"
LAST, BEFORE, NOW = "containerd://last", "containerd://before", "containerd://now"
SENTENCE = "soloist worker: model 'spam': the hub has no such model (a/b)"


def pod_line(check: Run) -> str:
    return check().line(f"pod {POD}")


def terminated(run: str, code: int = 78, **more: Any) -> Object:
    return {"terminated": {"exitCode": code, "reason": "Error", "containerID": run, **more}}


STATES: dict[str, dict[str, Any]] = {
    "just ended for the first time": {"state": terminated(LAST)},
    "just ended again": {"state": terminated(LAST), "lastState": terminated(BEFORE)},
    "waits for its next run": {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": terminated(LAST),
    },
    "runs again": {"state": {"running": {"containerID": NOW}}, "lastState": terminated(LAST)},
}
KINDS = ("initContainerStatuses", "containerStatuses")
COMBINATIONS = list(product(KINDS, STATES, (200, 400)))


def add(cluster: FakeCluster, kind: str, state: str) -> None:
    container = {"name": "fetch", "ready": False, "restartCount": 1, **deepcopy(STATES[state])}
    add_pod(cluster, **{kind: [container]})


@pytest.mark.parametrize(("kind", "state", "gone"), COMBINATIONS)
def test_the_run_that_ended_says_why_whatever_the_kubelet_has_thrown_away(
    installed: FakeCluster, check: Run, kind: str, state: str, gone: int
) -> None:
    """Of an init container only the latest run is kept, so the one before is asked for in vain."""
    add(installed, kind, state)
    installed.gone = gone
    installed.logs = {LAST: f"one\n{SENTENCE}\n", NOW: "another run begins\n"}

    assert pod_line(check) == (
        f"error pod {POD}: refused to start: {SENTENCE}; mend that; it is started again by itself"
    )


@pytest.mark.parametrize(("kind", "state", "gone"), COMBINATIONS)
def test_without_any_log_the_status_has_the_last_word(
    installed: FakeCluster, check: Run, kind: str, state: str, gone: int
) -> None:
    add(installed, kind, state)
    installed.gone = gone
    installed.logs = {NOW: "another run begins\n"}

    line = pod_line(check)
    assert line.startswith(f"error pod {POD}: refused to start: (its log ")
    assert "another run" not in line
    (container,) = [
        each
        for found in installed.objects.values()
        for each in (found.get("status") or {}).get(kind, [])
        if each["name"] == "fetch"
    ]
    side = "lastState" if "terminated" not in container["state"] else "state"
    container[side]["terminated"]["message"] = f"one\n{SENTENCE}\n"
    assert f"refused to start: {SENTENCE};" in pod_line(check)


def test_a_run_that_has_no_id_any_more_is_said_by_its_reason(
    installed: FakeCluster, check: Run
) -> None:
    add_pod(installed, containerStatuses=[ended(137, "ContainerStatusUnknown", containerID="")])
    status = installed.objects[f"/api/v1/namespaces/ml/pods/{POD}"]["status"]
    status["containerStatuses"][0]["lastState"]["terminated"]["containerID"] = ""

    assert "worker ends with exit code 137 (ContainerStatusUnknown): (its log" in pod_line(check)


def test_the_termination_message_spares_the_log(installed: FakeCluster, check: Run) -> None:
    add_pod(
        installed, containerStatuses=[ended(78, lastState=terminated(LAST, message="no ledger"))]
    )

    assert "refused to start: no ledger" in pod_line(check)
    assert not any("/log" in target for _, target in installed.requests)


def test_a_message_in_json_is_read(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, initContainerStatuses=[ended(78, name="fetch")])
    installed.logs[LAST] = '{"message": "no such model"}\n'

    assert "refused to start: no such model" in pod_line(check)


def test_a_crash_loop_shows_the_last_line(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(1)])
    installed.logs[LAST] = 'one\n{"level": "error", "message": "lost", "error": "sticky"}\n'

    line = pod_line(check)
    assert "worker ends with exit code 1: lost: sticky; kubectl -n ml logs" in line
    assert line.endswith(f"logs {POD} -c worker")


def test_the_log_of_a_run_before_is_asked_for_as_such(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(1, ready=True, state={"running": {}})])

    assert pod_line(check).endswith(f"kubectl -n ml logs {POD} -c worker --previous")


def test_a_log_that_may_not_be_read_is_said(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(139, "SIGSEGV")])
    installed.forbidden.append("/log$")

    line = pod_line(check)
    assert "worker ends with exit code 139 (SIGSEGV): (its log cannot be read: User" in line


def test_an_empty_log_is_no_last_word(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(1)])
    installed.logs[LAST] = "\n"

    assert "ends with exit code 1: (its log is empty)" in pod_line(check)
