"""What a storm is made of: weather on a link, a schedule from a seed, and a verdict that finds what is wrong."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.processes import PROJECT
from contract.prediction import Prediction, Status
from tests.programs import wait_for
from tests.storm import plants
from tests.storm.book import Book, Listening, Request, Sight, Wish
from tests.storm.evidence import Evidence, Run
from tests.storm.faults import Fault, Struck, schedule
from tests.storm.model import output_of
from tests.storm.plants import Plant
from tests.storm.proxy import DELAY_SECONDS, Network, Weather
from tests.storm.system import Exit
from tests.storm.verdict import judge

# --- the proxy --------------------------------------------------------------------------------------


class EchoServer:
    """Sends back what it gets, and counts who is there."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""
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
                    self.heard += data
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
    wait_for("it is gone", lambda: network.connections() == {"link": 0}, 5)


def test_a_cut_resets_those_who_are_there_and_those_who_come(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.turn("link", Weather.CUT)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    network.turn("link", Weather.CLEAR)
    assert says(connect(), b"after") == b"after"


def test_a_close_ends_in_good_order(connect: Callable[[], socket.socket], network: Network) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.turn("link", Weather.CLOSED)
    assert connection.recv(1) == b""


@pytest.mark.parametrize("weather", [Weather.SILENT_UP, Weather.SILENT_DOWN, Weather.BLACKHOLE])
def test_what_is_held_arrives_late_and_whole(
    connect: Callable[[], socket.socket], network: Network, server: EchoServer, weather: Weather
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.turn("link", weather)
    connection.sendall(b"held")
    assert silent(connection)
    assert (b"held" in server.heard) is (weather is Weather.SILENT_DOWN)
    network.turn("link", Weather.CLEAR)
    assert hears(connection, 4) == b"held"


def test_what_is_held_is_never_delivered_after_a_reset(
    connect: Callable[[], socket.socket], network: Network, server: EchoServer
) -> None:
    connection = connect()
    assert says(connection, b"before") == b"before"
    network.turn("link", Weather.BLACKHOLE)
    connection.sendall(b"held")
    assert silent(connection)
    network.turn("link", Weather.CLEAR, reset=True)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert says(connect(), b"after") == b"after"
    assert server.heard == b"beforeafter"


def test_a_blackhole_takes_whoever_comes_and_says_nothing(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    network.turn("link", Weather.BLACKHOLE)
    connection = connect()
    connection.sendall(b"hello")
    assert silent(connection)
    network.turn("link", Weather.CLEAR)
    assert hears(connection, 5) == b"hello"


def test_a_delay_delays_and_a_trickle_comes_in_small_pieces(
    connect: Callable[[], socket.socket], network: Network
) -> None:
    connection = connect()
    network.turn("link", Weather.DELAY)
    connection.settimeout(DELAY_SECONDS)
    connection.sendall(b"late")
    with pytest.raises(TimeoutError):
        connection.recv(4)
    connection.settimeout(5)
    assert hears(connection, 4) == b"late"
    network.turn("link", Weather.TRICKLE)
    connection.sendall(b"x" * 200)
    assert len(connection.recv(200)) < 100


# --- the schedule -----------------------------------------------------------------------------------

LINKS = ["client-gateway-1", "gateway-1-ledger", "gateway-1-broker", "worker-1-ledger"]
PLACES = ["gateway-1", "keeper", "worker-1"]
STORES = ["ledger", "broker"]


def test_a_seed_says_all_of_a_storm_and_no_target_is_hit_twice_at_once() -> None:
    faults = schedule(7, 600, LINKS, PLACES, STORES)
    assert faults == schedule(7, 600, LINKS, PLACES, STORES)
    assert faults != schedule(8, 600, LINKS, PLACES, STORES)
    for fault in faults:
        at_once = [f for f in faults if f.at <= fault.at < f.at + f.seconds]
        assert [f.target for f in at_once].count(fault.target) == 1
    hit = {fault.target for fault in faults}
    assert hit == {*LINKS, *PLACES, *STORES}
    assert {f.kind for f in faults} >= {*(w for w in Weather if w is not Weather.CLEAR), "kill"}


# --- the verdict ------------------------------------------------------------------------------------


def story(n: int = 1, **input: object) -> Evidence:
    """One wish that was accepted as `a`, ran once and succeeded; nothing is wrong with it."""
    input = {"n": n, "do": "echo", **input}
    book = Book(wishes={n: Wish(n, "wide", input)})
    create = Request("create", "gateway-1", 10.0, n, "a", answered=10.1, status=201)
    look = Request("final", "gateway-1", 20.0, id="a", answered=20.1, status=200)
    book.requests = [create, look]
    book.sights = [Sight("a", 20.0, 20.1, "succeeded", output_of(input), None, 1, "t1", "final")]
    record = Prediction(
        "a",
        "wide",
        input=json.dumps(input),
        output=json.dumps(output_of(input)),
        status=Status.SUCCEEDED,
        attempt=1,
    )
    run = Run("a", n, pid=5, batch="b", begun=10.2, again=False, ended=10.3)
    return Evidence(
        book,
        {"a": record},
        [run],
        struck=[],
        exits=[],
        killed={},
        healed=15.0,
        max_attempts=3,
        patience_seconds=30.0,
    )


def vanish(e: Evidence) -> None:
    del e.records["a"]


def hang(e: Evidence) -> None:
    e.records["a"].status = Status.PROCESSING


def miss(e: Evidence) -> None:
    e.book.requests.append(Request("get", "g", 12.0, id="a", answered=12.1, status=404))


def change(e: Evidence) -> None:
    e.book.sights.append(Sight("a", 12, 12.1, "canceled", None, None, 1, "t0", "get"))


def revive(e: Evidence) -> None:
    e.book.sights.append(Sight("a", 21.0, 21.1, "processing", None, None, 2, None, "get"))


def falsify(e: Evidence) -> None:
    e.records["a"].output = '{"n":2}'


def show_another(e: Evidence) -> None:
    e.book.sights[0].output = {"n": 2}


def blame(e: Evidence) -> None:
    record = e.records["a"]
    record.status, record.output, record.error_code = Status.FAILED, None, "timeout"
    e.book.sights.clear()


def repeat_stream(e: Evidence) -> None:
    input = {"n": 1, "do": "stream"}
    text = output_of(input)
    e.book.wishes[1].input = input
    e.records["a"].input, e.records["a"].output = json.dumps(input), json.dumps(text)
    e.book.sights.clear()
    e.book.listenings.append(Listening("a", 1, text[:9] + text, done=True))


def twin(e: Evidence) -> None:
    e.records["b"] = Prediction("b", "wide", input=e.records["a"].input, status=Status.CANCELED)
    e.book.wishes[1].canceled = True


def start_often(e: Evidence) -> None:
    e.runs += [Run("a", 1, pid, "b", 11.0, again=False, ended=11.1) for pid in (6, 7, 8)]


def refuse(e: Evidence) -> None:
    e.book.requests[0].status = 503
    e.book.requests[0].id = None


def unsure(e: Evidence) -> None:
    e.book.requests[0].status = 504
    e.book.requests.append(Request("final", "g", 20.0, id="a", answered=20.1, status=404))


def fail(e: Evidence) -> None:
    e.book.requests.append(
        Request("list", "g", 12.0, answered=12.1, status=500, code="internal_error")
    )


def be_bare(e: Evidence) -> None:
    e.book.requests.append(
        Request("list", "g", 12.0, answered=12.1, status=503, trouble="no problem document: ''")
    )


def dawdle(e: Evidence) -> None:
    e.book.requests[0].answered = 13.6


def sleep_on(e: Evidence) -> None:
    e.idle_waits["wide"] = 31.0


def stay_away(e: Evidence) -> None:
    e.unready.append("keeper")


def end_badly(e: Evidence) -> None:
    e.exits.append(Exit("worker-1", 1, 12.0, "terminate"))


def end_by_itself(e: Evidence) -> None:
    e.exits.append(Exit("gateway-1", 0, 12.0, ""))


def come_back_late(e: Evidence) -> None:
    e.runs[0].ended = None
    e.killed[5] = 10.5
    e.runs.append(Run("a", 1, 6, "c", 60.0, again=False, ended=60.1))
    e.struck.append(Struck(Fault(1, 5, "cut", "keeper-ledger"), 12.0, 17.0))


def leak(e: Evidence) -> None:
    e.sizes = ({"keeper": (10, 3)}, {"keeper": (40, 3)})


def leave(e: Evidence) -> None:
    e.residue["running wide"] = 1


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (vanish, "lost"),
        (hang, "lost"),
        (miss, "lost"),
        (change, "doubled"),
        (revive, "doubled"),
        (falsify, "wrong_output"),
        (show_another, "wrong_output"),
        (blame, "wrong_output"),
        (repeat_stream, "wrong_stream"),
        (twin, "duplicated"),
        (start_often, "attempts_exceeded"),
        (refuse, "refused_ran"),
        (unsure, "unknown_unresolved"),
        (fail, "server_error"),
        (be_bare, "server_error"),
        (dawdle, "late_answer"),
        (sleep_on, "lost_wake_up"),
        (stay_away, "not_ready"),
        (end_badly, "bad_exit"),
        (end_by_itself, "bad_exit"),
        (come_back_late, "dead_worker_slow"),
        (leak, "grown"),
        (leave, "residue"),
    ],
)
def test_each_broken_promise_is_found_by_its_name(
    spoil: Callable[[Evidence], None], name: str
) -> None:
    evidence = story()
    assert judge(evidence) == []
    spoil(evidence)
    assert {violation.name for violation in judge(evidence)} == {name}


def test_what_was_hurt_is_excused_and_a_split_is_no_other_start() -> None:
    evidence = story()
    evidence.book.requests[0].answered = 18.0
    evidence.struck.append(Struck(Fault(1, 5, "stop", "gateway-1"), 12.0, 17.0))
    evidence.runs += [Run("a", 1, 5, b, 11.0, again=True, ended=11.1) for b in "cde"]
    assert judge(evidence) == []


@pytest.mark.parametrize("plant", plants.ALL, ids=lambda plant: plant.name)
def test_every_plant_fits_the_product_as_it_is(tmp_path: Path, plant: Plant) -> None:
    source = plant.plant(tmp_path)
    for file, text, _ in plant.changes:
        assert text not in (source / file).read_text()
        assert text in (PROJECT / file).read_text()


def test_a_plant_whose_text_is_gone_fails_loudly(tmp_path: Path) -> None:
    plant = Plant("nowhere", (("contract/keys.py", "no such text", "x"),))
    with pytest.raises(LookupError, match=r"nowhere: contract/keys.py has 0 times"):
        plant.plant(tmp_path)
