"""Every device is held by a busy worker, and the release changes around them."""

import shutil
from pathlib import Path

import pytest
import yaml
from release import CHART, CPU, DEVICES, LONG, Release, Where, nap
from suite_namespace import NotYet, ProgramFailed, names, uids, wait_until

pytestmark = pytest.mark.cluster

COST = "controller.kubernetes.io/pod-deletion-cost"
PARTS = ("gateway", "keeper")


class Busy:
    """As many long predictions as there are devices, all running."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.ids = [release.submit(seconds=LONG) for _ in range(DEVICES)]
        self.where: dict[str, Where] = {id: release.running(id) for id in self.ids}
        self.pods = release.workers()

    def undisturbed(self) -> None:
        """The same pods run the same predictions in their first attempt, and nobody asked for fewer."""
        assert uids(self.release.workers()) == uids(self.pods)
        assert {id: self.release.where(id, attempt=1) for id in self.ids} == self.where
        assert self.release.deployment()["spec"]["replicas"] == DEVICES


@pytest.fixture(scope="module")
def busy(release: Release) -> Busy:
    return Busy(release)


def test_workers_that_run_at_the_same_time_hold_distinct_devices(busy: Busy) -> None:
    assert len({where.device for where in busy.where.values()}) == DEVICES
    assert {where.pod for where in busy.where.values()} == names(busy.pods)


def test_busy_pods_cost_more_to_delete_than_idle_ones(busy: Busy) -> None:
    def costs() -> list[int]:
        about = [pod["metadata"].get("annotations", {}) for pod in busy.release.workers()]
        return [int(annotations.get(COST, "0")) for annotations in about]

    wait_until("every busy pod is annotated", lambda: min(costs()) > 0, 60)


def test_pods_run_as_nobody_on_a_read_only_root(busy: Busy) -> None:
    namespace = busy.release.namespace
    for pod in namespace.pods(instance=busy.release.name):
        if pod["status"]["phase"] != "Running":
            continue
        name = pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            shell = ("-c", container["name"], "--", "sh", "-c")
            assert namespace.kubectl("exec", name, *shell, "id -u").strip() != "0", name
            with pytest.raises(ProgramFailed, match="Read-only file system"):
                namespace.kubectl("exec", name, *shell, "touch /x")


def test_pods_pass_the_restricted_pod_security_standard(busy: Busy) -> None:
    namespace = busy.release.namespace
    label = "pod-security.kubernetes.io/enforce=restricted"
    tried = namespace.run(
        "kubectl", "label", "namespace", namespace.name, label, "--overwrite", "--dry-run=server"
    )
    assert "violate" not in tried.stderr, tried.stderr


def test_an_upgrade_that_adds_a_model_disturbs_no_worker_of_another(busy: Busy) -> None:
    added = nap(gpu=CPU, scaling={"max": 1})
    busy.release.upgrade(models={"quick": added})
    assert busy.release.predict("quick", seconds=0)["device"] == ""
    busy.undisturbed()


def test_an_upgrade_and_a_rollback_of_the_charts_version_restart_no_pod(
    busy: Busy, tmp_path: Path
) -> None:
    release = busy.release
    wait_until("no pod is on its way out", lambda: not leaving(release))
    lasting = uids([pod for pod in release.namespace.pods(instance=release.name) if lasts(pod)])
    newer = tmp_path / "soloist"
    shutil.copytree(CHART, newer)
    chart = yaml.safe_load((newer / "Chart.yaml").read_text())
    chart["version"] = "99.0.0"
    (newer / "Chart.yaml").write_text(yaml.safe_dump(chart))
    release.upgrade(newer)
    assert lasting <= uids(release.namespace.pods(instance=release.name))
    busy.undisturbed()
    release.namespace.helm("rollback", release.name)
    release.settled()
    assert lasting <= uids(release.namespace.pods(instance=release.name))
    busy.undisturbed()


def leaving(release: Release) -> list[dict]:
    pods = release.namespace.pods(instance=release.name)
    return [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]


def lasts(pod: dict) -> bool:
    """Whether nothing but an upgrade would take it: `quick` goes to zero by itself."""
    return pod["metadata"]["labels"].get("soloist/model") != "quick"


def test_predictions_survive_the_death_of_gateway_and_keeper(busy: Busy) -> None:
    release, namespace = busy.release, busy.release.namespace
    before = {part: uids(namespace.pods(instance=release.name, component=part)) for part in PARTS}
    for part in PARTS:
        labels = f"app.kubernetes.io/instance={release.name},app.kubernetes.io/component={part}"
        namespace.kubectl("delete", "pods", "-l", labels, "--grace-period=0", "--force")
    for part in PARTS:
        wait_until(f"the {part} is new", lambda part=part: replaced(release, part, before[part]))
    release.settled()
    release.predict("quick", seconds=0)
    busy.undisturbed()


def replaced(release: Release, part: str, before: set[str]) -> bool:
    now = uids(release.namespace.pods(instance=release.name, component=part))
    if not now:
        raise NotYet(f"no {part} at all")
    return not now & before


def test_all_of_them_succeed_in_their_first_attempt(busy: Busy) -> None:
    for where in busy.where.values():
        busy.release.let_go(where.pod)
    outputs = busy.release.succeeded(busy.ids)
    assert {output["device"] for output in outputs} == {w.device for w in busy.where.values()}
