"""A storm that is made for it finds the fault of each mutant by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storm import mutants
from tests.storm.evidence import read_runs
from tests.storm.faults import Fault
from tests.storm.mutants import Mutant
from tests.storm.proxy import LinkState
from tests.storm.storm import Storm
from tests.storm.system import System
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PATIENCE_SECONDS = 6.0
GIVE_UP_SECONDS = 3.0
"""After this time no gateway goes on with what it began before a fault."""
HERE, THERE = "gateway-1", "gateway-2"


def set_link(storm: Storm, kind: LinkState, link: str) -> Callable[[], None]:
    """Change the state of a link; what changes it back."""
    event = storm.system.inject(Fault(0, 0, kind, link))
    return lambda: storm.system.heal(event)


def freeze_a_worker_and_cancel(storm: Storm) -> None:
    """The frozen worker wakes up with an outcome for what was canceled meanwhile."""
    clients, system = storm.clients, storm.system
    intent = clients.intent(input={"seconds": 1.0})
    id = clients.create(intent, HERE).id
    assert id is not None
    until("it runs", lambda: any(run.id == id for run in read_runs(system.runs_file)), 20)
    event = system.inject(Fault(0, 0, "stop", "worker-1"))
    intent.canceled = True
    assert clients.cancel(id, HERE).status == 200
    assert clients.get(id, HERE).status == 200
    system.heal(event)
    until("it ends", lambda: read_runs(system.runs_file)[-1].ended, 20)
    storm.run_faults(GIVE_UP_SECONDS, [])  # time for a product that is broken to write the outcome


def hold_a_create_back(storm: Storm) -> None:
    """It reaches the ledger long after its client got the answer that it never will be recorded."""
    clients = storm.clients
    heal = set_link(storm, LinkState.SILENT_UP, f"{HERE}-ledger")
    request = clients.create(clients.intent(), HERE)
    assert request.status == 504
    assert request.id is not None
    assert clients.get(request.id, THERE).status == 404
    heal()


def cut_the_ledger_off(storm: Storm) -> None:
    clients = storm.clients
    heal = set_link(storm, LinkState.CUT, f"{HERE}-ledger")
    for _ in range(3):
        clients.create(clients.intent(), HERE)
    storm.run_faults(GIVE_UP_SECONDS, [])
    heal()


def lose_a_message(storm: Storm) -> None:
    clients = storm.clients
    heal = set_link(storm, LinkState.CUT, f"{HERE}-broker")
    assert clients.create(clients.intent(), HERE).accepted
    storm.run_faults(GIVE_UP_SECONDS, [])
    heal()


def repeat_a_key(storm: Storm) -> None:
    clients = storm.clients
    intent = clients.intent(key="the-same")
    assert clients.create(intent, HERE).accepted
    assert clients.create(intent, THERE).accepted


@pytest.mark.parametrize(
    ("mutant", "act", "name"),
    [
        (mutants.UNFENCED_FINISH, freeze_a_worker_and_cancel, "doubled"),
        (mutants.LATE_CREATE, hold_a_create_back, "unknown_unresolved"),
        (mutants.EARLY_ANSWER, cut_the_ledger_off, "lost"),
        (mutants.LOST_WAKE_UP, lose_a_message, "lost_wake_up"),
        (mutants.BARE_ERROR, cut_the_ledger_off, "server_error"),
        (mutants.FORGOTTEN_KEY, repeat_a_key, "duplicated"),
    ],
    ids=lambda value: value.name if isinstance(value, Mutant) else "",
)
def test_a_planted_fault_is_found_by_its_name(
    tmp_path: Path, mutant: Mutant, act: Callable[[Storm], None], name: str
) -> None:
    source = mutant.build(tmp_path / "source")
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
