"""The cluster that KUBECONFIG names: a namespace, pretend devices and a release for the whole session."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import manifests
import pytest
from release import DEVICES, RESOURCE, Release, api_image, suite_values
from suite_namespace import NotYet, SuiteNamespace, program, wait_until

from k8s.cluster import Cluster

HERE = Path(__file__).parent
ORDER = ("install", "busy", "scaling", "losses", "rollout", "variants", "uninstall")
"""The tests share one release, which they find installed, use, and at last take away."""
MINUTES = 40
NO_CLUSTER = "no cluster: KUBECONFIG is not set"
TOLD: list[BaseException] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After everything else and in the order of the story, whatever pytest-randomly has shuffled."""
    ours = [item for item in items if item.get_closest_marker("cluster")]
    others = [item for item in items if item not in set(ours)]
    for item in ours:
        item.add_marker(pytest.mark.timeout(MINUTES * 60))
        # Such as that a kubeconfig asks for no check of certificates.
        item.add_marker(pytest.mark.filterwarnings("default"))
    items[:] = others + sorted(ours, key=_place_in_story)


def _place_in_story(item: pytest.Item) -> tuple[int, int]:
    chapter = item.path.stem.removeprefix("test_cluster_")
    assert isinstance(item, pytest.Function)
    return ORDER.index(chapter), item.function.__code__.co_firstlineno


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    # A fixture of the session fails once, and every test that needs it tells of that again.
    if report.failed and call.excinfo and call.excinfo.value not in TOLD:
        TOLD.append(call.excinfo.value)
        for namespace in SuiteNamespace.live:
            report.sections += namespace.report()
    if report.skipped and NO_CLUSTER in report.longrepr[2]:
        # One line for all of them: pytest folds those of one namespace.
        report.longrepr = (str(HERE / "README.md"), None, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def namespaces() -> Iterator[tuple[SuiteNamespace, SuiteNamespace]]:
    """Two empty namespaces: one for the release, one for what it needs of root."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        pytest.skip(NO_CLUSTER)
    kubectl, helm = program("kubectl"), program("helm")
    assert kubectl, "kubectl is neither in .venv/helm4 nor on the PATH: make helm"
    assert helm, "helm is neither in .venv/helm4 nor on the PATH: make helm"
    name = f"soloist-test-{secrets.token_hex(3)}"
    ours, devices = Cluster(name), Cluster(f"{name}-devices")
    try:
        assert ours.serves_kind("keda.sh/v1alpha1", "scaledobjects"), "KEDA is not installed"
        with (
            SuiteNamespace(devices, kubectl, helm) as second,
            SuiteNamespace(ours, kubectl, helm) as first,
        ):
            yield first, second
    finally:
        ours.close()
        devices.close()


@pytest.fixture(scope="session")
def namespace(namespaces: tuple[SuiteNamespace, SuiteNamespace]) -> SuiteNamespace:
    """The release's namespace in a cluster with pretend devices, with the models to be mounted."""
    namespace, devices = namespaces
    devices.apply(*manifests.device_plugin(api_image(os.environ), RESOURCE, DEVICES))
    what = f"a node offers {DEVICES} devices of {RESOURCE}"
    wait_until(what, lambda: offered(namespace.cluster) >= DEVICES, 300)
    assert offered(namespace.cluster) == DEVICES, "this suite is for a cluster of one node"
    namespace.apply(manifests.models())
    return namespace


def offered(cluster: Cluster) -> int:
    """How many pretend devices the nodes have."""
    nodes = cluster.list_objects("/api/v1/nodes")
    return sum(int(node["status"].get("allocatable", {}).get(RESOURCE, 0)) for node in nodes)


@pytest.fixture(scope="session")
def installed(namespace: SuiteNamespace) -> Release:
    """The release of the session, just installed. The namespace's end is its end too."""
    release = Release(namespace, "suite", suite_values(persistent=namespace.stores()))
    release.install()
    return release


@pytest.fixture(scope="module")
def release(installed: Release) -> Iterator[Release]:
    """The release without what another module's tests left running."""
    yield installed
    try:
        installed.cancel_all()
    except (AssertionError, NotYet) as error:
        pytest.fail(f"the release does not answer any more: {error}")
