"""A schedule that follows from its seed, and mutants that fit the product as it is."""

from pathlib import Path

import pytest

from local.processes import PROJECT
from tests.storm import mutants
from tests.storm.faults import schedule
from tests.storm.mutants import Mutant
from tests.storm.proxy import LinkState

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
    assert {f.kind for f in faults} >= {*(w for w in LinkState if w is not LinkState.CLEAR), "kill"}


@pytest.mark.parametrize("mutant", mutants.ALL, ids=lambda mutant: mutant.name)
def test_every_plant_fits_the_product_as_it_is(tmp_path: Path, mutant: Mutant) -> None:
    source = mutant.build(tmp_path)
    for file, text, _ in mutant.changes:
        assert text not in (source / file).read_text()
        assert text in (PROJECT / file).read_text()


def test_a_plant_whose_text_is_gone_fails_loudly(tmp_path: Path) -> None:
    mutant = Mutant("nowhere", (("contract/ledger/keys.py", "no such text", "x"),))
    with pytest.raises(LookupError, match=r"nowhere: contract/ledger/keys.py has 0 times"):
        mutant.build(tmp_path)
