"""Both Helms, or no tests of the chart; every scenario is rendered once, by two threads."""

import pytest

from tests.charts.rendering import HELM, render_all
from tests.charts.renders import forget_old_renders
from tests.charts.scenarios import SCENARIOS
from tests.support.external_tools import missing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `helm` gets both versions."""
    if "helm" in metafunc.fixturenames:
        metafunc.parametrize("helm", HELM)


@pytest.fixture(scope="session", autouse=True)
def helms() -> None:
    forget_old_renders()
    if not all(path.exists() for path in HELM.values()):
        missing("Helm is not there: make helm")


@pytest.fixture(scope="session")
def rendered(helms: None) -> None:
    """Nobody waits for Helm any more."""
    render_all((values, {"helm": helm}) for values in SCENARIOS.values() for helm in HELM)
