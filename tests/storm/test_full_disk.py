"""A disk that is full under the ledger's append-only file: refused, not lost, and well again when there is room."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.redis import EmbeddedRedis
from tests.storm.storm import Storm
from tests.storm.system import System
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DISK = "24m"
FULL_SECONDS = 4.0
NOTICE_SECONDS = 15.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        while out.write(b"x" * 4096):
            pass
    return filler


@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
def test_a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing(
    tmp_path: Path, disk: Path, appendfsync: str
) -> None:
    # With `everysec` Redis refuses to write; with `always` it ends, and starts again to the same end.
    store = EmbeddedRedis(disk / "ledger", appendfsync=appendfsync)
    with System(tmp_path / "system", "redis", store=store, gateways=1) as system:
        storm = Storm(system, seed=1)
        clients = storm.clients

        def stuck() -> bool:
            system.tick()
            if appendfsync == "always":
                return not store.alive
            return clients.create(clients.intent(), "gateway-1").status in (503, 504)

        def act() -> None:
            running = clients.create(clients.intent(input={"seconds": 3.0}), "gateway-1")
            assert running.accepted
            clients.start_asking()
            time.sleep(1)
            filler = fill(disk)
            until("the ledger cannot write", stuck, NOTICE_SECONDS)
            full = time.monotonic()
            storm.run_faults(FULL_SECONDS, [])
            full_from_to.append((full, time.monotonic()))
            filler.unlink()
            storm.run_faults(FULL_SECONDS, [])
            clients.stop_asking()

        full_from_to: list[tuple[float, float]] = []
        outcome = storm.judged(act)
    assert not outcome.violations, outcome.complaint
    ((begin, end),) = full_from_to
    meanwhile = [
        request
        for request in clients.history.requests
        if request.kind == "create" and begin < request.asked and (request.answered or end) < end
    ]
    assert len(meanwhile) > 3
    # Some room may be left on the last page of the disk: what is accepted was written there.
    assert {request.status for request in meanwhile} <= {200, 201, 503, 504}
    assert sum(request.status in (503, 504) for request in meanwhile) > len(meanwhile) / 2
    assert any(request.accepted for request in clients.history.requests if request.asked > end)
