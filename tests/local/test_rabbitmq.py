"""A RabbitMQ of a measurement or a test: it keeps what it confirmed, it freezes, it forgets, and leaves nothing behind."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import kombu
import psutil
import pytest

from local.rabbitmq import RabbitMQ
from local.server import Server


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    if not RabbitMQ.installed():
        pytest.skip("RabbitMQ is not installed")
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


def put(broker: Server, name: str) -> None:
    with kombu.Connection(broker.url, transport_options={"confirm_publish": True}) as connection:
        queue = connection.SimpleQueue(name)
        queue.put({"kept": True})
        queue.close()


def size(broker: Server, name: str) -> int:
    with kombu.Connection(broker.url) as connection:
        queue = connection.SimpleQueue(name)
        with contextlib.closing(queue):
            return int(queue.qsize())


def family(broker: Server) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in broker.pids]
    return [one for root in roots for one in (root, *root.children(recursive=True))]


def gone(processes: list[psutil.Process]) -> bool:
    psutil.wait_procs(processes, timeout=20)
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_rabbitmq_keeps_confirmed_messages_over_a_stop_and_a_crash(rabbitmq: RabbitMQ) -> None:
    rabbitmq.start()
    put(rabbitmq, "kept")
    rabbitmq.stop()
    rabbitmq.start()
    assert size(rabbitmq, "kept") == 1
    rabbitmq.kill()
    rabbitmq.start()
    assert size(rabbitmq, "kept") == 1


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_rabbitmq_freezes_and_goes_on(rabbitmq: RabbitMQ) -> None:
    rabbitmq.start()
    put(rabbitmq, "frozen")
    rabbitmq.pause()
    with pytest.raises(OSError, match="timed out"):
        kombu.Connection(rabbitmq.url, connect_timeout=0.5).connect()
    rabbitmq.resume()
    assert size(rabbitmq, "frozen") == 1


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_rabbitmq_forgets_when_wiped(rabbitmq: RabbitMQ) -> None:
    rabbitmq.start()
    put(rabbitmq, "lost")
    rabbitmq.wipe()
    assert size(rabbitmq, "lost") == 0


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_rabbitmq_stops_even_when_paused_and_leaves_no_process(rabbitmq: RabbitMQ) -> None:
    rabbitmq.start()
    processes = family(rabbitmq)
    assert {"beam.smp", "epmd"} <= {one.name() for one in processes}
    rabbitmq.pause()
    rabbitmq.stop()
    assert gone(processes)


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_two_nodes_do_not_know_of_each_other(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    rabbitmq.start()
    with RabbitMQ(tmp_path / "other") as other:
        put(other, "mine")
        assert size(rabbitmq, "mine") == 0
