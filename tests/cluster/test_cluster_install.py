"""What a first install does, and that it serves."""

import subprocess
import sys
import time

import pytest
from release import INITIAL_COOLDOWN, Release
from suite_namespace import PROJECT, wait_until

pytestmark = pytest.mark.cluster


def k8s(release: Release, command: str, *more: str) -> str:
    """The output of `python -m k8s ...`, which must exit with 0."""
    about = ["--namespace", release.namespace.name, "--release", release.name]
    call = [sys.executable, "-m", "k8s", command, *about, *more]
    done = subprocess.run(call, cwd=PROJECT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_at_min_0_one_worker_starts_and_keda_leaves_it_for_the_initial_cooldown(
    release: Release,
) -> None:
    (first,) = release.ready_workers(1)
    wait_until("the first worker goes", lambda: not release.workers(), 600, every=0.5)
    stayed = time.monotonic() - release.installed_at
    # The ScaledObject was made at some moment of the install.
    assert stayed > INITIAL_COOLDOWN - release.install_seconds - 5
    restarts = [status["restartCount"] for status in first["status"]["containerStatuses"]]
    assert restarts == [0]


def test_helm_test_predicts_from_zero(release: Release) -> None:
    told = release.namespace.helm("test", release.name, "--timeout", "15m", "--logs")
    assert "succeeded" in told.lower()


def test_the_smoke_test_predicts(release: Release) -> None:
    told = k8s(release, "smoke", "--model", "nap", "--input", '{"seconds": 0}')
    assert "succeeded" in told


def test_the_check_finds_no_error(release: Release) -> None:
    k8s(release, "check")


def test_a_prediction_says_which_pod_and_device_ran_it(release: Release) -> None:
    output = release.predict(seconds=0)
    assert output["device"].startswith("pretend-")
    assert output["pod"].startswith(f"{release.name}-worker-nap-")
    assert output["pid"] != 1, "as PID 1 a worker would miss signals"
