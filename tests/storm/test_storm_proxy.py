"""What the state of a link does to the connections through it."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.storm.proxy import DELAY_SECONDS, LinkState, Network
from tests.support.waiting import until


class EchoServer:
    """Sends back what it gets, and counts who is there."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    self.received += data
                    connection.sendall(data)
            except OSError:
                return


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    yield echo
    echo.listener.close()


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as opened:
        yield opened


@pytest.fixture
def connect(server: EchoServer, network: Network) -> Iterator[Callable[[], socket.socket]]:
    """Connections through the link `link`."""
    port = network.link("link", server.port)
    opened: list[socket.socket] = []

    def new() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), 5)
        connection.settimeout(5)
        opened.append(connection)
        return connection

    yield new
    for connection in opened:
        connection.close()


def says(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return hears(connection, len(data))


def hears(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def silent(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        return connection.recv(1) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)


def test_a_clear_link_carries_everything_and_the_end_of_it(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    connection = connect()
    data = bytes(range(256)) * 2000
    threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
    assert hears(connection, len(data)) == data
    assert network.connections() == {"link": 1}
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    until("it is gone", lambda: network.connections() == {"link": 0}, 5)


def test_a_cut_resets_those_who_are_there_and_those_who_come(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.set_state("link", LinkState.CUT)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    network.set_state("link", LinkState.CLEAR)
    assert says(connect(), b"after") == b"after"


def test_a_close_ends_in_good_order(connect: Callable[[], socket.socket], network: Network) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.set_state("link", LinkState.CLOSED)
    assert connection.recv(1) == b""


@pytest.mark.parametrize("state", [LinkState.SILENT_UP, LinkState.SILENT_DOWN, LinkState.BLACKHOLE])
def test_what_is_held_arrives_late_and_whole(
    connect: Callable[[], socket.socket], network: Network, server: EchoServer, state: LinkState
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.set_state("link", state)
    connection.sendall(b"held")
    assert silent(connection)
    assert (b"held" in server.received) is (state is LinkState.SILENT_DOWN)
    network.set_state("link", LinkState.CLEAR)
    assert hears(connection, 4) == b"held"


def test_what_is_held_is_never_delivered_after_a_reset(
    connect: Callable[[], socket.socket], network: Network, server: EchoServer
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.set_state("link", LinkState.BLACKHOLE)
    connection.sendall(b"held")
    assert silent(connection)
    network.set_state("link", LinkState.CLEAR, reset=True)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert says(connect(), b"after") == b"after"
    assert server.received == b"beforeafter"


def test_a_blackhole_takes_whoever_comes_and_says_nothing(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    network.set_state("link", LinkState.BLACKHOLE)
    connection = connect()
    connection.sendall(b"hello")
    assert silent(connection)
    network.set_state("link", LinkState.CLEAR)
    assert hears(connection, 5) == b"hello"


def test_a_delay_delays_and_a_trickle_comes_in_small_pieces(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    connection = connect()
    network.set_state("link", LinkState.DELAY)
    connection.settimeout(DELAY_SECONDS)
    connection.sendall(b"late")
    with pytest.raises(TimeoutError):
        connection.recv(4)
    connection.settimeout(5)
    assert hears(connection, 4) == b"late"
    network.set_state("link", LinkState.TRICKLE)
    connection.sendall(b"x" * 200)
    assert len(connection.recv(200)) < 100
