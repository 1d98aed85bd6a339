"""The ledger as a gateway or a keeper begins with it: away it is waited for, wrong it is refused, unsafe never used."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import redis
from pydantic import SecretStr
from starlette.testclient import TestClient

from contract.catalog import Catalog
from contract.errors import LedgerUnavailable, StartRefused
from contract.ledger import client
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import expire
from contract.settings import Settings
from local.redis import EmbeddedRedis
from service import ledger_start
from service.keeper.app import create_keeper
from service.ledger_start import CheckedLedger
from tests.support.gateway_thread import GatewayThread
from tests.support.unavailable_ledgers import KINDS, away, nameless, refused, unelected
from tests.support.waiting import until

ALL = "SOLOIST_REDIS_URL, SOLOIST_REDIS_USERNAME, SOLOIST_REDIS_PASSWORD"
ODD = "p@ss/w:rd#%"
WRONG = "hunter2"
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


class CheckCounter:
    """Counts how often a ledger was asked whether it is safe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, check = 0, AsyncLedger.check

        async def counted(ledger: AsyncLedger) -> None:
            self.count += 1
            await check(ledger)

        monkeypatch.setattr(AsyncLedger, "check", counted)
        monkeypatch.setattr(ledger_start, "AGAIN_SECONDS", 0.02)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> CheckCounter:
    return CheckCounter(monkeypatch)


def quick(settings: Settings, url: str, **more: object) -> Settings:
    """Settings for a ledger at this address that is soon found to be away."""
    how = {"redis_url": SecretStr(url), "ledger_timeout_seconds": 0.3, "sweep_seconds": 0.02}
    return settings.model_copy(update={**how, **more})


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the log says of the wait: (line, trouble)."""
    ours = [record for record in caplog.records if record.name == ledger_start.logger.name]
    return [(record.message, getattr(record, "detail", "")) for record in ours]


def says_nothing_of_it(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@EVERY_KIND
def test_a_gateway_whose_ledger_is_away_lives_refuses_and_heals(
    settings: Settings,
    catalog: Catalog,
    tmp_path: Path,
    checks: CheckCounter,
    caplog: pytest.LogCaptureFixture,
    kind: Callable,
) -> None:
    caplog.set_level("INFO", ledger_start.logger.name)
    with (
        away(kind, tmp_path) as (url, heal),
        GatewayThread(quick(settings, url), catalog) as gateway,
        httpx.Client(base_url=gateway.url, timeout=10, trust_env=False) as http,
    ):
        post = lambda: http.post("/v1/models/local/echo/predictions", json={"input": {}})  # noqa: E731
        assert http.get("/livez").json() == {"alive": True}
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["state"]) == (503, "waiting")
        assert "ledger" in ready.json()["detail"]
        for answer in (
            post(),
            http.put("/v1/predictions/mine", json={"version": "local/echo", "input": {}}),
            http.get("/v1/predictions/mine"),
            http.get("/v1/predictions"),
            http.post("/v1/predictions/mine/cancel"),
            http.get("/v1/predictions/mine/stream"),
        ):
            says_nothing_of_it(answer)
        assert http.get("/v1/models").status_code == 200
        assert "soloist_ledger_up 0.0" in http.get("/metrics").text
        until("it asked often", lambda: checks.count > 6)
        told = lines(caplog)
        assert {line for line, _ in told} == {"waiting for the ledger"}
        assert len(told) == len(set(told)), "each trouble once"
        if heal is not None:
            heal()
            until("it is ready", lambda: http.get("/readyz").status_code == 200)
            assert post().status_code == 201
            assert lines(caplog)[-1] == ("the ledger is there", "")
            assert "soloist_ledger_up 1.0" in http.get("/metrics").text


@EVERY_KIND
def test_a_keeper_whose_ledger_is_away_lives_and_heals(
    settings: Settings, catalog: Catalog, tmp_path: Path, checks: CheckCounter, kind: Callable
) -> None:
    with away(kind, tmp_path) as (url, heal):
        app = create_keeper(quick(settings, url), catalog)
        with TestClient(app, base_url="http://localhost") as http:
            until("it asked often", lambda: checks.count > 3)
            assert http.get("/livez").json() == {"alive": True}
            ready = http.get("/readyz")
            assert (ready.status_code, ready.json()["state"]) == (503, "waiting")
            assert "ledger" in ready.json()["detail"]
            assert "soloist_keeper_ledger_up 0.0" in http.get("/metrics").text
            if heal is not None:
                heal()
                until("it sweeps", lambda: http.get("/readyz").status_code == 200)
                assert "soloist_keeper_ledger_up 1.0" in http.get("/metrics").text


def test_a_wait_of_thousands_of_tries_leaves_nothing_behind(
    settings: Settings, tmp_path: Path, checks: CheckCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour are 7,200 of them."""
    monkeypatch.setattr(ledger_start, "AGAIN_SECONDS", 0)

    async def wait(url: str) -> None:
        ledger = CheckedLedger(quick(settings, url))
        waiting = asyncio.create_task(ledger.wait_until_safe())
        threads = 0
        while checks.count < 2000:
            await asyncio.sleep(0.01)
            threads = threads or (checks.count > 200 and threading.active_count())
            assert len(asyncio.all_tasks()) < 10
        assert threading.active_count() <= threads
        assert len(ledger.connections._pool._idle) <= 1
        waiting.cancel()
        await asyncio.wait([waiting])
        await ledger.close()

    with away(refused, tmp_path) as (url, _):
        asyncio.run(wait(url))


def test_nothing_is_asked_of_a_ledger_before_it_was_found_safe(settings: Settings) -> None:
    async def early() -> None:
        ledger = CheckedLedger(settings)
        with pytest.raises(LedgerUnavailable):
            await ledger.run(expire(1))
        await ledger.wait_until_safe()
        await ledger.run(expire(1))
        await ledger.close()

    asyncio.run(early())


def test_an_answer_that_nobody_expected_ends_no_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check, asked = client.check_safety, list[int]()

    def odd(info: Mapping[str, str], durability: str) -> None:
        asked.append(1)
        if len(asked) < 3:
            raise ValueError("not a number")
        check(info, durability)

    monkeypatch.setattr(client, "check_safety", odd)
    monkeypatch.setattr(ledger_start, "AGAIN_SECONDS", 0.01)

    async def wait() -> None:
        ledger = CheckedLedger(settings)
        await ledger.wait_until_safe()
        await ledger.close()

    asyncio.run(wait())
    said = [record for record in caplog.records if record.msg == "waiting for the ledger"]
    assert [vars(record)["cause"] for record in said] == ["not a number"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as opened:
        yield opened


def lock(client: redis.Redis) -> None:
    client.config_set("requirepass", ODD)


def forbid(client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "someone", "on", f">{ODD}", "~*", "+ping")


def age(client: redis.Redis) -> None:
    client.set("soloist:schema", 99)


WRONG_LEDGERS = {
    "a wrong password": (lock, {"redis_password": WRONG}, "refuses our user or password at"),
    "no password": (lock, {}, "refuses our user or password at"),
    "no rights": (forbid, {"redis_username": "someone", "redis_password": ODD}, "refuses our user"),
    "a database that is not there": (lambda _: None, {"database": 99}, "DB index is out of range"),
    "evicts": (lambda c: c.config_set("maxmemory-policy", "allkeys-lru"), {}, "allkeys-lru"),
    "keeps nothing": (lambda c: c.config_set("appendonly", "no"), {}, "no append-only file"),
    "newer": (age, {}, "a newer release has written to the ledger"),
}


@pytest.mark.parametrize("what", WRONG_LEDGERS)
def test_a_ledger_that_answers_and_is_wrong_is_refused_at_once(
    own: EmbeddedRedis, catalog: Catalog, what: str
) -> None:
    spoil, given, words = WRONG_LEDGERS[what]
    with redis.Redis(port=own.port) as client:
        spoil(client)
    given = dict(given)
    url = own.url.replace("/0", f"/{given.pop('database', 0)}")
    settings = Settings(redis_url=url, keeper_port=0, **given)
    app = create_keeper(settings, catalog)
    with TestClient(app, base_url="http://localhost") as http:
        until("it is refused", lambda: getattr(app.state, "refusal", None))
        assert isinstance(app.state.refusal, StartRefused)
        assert words in app.state.refusal.detail
        assert WRONG not in app.state.refusal.detail
        assert http.get("/readyz").status_code == 503


def test_a_refusal_names_the_place_and_the_settings(own: EmbeddedRedis) -> None:
    with redis.Redis(port=own.port) as client:
        lock(client)
    ledger = CheckedLedger(Settings(redis_url=own.url, redis_password=WRONG))

    async def refusal() -> str:
        with pytest.raises(StartRefused) as caught:
            await ledger.wait_until_safe()
        return caught.value.detail

    at = f"127.0.0.1:{own.port}"
    assert asyncio.run(refusal()) == (f"the ledger refuses our user or password at {at}; see {ALL}")


def test_what_is_away_is_told_with_its_place_and_cause_and_no_password(
    settings: Settings, tmp_path: Path, checks: CheckCounter, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait(url: str) -> None:
        waiting = asyncio.create_task(CheckedLedger(quick(settings, url)).wait_until_safe())
        await asyncio.to_thread(until, "it asked often", lambda: checks.count > 2)
        waiting.cancel()
        await asyncio.wait([waiting])

    with away(nameless, tmp_path) as (url, _):
        asyncio.run(wait(url.replace("//", f"//:{WRONG}@")))
    told = vars(
        [record for record in caplog.records if record.name == ledger_start.logger.name][-1]
    )
    assert (told["address"], told["settings"]) == ("soloist-ledger.invalid:6379", ALL)
    assert "not known" in told["cause"]
    assert WRONG not in str(told)


@pytest.mark.parametrize("password", [None, WRONG])
def test_sentinels_that_refuse_our_password_end_the_start_if_all_of_them_do(
    settings: Settings, tmp_path: Path, password: str | None
) -> None:
    with away(unelected, tmp_path) as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        with redis.Redis(port=int(port)) as client:
            client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{ODD}")
        secret = SecretStr(password) if password else None
        alone = settings.model_copy(
            update={"redis_url": SecretStr(url), "redis_sentinel_password": secret}
        )
        two = SecretStr(url.replace(f":{port}/", f":{port},127.0.0.1:1/"))
        beside = alone.model_copy(update={"redis_url": two})

        async def refuse() -> None:
            ledger = CheckedLedger(alone)
            with pytest.raises(StartRefused, match="refuses our user or password at"):
                await ledger.wait_until_safe()
            await ledger.close()

        async def wait() -> None:
            ledger = CheckedLedger(beside)
            waiting = asyncio.create_task(ledger.wait_until_safe())
            told = "the ledger's sentinels name no primary"
            await asyncio.to_thread(until, "it says so", lambda: ledger.trouble == told)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting])
            await ledger.close()

        asyncio.run(refuse())
        asyncio.run(wait())
