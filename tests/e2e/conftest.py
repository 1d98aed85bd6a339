"""Stacks of real processes for the fault tests, and their logs when a test fails."""

from collections.abc import Iterator

import pytest
from stack import Stack

from local.rabbitmq import RabbitMQ
from tests.support.external_tools import missing, newer_redis

RABBITMQ = pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    if not RabbitMQ.installed():
        missing("RabbitMQ is not installed: apt-get install rabbitmq-server")
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="module")
def module_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Gateway and keeper of a module's tests: on one Redis, unless the test says otherwise. One of the
    product's own, 6.2, is beneath `shared`; the machine's, 7 or newer, beneath all others.
    """
    kind = getattr(request, "param", "shared")
    rabbitmq = request.getfixturevalue("rabbitmq") if kind == "rabbitmq" else None
    program = None if kind == "shared" else newer_redis()
    folder = tmp_path_factory.mktemp(f"stack-{kind}")
    with Stack(folder, kind.removesuffix("-7"), rabbitmq, program) as stack:
        yield stack


@pytest.fixture
def stack(module_stack: Stack) -> Iterator[Stack]:
    """The module's stack as new; what a test started or broke is put right after it."""
    module_stack.clear()
    yield module_stack
    module_stack.clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.brokers("shared", "rabbitmq")` runs a test on a stack of each kind."""
    mark = metafunc.definition.get_closest_marker("brokers")
    if mark and "module_stack" in metafunc.fixturenames:
        kinds = [RABBITMQ if kind == "rabbitmq" else kind for kind in mark.args]
        metafunc.parametrize("module_stack", kinds, indirect=True, scope="module")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "brokers(*kinds): the brokers that a test runs on")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed:
        for stack in Stack.live:
            report.sections += stack.tails()
    return report
