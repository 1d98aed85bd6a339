"""Connections to the ledger that break, are refused or lead elsewhere: one error, and never a half read one."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.client import CONNECTIONS, AsyncLedger, Ledger
from contract.ledger.connections import Call
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Transition, create, expire, read_predictions
from contract.prediction import Prediction
from contract.settings import Settings
from local.processes import free_port
from local.redis import EmbeddedRedis
from tests.support.tcp_forwarder import TcpForwarder

ECHO = Call(("ECHO", b"hello"))
CUTS = 15
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def new_prediction(id: str) -> NewPrediction:
    return NewPrediction(Prediction(id=id, model="m"), 100, 4)


def behind(forwarder: TcpForwarder, **more: Any) -> Settings:
    return Settings(redis_url=f"redis://127.0.0.1:{forwarder.port}/0", **more)


@pytest.fixture
def forwarder(own_redis: EmbeddedRedis) -> Iterator[TcpForwarder]:
    with TcpForwarder(own_redis.port) as opened:
        yield opened


@pytest.fixture(params=["sync", "async", "uvloop"])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Run a transition or a call with a ledger of any kind: `ask(settings, what)`. It is the same ledger
    at each call with the same settings.
    """
    loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
    kind = Ledger if request.param == "sync" else AsyncLedger
    ledgers: dict[str, Any] = {}

    def run(settings: Settings, what: Transition[Any] | Call) -> Any:
        ledger = ledgers.setdefault(settings.ledger, kind(settings))
        act = ledger.connections.exchange if isinstance(what, Call) else ledger.run
        done = act(what)
        return done if kind is Ledger else loop.run_until_complete(done)

    yield run
    for ledger in ledgers.values():
        done = ledger.close()
        if kind is AsyncLedger:
            loop.run_until_complete(done)
    loop.close()


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[Settings]:
    """Something on a port that is no Redis: `serve` is called with each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                serve(client)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield Settings(
            redis_url=f"redis://127.0.0.1:{listener.getsockname()[1]}/0", ledger_timeout_seconds=0.5
        )
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def greeted(answer: bytes) -> Callable[[socket.socket], None]:
    """A Redis that answers the greetings of a client, and then `answer` to its first command."""

    def serve(client: socket.socket) -> None:
        while data := client.recv(65536):
            for _ in range(data.count(b"SETINFO")):
                client.sendall(b"+OK\r\n")
            if b"SETINFO" not in data:
                client.sendall(answer)
                return

    return serve


WRITTEN = {
    "closed": b"",
    "cut in the middle": b"$100\r\nabc",
    "not Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("answer", WRITTEN.values(), ids=WRITTEN)
def test_a_call_that_was_written_and_not_answered_says_so(
    ask: Callable[..., Any], answer: bytes
) -> None:
    with server(greeted(answer)) as settings, pytest.raises(LedgerUnavailable) as caught:
        ask(settings, ECHO)
    assert caught.value.sent


def test_a_silent_ledger_may_have_carried_it_out(
    ask: Callable[..., Any], forwarder: TcpForwarder
) -> None:
    settings = behind(forwarder, ledger_timeout_seconds=0.3)
    assert ask(settings, ECHO) == [b"hello"]
    forwarder.gate.clear()
    with pytest.raises(LedgerUnavailable) as caught:
        ask(settings, ECHO)
    assert caught.value.sent
    forwarder.gate.set()
    assert ask(settings, ECHO) == [b"hello"]


NOWHERE = {
    "refused": lambda: f"redis://127.0.0.1:{free_port()}/0",
    "no such name": lambda: "redis://nowhere.invalid:6379/0",
    "a name that cannot be": lambda: f"redis://{'x' * 70}.invalid:6379/0",
}


@pytest.mark.parametrize("url", NOWHERE.values(), ids=NOWHERE)
def test_a_call_that_was_never_written_says_so(
    ask: Callable[..., Any], url: Callable[[], str]
) -> None:
    settings = Settings(redis_url=url(), ledger_timeout_seconds=0.5)
    with pytest.raises(LedgerUnavailable) as caught:
        ask(settings, expire())
    assert not caught.value.sent


def test_a_tls_that_fails_is_an_unavailable_ledger(
    ask: Callable[..., Any], own_redis: EmbeddedRedis
) -> None:
    settings = Settings(
        redis_url=f"rediss://127.0.0.1:{own_redis.port}/0", ledger_timeout_seconds=0.5
    )
    with pytest.raises(LedgerUnavailable) as caught:
        ask(settings, expire())
    assert not caught.value.sent


REFUSALS = {
    "LOADING Redis is loading the dataset in memory": LedgerUnavailable,
    "READONLY You can't write against a read only replica.": LedgerUnavailable,
    "MASTERDOWN Link with MASTER is down.": LedgerUnavailable,
    "NOREPLICAS Not enough good replicas to write.": LedgerUnavailable,
    "CLUSTERDOWN Hash slot not served": LedgerUnavailable,
    "MISCONF Errors writing to the AOF file: No space left on device": LedgerUnavailable,
    "BUSY Redis is busy running a script.": LedgerUnavailable,
    "TRYAGAIN Multiple keys request during rehashing of slot": LedgerUnavailable,
    "ERR max number of clients reached": LedgerUnavailable,
    "NOPERM this user has no permissions to run the 'evalsha' command": LedgerUnavailable,
    "OOM command not allowed when used memory > 'maxmemory'.": LedgerFull,
    "ERR Error running script (call to f_0a9f): @user_script:1: @user_script: 1: -OOM no": LedgerFull,
    "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -READONLY no": (
        LedgerUnavailable
    ),
    "ERR Error running script (call to f_0): @user_script:9: user_script:9: attempt to index": (
        redis.ResponseError
    ),
    "ERR user_script:1: attempt to index local 'OOM' (a nil value)": redis.ResponseError,
    "WRONGTYPE Operation against a key holding the wrong kind of value": redis.ResponseError,
}


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda text: text[:12] + text[-12:])
def test_a_refusal_is_told_by_its_code_and_means_that_nothing_was_carried_out(
    ask: Callable[..., Any], answer: str
) -> None:
    with (
        server(greeted(f"-{answer}\r\n".encode())) as settings,
        pytest.raises((LedgerUnavailable, LedgerFull, redis.ResponseError)) as caught,
    ):
        ask(settings, ECHO)
    assert type(caught.value) is REFUSALS[answer] or REFUSALS[answer] is redis.ResponseError
    assert not getattr(caught.value, "sent", False)


def test_what_was_carried_out_in_part_is_not_called_refused(
    ask: Callable[..., Any], forwarder: TcpForwarder
) -> None:
    with pytest.raises(redis.ResponseError):
        ask(behind(forwarder), Call(("SET", "a", 1), then=(("NOSUCHCOMMAND",),)))
    with server(greeted(b"+OK\r\n")) as settings, pytest.raises(LedgerUnavailable) as caught:
        ask(settings, Call(("SET", "a", 1), then=(("WAIT", 1, 100),)))
    assert caught.value.sent


def test_a_connection_that_was_cut_is_replaced_without_an_error(
    ask: Callable[..., Any], forwarder: TcpForwarder
) -> None:
    for _ in range(5):
        assert ask(behind(forwarder), ECHO) == [b"hello"]
        assert forwarder.cut() == 1


@pytest.mark.parametrize("new_loop", LOOPS)
def test_connections_that_are_cut_under_load_raise_nothing_else(
    forwarder: TcpForwarder, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main() -> Counter[str]:
        ledger = AsyncLedger(behind(forwarder))
        await ledger.run(create([new_prediction(f"p{n}") for n in range(50)]))
        seen: Counter[str] = Counter()
        enough = asyncio.Event()

        async def load(n: int) -> None:
            while seen["cuts"] < CUTS:
                try:
                    (view,) = await ledger.run(read_predictions([(f"p{n}", -1)]))
                except LedgerUnavailable:
                    seen["unavailable"] += 1
                else:
                    assert view is not None
                    assert view.prediction.id == f"p{n}"
                    seen["answers"] += 1
                    if seen["answers"] % 20 == 0:
                        enough.set()

        async def cut() -> None:
            while seen["cuts"] < CUTS:
                await enough.wait()
                enough.clear()
                await asyncio.to_thread(forwarder.cut)
                seen["cuts"] += 1

        await asyncio.gather(cut(), *(load(n) for n in range(50)))
        await ledger.close()
        return seen

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main())["answers"] >= CUTS * 20


def test_a_call_that_is_canceled_leaves_no_answer_to_the_next_one(forwarder: TcpForwarder) -> None:
    async def main() -> None:
        ledger = AsyncLedger(behind(forwarder))
        await ledger.run(create([new_prediction("a"), new_prediction("b")]))
        for _ in range(3 * CONNECTIONS):
            forwarder.gate.clear()
            asked = asyncio.create_task(ledger.run(read_predictions([("a", -1)])))
            await asyncio.sleep(0.005)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            forwarder.gate.set()
            (view,) = await ledger.run(read_predictions([("b", -1)]))
            assert view is not None
            assert view.prediction.id == "b"
        await ledger.close()

    asyncio.run(main())


def test_a_canceled_wait_for_a_connection_costs_none(forwarder: TcpForwarder) -> None:
    async def main() -> None:
        ledger = AsyncLedger(behind(forwarder))
        forwarder.gate.clear()
        crowd = [
            asyncio.create_task(ledger.connections.exchange(ECHO)) for _ in range(5 * CONNECTIONS)
        ]
        await asyncio.sleep(0.05)
        for asked in crowd:
            asked.cancel()
        await asyncio.wait(crowd)
        forwarder.gate.set()
        answers = await asyncio.gather(
            *(ledger.connections.exchange(ECHO) for _ in range(5 * CONNECTIONS))
        )
        assert answers == [[b"hello"]] * len(answers)
        assert all(asked.cancelled() for asked in crowd)
        await ledger.close()

    asyncio.run(main())


@pytest.fixture
def pair(redis_program: Path | None, tmp_path: Path) -> Iterator[tuple[EmbeddedRedis, ...]]:
    """A primary and its replica."""
    at_once = {"repl-diskless-sync-delay": 0}
    how = {"program": redis_program, "appendfsync": "no", "options": at_once}
    with (
        EmbeddedRedis(tmp_path / "one", **how) as one,
        EmbeddedRedis(tmp_path / "two", **how) as two,
        redis.Redis(port=two.port) as client,
    ):
        client.execute_command("REPLICAOF", "127.0.0.1", str(one.port))
        while client.info("replication")["master_link_status"] != "up":
            pass
        yield one, two
        for node in (one, two):
            node.kill()  # in good order it would wait for its replicas


def test_after_a_failover_a_demoted_primary_is_left_at_once(
    ask: Callable[..., Any], pair: tuple[EmbeddedRedis, EmbeddedRedis]
) -> None:
    one, two = pair
    with (
        TcpForwarder(one.port) as name,
        redis.Redis(port=one.port) as first,
        redis.Redis(port=two.port) as second,
    ):
        settings = behind(name)
        ask(settings, create([new_prediction("a")]))
        first.wait(1, 5000)
        second.execute_command("REPLICAOF", "NO", "ONE")
        first.execute_command("REPLICAOF", "127.0.0.1", str(two.port))
        with pytest.raises(LedgerUnavailable) as caught:
            ask(settings, create([new_prediction("b")]))
        assert not caught.value.sent
        name.target = two.port
        ask(settings, create([new_prediction("c")]))
        views = ask(settings, read_predictions([("a", -1), ("b", -1), ("c", -1)]))
        assert [view is not None for view in views] == [True, False, True]


def test_a_failover_that_the_name_knows_already_is_not_even_noticed(
    ask: Callable[..., Any], pair: tuple[EmbeddedRedis, EmbeddedRedis]
) -> None:
    one, two = pair
    with (
        TcpForwarder(one.port) as name,
        redis.Redis(port=one.port) as first,
        redis.Redis(port=two.port) as second,
    ):
        settings = behind(name)
        ask(settings, create([new_prediction("a")]))
        second.execute_command("REPLICAOF", "NO", "ONE")
        first.execute_command("REPLICAOF", "127.0.0.1", str(two.port))
        name.target = two.port
        assert ask(settings, create([new_prediction("b")])).results
