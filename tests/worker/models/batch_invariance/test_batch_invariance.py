"""The property of every model: alone = in any batch = reference. The rows are beside it."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema_rs import validator_for

from contract.catalog import ModelSpec
from contract.errors import SoloistError
from contract.tasks import TASKS
from tests.worker.models.answers import close
from tests.worker.models.batch_invariance import FAMILIES, Asked, Family
from tests.worker.models.batch_invariance.family import Answering
from worker.models import Item, Model, open_model
from worker.models.output_json import encode_output

pytestmark = pytest.mark.slow

CASES = [
    pytest.param(
        family,
        situation,
        id=f"{family.task}-{family.name}-{situation}",
        marks=pytest.mark.xdist_group(f"{family.task} {family.name}"),
    )
    for family in FAMILIES
    for situation in family.situations
]


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], tuple[Path, Model]]:
    """The folder of a family and its model, ready; made on first use."""
    ready: dict[Family | int, tuple[Path, Model]] = {}

    def get(family: Family) -> tuple[Path, Model]:
        if id(family) not in ready:
            folder = family.build(tmp_path_factory.mktemp("family") / "model")
            spec = ModelSpec(
                name="tiny", source=str(folder), task=family.task, **dict(family.catalog)
            )
            model = open_model(spec)
            model.load(spec, "cpu")
            ready[id(family)] = folder, model
        return ready[id(family)]

    return get


@pytest.fixture(scope="session")
def references() -> Callable[[Family, Path], Answering]:
    ready: dict[int, Answering] = {}

    def get(family: Family, folder: Path) -> Answering:
        if id(family) not in ready:
            ready[id(family)] = family.reference(folder)
        return ready[id(family)]

    return get


def predicted(model: Model, batch: Sequence[Asked]) -> list[Any]:
    items = [Item(f"p{n}", {**asked.body}) for n, asked in enumerate(batch)]
    return model.predict(items)


def orders(batch: Sequence[Asked]) -> list[list[int]]:
    """Indexes of the batches that a situation is asked in: as it stands, turned round, twice and shuffled."""
    indexes = list(range(len(batch)))
    mixed = indexes * 2
    random.Random(len(batch)).shuffle(mixed)
    return [indexes, indexes[::-1], mixed]


def same(found: Any, wanted: Any, family: Family, what: str) -> None:
    """Equal outputs, or equal refusals."""
    if isinstance(wanted, Exception):
        assert (type(found), str(found)) == (type(wanted), str(wanted)), what
        return
    assert not isinstance(found, Exception), f"{what}: {found!r}"
    close(family.compared(found), family.compared(wanted), family.tolerance)


@pytest.mark.parametrize(("family", "situation"), CASES)
def test_alone_in_any_batch_and_the_reference_are_one(
    family: Family,
    situation: str,
    opened: Callable[[Family], tuple[Path, Model]],
    references: Callable[[Family, Path], Answering],
) -> None:
    folder, model = opened(family)
    batch = family.situations[situation]
    task = TASKS[family.task]
    alone = [predicted(model, [asked])[0] for asked in batch]
    for asked, found in zip(batch, alone, strict=True):
        assert validator_for(task.input).is_valid(orjson.loads(orjson.dumps(asked.body)))
        if asked.fails is not None:
            assert isinstance(found, SoloistError), f"{asked} gave {found!r}"
            assert asked.fails in str(found)
            continue
        same(
            found,
            references(family, folder)(asked.inputs, asked.parameters),
            family,
            "alone",
        )
        validator_for(task.output).validate(orjson.loads(encode_output(found)))
    for order in orders(batch):
        for index, found in zip(order, predicted(model, [batch[n] for n in order]), strict=True):
            same(found, alone[index], family, f"{batch[index]} in {order}")


def test_every_task_has_a_family() -> None:
    assert {family.task for family in FAMILIES} == TASKS.keys()
