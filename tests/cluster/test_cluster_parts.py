"""The suite's own parts: how it waits, what it gives to the chart, what it remembers of pods."""

import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import manifests
import pytest
import yaml
from history import PodHistory, deleted_at
from release import (
    CHART,
    CPU,
    DEVICES,
    RESOURCE,
    api_image,
    images,
    nap,
    rolled_out,
    split_image,
    suite_values,
)
from suite_namespace import NotYet, ProgramFailed, program, wait_until

# --- waiting, values, manifests -------------------------------------------------------------------


def test_waiting_ends_with_the_first_true_value_and_names_what_was_missing() -> None:
    answers: Iterator[Any] = iter([0, "", "here"])
    assert wait_until("it is here", lambda: next(answers), 5, every=0.001) == "here"
    with pytest.raises(AssertionError, match=r"not within 0.01 s: a pod is ready \(it did not"):
        wait_until("a pod is ready", lambda: False, 0.01, every=0.001)


def test_waiting_goes_on_while_nothing_answers_and_tells_why_at_the_end() -> None:
    answers: Iterator[Any] = iter([NotYet("503"), ProgramFailed("timeout"), "here"])

    def look() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until("it is here", look, 5, every=0.001) == "here"

    def refused() -> None:
        raise ProgramFailed("kubectl get: refused")

    with pytest.raises(AssertionError, match="ProgramFailed: kubectl get: refused"):
        wait_until("it is here", refused, 0.01, every=0.001)


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("soloist-api", ("soloist-api", "", "")),
        ("localhost:5000/ml/api:1.2", ("localhost:5000/ml/api", "1.2", "")),
        ("host:5000/api@sha256:ab", ("host:5000/api", "", "sha256:ab")),
    ],
)
def test_an_image_is_told_to_the_chart_in_parts(image: str, parts: tuple[str, ...]) -> None:
    assert tuple(split_image(image).values()) == parts


def test_images_come_from_the_environment_or_from_the_chart() -> None:
    assert images({}) == {}
    given = images({"CLUSTER_API_IMAGE": "a:1", "CLUSTER_PAUSE_IMAGE": "p:2"})
    assert given == {"api": {"repository": "a", "tag": "1", "digest": ""}, "pause": "p:2"}
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert api_image({}) == f"soloist-api:{version}"
    assert api_image({"CLUSTER_API_IMAGE": "a:1"}) == "a:1"


def rendered(values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """The chart's objects by kind and name."""
    helm = program("helm")
    if helm is None:
        pytest.skip("helm is neither in .venv/helm4 nor on the PATH: make helm")
    done = subprocess.run(
        [helm, "template", "suite", CHART, "--namespace", "ml", "-f", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [thing for thing in yaml.safe_load_all(done.stdout) if thing]
    return {(thing["kind"], thing["metadata"]["name"]): thing for thing in found}


@pytest.mark.parametrize("persistent", [True, False])
def test_the_chart_takes_the_suites_values(persistent: bool) -> None:
    things = rendered(suite_values(persistent=persistent))
    pod = things["Deployment", "suite-worker-nap"]["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    assert worker["resources"]["limits"][RESOURCE] == "1"
    assert {"name": "PYTHONPATH", "value": "/suite"} in worker["env"]
    mounts = {mount["name"]: mount["mountPath"] for mount in worker["volumeMounts"]}
    assert (mounts["suite"], mounts["shm"]) == ("/suite", "/dev/shm")  # noqa: S108
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["suite"]["configMap"]["name"] == manifests.MODELS
    assert "initContainers" not in pod
    scaled = things["ScaledObject", "suite-worker-nap"]["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, DEVICES)
    claims = things["StatefulSet", "suite-ledger"]["spec"].get("volumeClaimTemplates", [])
    assert len(claims) == persistent
    assert ("Service", "suite-gateway") in things


def test_the_suites_upgrades_change_the_pods_that_they_should() -> None:
    values = suite_values(persistent=True)
    before = rendered(values)
    values["models"]["quick"] = nap(gpu=CPU, scaling={"max": 1})
    added = rendered(values)
    worker = ("Deployment", "suite-worker-nap")
    assert added[worker] == before[worker]
    assert RESOURCE not in json.dumps(added["Deployment", "suite-worker-quick"])
    values["models"]["nap"] = nap(podAnnotations={"suite": "new"})
    assert rendered(values)[worker]["spec"]["template"] != before[worker]["spec"]["template"]
    values["broker"]["mode"] = "bundled"
    assert ("StatefulSet", "suite-broker") in rendered(values)


def test_a_controller_is_rolled_out_when_all_its_pods_are_new_and_available() -> None:
    done = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    thing = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": done}
    assert rolled_out(thing)
    for name, value in (("observedGeneration", 1), ("replicas", 3), ("availableReplicas", 1)):
        assert not rolled_out({**thing, "status": {**done, name: value}})
    assert rolled_out({**thing, "spec": {"replicas": 0}, "status": {"observedGeneration": 2}})


# --- pods -----------------------------------------------------------------------------------------


def pod(name: str, uid: str, ready: bool = True, **about: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"metadata": {"name": name, "uid": uid, **about}, "status": status}


def test_a_deletion_dates_from_when_it_was_asked_for() -> None:
    leaving = pod(
        "a", "1", deletionTimestamp="1970-01-01T00:10:00Z", deletionGracePeriodSeconds=500
    )
    assert deleted_at(leaving) == 100
    assert deleted_at(pod("a", "1")) is None


def test_the_history_knows_who_was_deleted_and_who_just_vanished() -> None:
    history = PodHistory(list)
    history.note([pod("a", "1"), pod("b", "2"), pod("c", "3", ready=False)], 10)
    leaving = pod("b", "2", deletionTimestamp="1970-01-01T00:00:42Z", deletionGracePeriodSeconds=30)
    history.note([leaving, pod("c", "3")], 20)
    history.note([pod("c", "3")], 30)
    assert sorted(history.deletions) == [("a", 20), ("b", 12)]
    assert (history.most_ready, history.looks) == (2, 3)


def test_the_history_looks_until_the_end_of_its_block_whatever_happens() -> None:
    enough, looks = threading.Event(), iter(range(100))

    def look() -> list[dict[str, Any]]:
        if next(looks) == 0:
            raise NotYet("503")
        enough.set()
        return [pod("a", "1")]

    with PodHistory(look) as history:
        assert enough.wait(20)
    assert history.pods["1"].name == "a"
    assert not history._thread.is_alive()


def test_a_history_that_lost_its_way_says_so() -> None:
    looked = threading.Event()

    def look() -> list[dict[str, Any]]:
        looked.set()
        return [{}]

    with pytest.raises(KeyError, match="metadata"), PodHistory(look):
        assert looked.wait(20)
