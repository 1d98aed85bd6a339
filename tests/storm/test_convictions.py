"""Faults planted on purpose, one at a time, into a copy of the product: a storm that was made for it finds each by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storm import plants
from tests.storm.evidence import read_runs
from tests.storm.faults import Fault
from tests.storm.plants import Plant
from tests.storm.proxy import Weather
from tests.storm.storm import Storm
from tests.storm.system import System
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PATIENCE_SECONDS = 6.0
GIVE_UP_SECONDS = 3.0
"""After this time no gateway goes on with what it began before a fault."""
HERE, THERE = "gateway-1", "gateway-2"


def weather(storm: Storm, kind: Weather, link: str) -> Callable[[], None]:
    """Change the weather of a link; what changes it back."""
    struck = storm.system.strike(Fault(0, 0, kind, link))
    return lambda: storm.system.heal(struck)


def freeze_a_worker_and_cancel(storm: Storm) -> None:
    """The frozen worker wakes up with an outcome for what was canceled meanwhile."""
    clients, system = storm.clients, storm.system
    wish = clients.wish(input={"seconds": 1.0})
    id = clients.create(wish, HERE).id
    assert id is not None
    until("it runs", lambda: any(run.id == id for run in read_runs(system.runs_file)), 20)
    struck = system.strike(Fault(0, 0, "stop", "worker-1"))
    wish.canceled = True
    assert clients.cancel(id, HERE).status == 200
    assert clients.get(id, HERE).status == 200
    system.heal(struck)
    until("it ends", lambda: read_runs(system.runs_file)[-1].ended, 20)
    storm.blow(GIVE_UP_SECONDS, [])  # time for a product that is broken to write the outcome


def hold_a_create_back(storm: Storm) -> None:
    """It reaches the ledger long after its client was told that it never will be recorded."""
    clients = storm.clients
    heal = weather(storm, Weather.SILENT_UP, f"{HERE}-ledger")
    request = clients.create(clients.wish(), HERE)
    assert request.status == 504
    assert request.id is not None
    assert clients.get(request.id, THERE).status == 404
    heal()


def cut_the_ledger_off(storm: Storm) -> None:
    clients = storm.clients
    heal = weather(storm, Weather.CUT, f"{HERE}-ledger")
    for _ in range(3):
        clients.create(clients.wish(), HERE)
    storm.blow(GIVE_UP_SECONDS, [])
    heal()


def lose_a_message(storm: Storm) -> None:
    clients = storm.clients
    heal = weather(storm, Weather.CUT, f"{HERE}-broker")
    assert clients.create(clients.wish(), HERE).accepted
    storm.blow(GIVE_UP_SECONDS, [])
    heal()


def repeat_a_key(storm: Storm) -> None:
    clients = storm.clients
    wish = clients.wish(key="the-same")
    assert clients.create(wish, HERE).accepted
    assert clients.create(wish, THERE).accepted


@pytest.mark.parametrize(
    ("plant", "act", "name"),
    [
        (plants.UNFENCED_FINISH, freeze_a_worker_and_cancel, "doubled"),
        (plants.LATE_CREATE, hold_a_create_back, "unknown_unresolved"),
        (plants.EARLY_ANSWER, cut_the_ledger_off, "lost"),
        (plants.LOST_WAKE_UP, lose_a_message, "lost_wake_up"),
        (plants.BARE_ERROR, cut_the_ledger_off, "server_error"),
        (plants.FORGOTTEN_KEY, repeat_a_key, "duplicated"),
    ],
    ids=lambda value: value.name if isinstance(value, Plant) else "",
)
def test_a_planted_fault_is_found_by_its_name(
    tmp_path: Path, plant: Plant, act: Callable[[Storm], None], name: str
) -> None:
    source = plant.plant(tmp_path / "source")
    with System(tmp_path / "system", "shared", source, workers={"worker-1": "wide"}) as system:
        storm = Storm(system, seed=0, patience_seconds=PATIENCE_SECONDS)
        outcome = storm.judged(lambda: act(storm))
    assert name in outcome.names, outcome.row()


ACTS = (
    freeze_a_worker_and_cancel,
    hold_a_create_back,
    cut_the_ledger_off,
    lose_a_message,
    repeat_a_key,
)


def all_of(storm: Storm) -> None:
    for act in ACTS:
        act(storm)


def test_in_the_product_as_it_is_the_same_storms_find_nothing(tmp_path: Path) -> None:
    with System(tmp_path, "shared", workers={"worker-1": "wide"}) as system:
        storm = Storm(system, seed=0, patience_seconds=PATIENCE_SECONDS)
        outcome = storm.judged(lambda: all_of(storm))
    assert not outcome.violations, outcome.complaint
