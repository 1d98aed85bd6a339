"""Which pods a changed value restarts: every field of a catalog's entry, and every value of the chart."""

import re
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import (
    IN_A_VERSION,
    NOT_FOR_GATEWAYS,
    NOT_FOR_KEEPERS,
    NOT_FOR_WORKERS,
    Catalog,
    ModelSpec,
    load_catalog,
)
from tests.charts.effects import EFFECTS, Effect, rendered_effects
from tests.charts.loops import for_each
from tests.charts.objects import by_name, restarted, templates
from tests.charts.rendering import ROOT, Object, Rendered, render_together
from tests.charts.scenarios import SHOUT, SPAM, model

PYTHON = {key: {"type": "object"} for key in ("input_schema", "output_schema")}
FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    # the entry before, the other value
    "id": (SPAM, "my-team/other"),
    "source": (SPAM, "my-team/other"),
    "task": (SPAM, "fill-mask"),
    "python": (SHOUT, "my_models.other:Other"),
    "revision": (SPAM, "v2"),
    "dtype": (SPAM, "float32"),
    "device": (SPAM, "auto"),
    "max_batch_size": (SPAM, 7),
    "max_batch_tokens": (SPAM, 512),
    "timeout_seconds": (SPAM, 60),
    "max_queue": (SPAM, 7),
    "result_ttl_seconds": (SPAM, 60),
    "max_output_bytes": (SPAM, 512),
    "scaling_target": (SPAM, 7),
    "cost_per_hour": (SPAM, 2.5),
    "pooling": (SPAM, "mean"),
    "generation": (SPAM, {"max_new_tokens": 7}),
    "options": (SHOUT, {"mark": "?"}),
    "input_schema": (SHOUT, PYTHON),
    "output_schema": (SHOUT, PYTHON),
    "description": (SPAM, "other words"),
}
GATEWAY, KEEPER = "Deployment/soloist-gateway", "Deployment/soloist-keeper"
WORKER = "Deployment/soloist-worker-spam"
WITHOUT_A_RESTART = {
    "defaults.scaling.enabled",
    "defaults.scaling.replicas",
    "gateway.replicas",
    "gateway.hpa.enabled",
    "ledger.bundled.persistence.size",
    "ledger.bundled.persistence.storageClass",
}
"""Values that change an object with pods in it, and not the pods."""


def with_field(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    entry, other = FIELDS[name]
    return model(entry), model({**entry, name: other})


@pytest.fixture(scope="module")
def fields(helms: None) -> Rendered:
    """The objects of the values of the fields."""
    return render_together(values for name in FIELDS for values in with_field(name))


# --- the fields of an entry ---------------------------------------------------------------------------


def test_the_table_has_every_field() -> None:
    assert FIELDS.keys() == ModelSpec.model_fields.keys() - {"name"}
    assert FIELDS.keys() >= IN_A_VERSION | NOT_FOR_WORKERS | NOT_FOR_GATEWAYS | NOT_FOR_KEEPERS


@for_each(FIELDS)
def test_a_field_restarts_who_reads_it_and_nobody_else(name: str, fields: Rendered) -> None:
    unread = {GATEWAY: NOT_FOR_GATEWAYS, KEEPER: NOT_FOR_KEEPERS, WORKER: NOT_FOR_WORKERS}
    before, after = map(fields, with_field(name))

    assert restarted(before, after) == {pod for pod in unread if name not in unread[pod]}


FOLLOWS = {
    "entry": IN_A_VERSION,
    "version": IN_A_VERSION,
    "owner": {"id"},
    "target": {"scaling_target", "max_batch_size"},
    "inputs": {"task", "input_schema"},
    "outputs": {"task", "output_schema"},
    "refused": {"task"},
}
"""What a spec says of itself, and the fields that it follows from."""
NEW = "contract/ledger/new_prediction.py"
"""What a gateway makes of a request by the model's spec."""


def fields_in(*patterns: str) -> set[str]:
    """The fields of a spec that these modules read."""
    text = "\n".join(p.read_text("utf-8") for each in patterns for p in sorted(ROOT.glob(each)))
    read: set[str] = set()
    for name in re.findall(r"\b_?spec\.(\w+)", text):
        read |= FOLLOWS.get(name, {name})
    return read & ModelSpec.model_fields.keys()


def test_the_code_reads_no_field_that_its_pods_do_not_restart_for() -> None:
    gateway = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service").rglob("*.py")
        if "keeper" not in path.parts
    ]
    assert fields_in("worker/**/*.py") & NOT_FOR_WORKERS == set()
    assert fields_in(*gateway, NEW) & NOT_FOR_GATEWAYS == set()
    assert fields_in("service/keeper/*.py") & NOT_FOR_KEEPERS == set()


def test_a_field_that_restarts_a_pod_is_read_there() -> None:
    """`options` and the schemas by the class of a `python` model, which gets the whole spec."""
    by_classes = {"options", "input_schema", "output_schema"}

    assert fields_in("worker/**/*.py") | NOT_FOR_WORKERS | by_classes == FIELDS.keys() | {"name"}
    assert fields_in("service/**/*.py", NEW) | NOT_FOR_GATEWAYS == FIELDS.keys() | {"name"}
    assert fields_in("service/keeper/*.py") | NOT_FOR_KEEPERS | {"name"} == FIELDS.keys() | {"name"}


def catalogs(objects: list[Object], folder: Path) -> tuple[Catalog, Catalog]:
    """The gateway's and the worker's."""
    found = []
    for name in ("ConfigMap/soloist-catalog", "ConfigMap/soloist-worker-spam"):
        path = folder / f"{name.rpartition('-')[2]}.yaml"
        path.write_text(by_name(objects)[name]["data"]["catalog.yaml"], "utf-8")
        found.append(load_catalog(path))
    return found[0], found[1]


@for_each(FIELDS)
def test_gateway_and_worker_agree_on_the_version(
    name: str, fields: Rendered, tmp_path: Path
) -> None:
    entries = []
    for values in with_field(name):
        gateway, worker = catalogs(fields(values), tmp_path)
        assert gateway["spam"].entry == worker["spam"].entry
        entries.append(worker["spam"].entry)

    assert (entries[0] != entries[1]) == (name in IN_A_VERSION)


def test_what_names_a_version_restarts_who_serves_and_who_accepts_it() -> None:
    assert set() == IN_A_VERSION & (NOT_FOR_WORKERS | NOT_FOR_GATEWAYS | NOT_FOR_KEEPERS)


@for_each(FIELDS)
def test_a_worker_finds_all_that_it_reads_and_nothing_else(
    name: str, fields: Rendered, tmp_path: Path
) -> None:
    whole, own = catalogs(fields(with_field(name)[1]), tmp_path)
    unread = {field: ModelSpec.model_fields[field].get_default() for field in NOT_FOR_WORKERS}

    assert own["spam"] == whole["spam"].model_copy(update=unread)


# --- the values ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def effects(helms: None) -> Rendered:
    return rendered_effects()


@for_each(EFFECTS, lambda effect: effect.key)
def test_a_value_restarts_the_pods_of_what_it_changes_or_is_one_that_does_not(
    effect: Effect, effects: Rendered
) -> None:
    before, after = effects(effect.before), effects(effect.after)
    there = templates(before).keys() & templates(after).keys()
    changed = there & {name.replace("/", "/soloist-") for name in effect.changes.split()}

    again = restarted(before, after)
    assert again <= changed
    assert (again != changed) == (effect.key in WITHOUT_A_RESTART)
