"""A clock that jumps by ten minutes on one machine: nobody's but the ledger's matters, and that one loses nothing."""

from pathlib import Path

import pytest

from local.redis import EmbeddedRedis
from tests.storm.storm import Storm
from tests.storm.system import System
from tests.support.external_tools import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

JUMP_SECONDS = 600
BETWEEN_SECONDS = 2.0
FAKED = Path(__file__).parent / "faked"


def library() -> str:
    """Where libfaketime is."""
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))
    if not found:
        missing("libfaketime is not installed: apt-get install libfaketime")
    return str(found[0])


class Clock:
    """The clock of one process, as it sees it: what `date` says, and not what measures durations."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)
        self.env = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Or threads wait for the interpreter's lock by the wrong clock, and too long.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "PYTHONPATH": str(FAKED),
        }

    def set(self, seconds: int) -> None:
        """Jump to so many seconds from the right time."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._file)


def jumps(storm: Storm, clocks: list[Clock]) -> None:
    """Each clock forward, back to the right time and far behind it, while clients ask."""
    storm.clients.start_asking()
    storm.run_faults(BETWEEN_SECONDS, [])
    for clock in clocks:
        for seconds in (JUMP_SECONDS, -JUMP_SECONDS, 0):
            clock.set(seconds)
            storm.run_faults(BETWEEN_SECONDS, [])
    storm.clients.stop_asking()


def test_the_clocks_of_gateway_keeper_and_worker_do_not_matter(tmp_path: Path) -> None:
    clocks = {name: Clock(tmp_path / name) for name in ("gateway-1", "keeper", "worker-1")}
    env = {name: clock.env for name, clock in clocks.items()}
    with System(tmp_path / "system", "redis", gateways=1, env=env) as system:
        storm = Storm(system, seed=1)
        outcome = storm.judged(lambda: jumps(storm, list(clocks.values())))
    assert not outcome.violations, outcome.complaint
    creates = [r for r in storm.clients.history.requests if r.kind == "create"]
    assert len(creates) > 50
    # And not as a matter of luck: nothing is refused, late or lost to anybody.
    assert {r.status for r in creates} <= {200, 201, 429}
    # Only a model that kills its worker ends one.
    assert {end.code for end in outcome.evidence.exits} <= {-9}


def test_when_the_clock_of_the_ledger_jumps_nothing_is_lost_or_wrong(tmp_path: Path) -> None:
    """Leases and deadlines run by it, so they may end early or late."""
    clock = Clock(tmp_path / "clock")
    store = EmbeddedRedis(tmp_path / "ledger", env=clock.env)
    with System(tmp_path / "system", "redis", gateways=1, store=store) as system:
        storm = Storm(system, seed=2)
        outcome = storm.judged(lambda: jumps(storm, [clock]))
    assert not outcome.violations, outcome.complaint
    creates = [r for r in storm.clients.history.requests if r.kind == "create"]
    refused = [r for r in creates if r.status not in (200, 201, 429)]
    assert len(creates) > 30
    assert len(refused) < len(creates) / 4
