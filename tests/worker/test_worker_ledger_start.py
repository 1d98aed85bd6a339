"""The ledger as a worker begins with it: away it is waited for with the model loaded, wrong it is refused."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import redis
from pydantic import SecretStr

from contract.errors import LedgerRefuses, LedgerUnsafe, StartRefused
from contract.ledger.client import Ledger
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.unavailable_ledgers import KINDS, away, refused, silent
from tests.support.waiting import until
from tests.worker.processes import WorkerProcesses
from worker import ledger_start
from worker.health import Health
from worker.ledger_start import LedgerCheck

NOWHERE = "amqp://guest:guest@127.0.0.1:1//"


class LedgerStart:
    """A start that waits for the ledger, and how often it asked."""

    def __init__(self, settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ledger_start, "AGAIN_SECONDS", 0.02)
        self.tries, self.health = 0, Health()
        how = {"redis_url": SecretStr(url), "ledger_timeout_seconds": 0.3}
        self.ledger = Ledger(settings.model_copy(update=how))
        check = self.ledger.check

        def counted() -> None:
            self.tries += 1
            check()

        self.ledger.check = counted  # type: ignore[method-assign]
        self.check = LedgerCheck(self.ledger, self.health)

    def give_up(self) -> None:
        """End a wait that nothing heals, or its lines would be in the next test's log."""

        def refuse() -> None:
            raise LedgerUnsafe("the test is over")

        self.ledger.check = refuse  # type: ignore[method-assign]
        with pytest.raises(LedgerUnsafe):
            self.check.wait_until_safe()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_ledger_that_is_away_is_waited_for(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Callable,
) -> None:
    caplog.set_level(logging.INFO, ledger_start.logger.name)
    with away(kind, tmp_path) as (url, heal):
        start = LedgerStart(settings, url, monkeypatch)
        start.check.wait_for_first_answer()  # returns, so that the model can be loaded meanwhile
        until("it has tried a few times", lambda: start.tries > 5)
        assert "ledger" in start.health.waits_for
        told = [(record.message, record.detail) for record in caplog.records]
        assert {line for line, _ in told} == {"waiting for the ledger"}
        assert len(told) == len(set(told)), "each trouble once"
        if heal is None:
            start.give_up()
        else:
            heal()
            start.check.wait_until_safe()
            assert start.health.waits_for == ""
            assert caplog.records[-1].message == "the ledger is there"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as opened:
        yield opened


def lock(client: redis.Redis) -> None:
    client.config_set("requirepass", "secret")


def forget(client: redis.Redis) -> None:
    client.config_set("appendonly", "no")


@pytest.mark.parametrize(("spoil", "refusal"), [(lock, LedgerRefuses), (forget, LedgerUnsafe)])
def test_a_ledger_that_is_wrong_is_refused_before_anything_is_loaded(
    settings: Settings,
    own: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable,
    refusal: type[StartRefused],
) -> None:
    with redis.Redis(port=own.port) as client:
        spoil(client)
    start = LedgerStart(settings, own.url, monkeypatch)
    with pytest.raises(refusal):
        start.check.wait_for_first_answer()
    with pytest.raises(refusal):
        start.check.wait_until_safe()


def test_one_that_turns_out_wrong_when_it_comes_is_refused_then(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with away(silent, tmp_path) as (url, heal):
        start = LedgerStart(settings, url, monkeypatch)
        start.check.wait_for_first_answer()
        monkeypatch.setattr("contract.ledger.start.SCHEMA", -1)
        heal()
        with pytest.raises(StartRefused, match="newer release"):
            start.check.wait_until_safe()


def test_a_name_that_takes_long_to_be_looked_up_holds_up_no_load(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Event()
    ledger = Ledger(settings.model_copy(update={"ledger_timeout_seconds": 0.01}))
    monkeypatch.setattr(ledger, "check", found.wait)
    health = Health()
    asked = LedgerCheck(ledger, health)
    asked.wait_for_first_answer()
    assert health.waits_for == "the ledger has not answered yet"
    found.set()
    asked.wait_until_safe()
    assert health.waits_for == ""


@pytest.mark.slow
def test_a_worker_waits_with_its_model_loaded_and_says_for_what(
    serving: WorkerProcesses, tmp_path: Path
) -> None:
    with away(refused, tmp_path) as (url, heal):
        worker = serving.worker("Here", REDIS_URL=url, BROKER_URL=NOWHERE)
        until("it is connecting", lambda: worker.phase() == "connecting", 20)
        assert serving.loaded_by() == [worker.pid]
        assert worker.page("/livez") == '{"alive":true}'
        assert worker.page("/startupz") == '{"loaded":true}'
        assert "the ledger does not answer" in worker.probe()["detail"]
        heal()
        until(
            "it says that the broker does not answer",
            lambda: worker.probe().get("detail") == "the broker does not answer",
            20,
        )
        assert worker.page("/startupz") == '{"loaded":true}'
        assert worker.end(5) == 0
