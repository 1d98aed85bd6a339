"""values.yaml and its schema: the same keys, each explained, each with an effect, and bounds as the code has them."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from contract.catalog import ModelName, ModelSpec
from contract.settings import Settings
from tests.charts.effects import EFFECTS, OTHER_MODEL, Effect, rendered_effects
from tests.charts.loops import for_each
from tests.charts.objects import by_name, pod, scaled_object, walk, without_passwords
from tests.charts.rendering import CHART, dump, render, render_together
from tests.charts.scenarios import SCENARIOS, merged, model

SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
TEXT = (CHART / "values.yaml").read_text("utf-8")
VALUES = yaml.safe_load(TEXT)
GUARDS = (CHART / "templates/guards.yaml").read_text("utf-8")

MADE_BY_USERS = {
    "models": "a map by name, each like `defaults`",
    "demo": "a map by name, each like `defaults`",
    "defaults.catalog": "the fields of a ModelSpec",
    "defaults.gpu": "the keys of `gpu`",
    "global": "Helm's own, for charts that have this one as a part",
}
"""Maps of which values.yaml shows no keys."""
FREE = {
    "global": "Helm's own",
    "podSecurityContext": "Kubernetes' own",
    "test.input": "the model's input",
    "definitions.catalog.generation": "the model's own",
    "definitions.catalog.options": "the model's own",
    "definitions.catalog.input_schema": "a JSON Schema",
    "definitions.catalog.output_schema": "a JSON Schema",
    "definitions.scaling.extraTriggers.*.authenticationRef": "KEDA's own",
    "extraObjects.*": "anything",
}
"""Maps in which every key is taken."""


# --- the same keys ----------------------------------------------------------------------------------


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def keys_of_schema(schema: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, inner in resolved(schema).get("properties", {}).items():
        yield before + key
        if before + key not in MADE_BY_USERS:
            yield from keys_of_schema(inner, f"{before}{key}.")


def keys_of_values(values: dict[str, Any], schema: Any, before: str = "") -> Iterator[str]:
    """Down to the maps that are free in the schema."""
    properties = resolved(schema).get("properties", {})
    for key, inner in values.items():
        yield before + key
        below = properties.get(key, {})
        if before + key not in MADE_BY_USERS and "properties" in resolved(below):
            yield from keys_of_values(inner, below, f"{before}{key}.")


def test_values_and_schema_hold_the_same_keys() -> None:
    of_schema, of_values = set(keys_of_schema(SCHEMA)), set(keys_of_values(VALUES, SCHEMA))

    assert of_schema - {"global", "enabled"} - of_values == set(), "not in values.yaml"
    assert of_values - of_schema == set(), "not in the schema"
    assert len(of_values) > 200


def maps_of_schema() -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, schema) of each map."""
    for path, value in walk(SCHEMA):
        if isinstance(value, dict) and value.get("type") == "object":
            steps = ["*" if s in ("additionalProperties", "items") else str(s) for s in path]
            yield ".".join(s for s in steps if s not in ("properties", "anyOf")), value


def test_an_unknown_key_is_refused_at_every_level() -> None:
    free = {
        place
        for place, schema in maps_of_schema()
        if schema.get("additionalProperties", True) is True
        and not place.endswith(("affinity", "*"))  # Kubernetes' own
    }

    assert free == FREE.keys() - {"extraObjects.*"}


# --- each explained ---------------------------------------------------------------------------------


def explained(lines: list[str], number: int) -> bool:
    """A comment stands above the key, above its neighbours, or above the map that it is in."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    for above in range(number - 1, -1, -1):
        line = lines[above]
        indented = len(line) - len(line.lstrip())
        if not line.strip():
            return False
        if line.lstrip().startswith("#"):
            if indented == depth:
                return True
        elif indented < depth:
            return explained(lines, above)
    return False


def test_every_key_is_explained() -> None:
    lines = TEXT.splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r" *[A-Za-z0-9_./-]+:", line)]

    assert [lines[n] for n in keys if not explained(lines, n)] == []
    assert len(keys) > 100
    assert max(map(len, lines)) <= 120


# --- bounds -----------------------------------------------------------------------------------------


def test_the_catalog_of_the_schema_is_a_model_spec() -> None:
    ours = SCHEMA["definitions"]["catalog"]["properties"]
    fields = ModelSpec.model_json_schema()["properties"]

    assert ours.keys() == fields.keys() - {"name"}
    for name, bounds in ours.items():
        field = fields[name]
        field = {
            **field,
            **next((kind for kind in field.get("anyOf", []) if kind != {"type": "null"}), {}),
        }
        pattern = (
            field.get("pattern", "").replace(r"\w.", "A-Za-z0-9_.").replace(r"\w", "[A-Za-z0-9_]")
        )
        assert bounds.get("pattern", "") == pattern, name
        for bound in ("type", "enum", "minimum", "maximum", "exclusiveMinimum"):
            assert bounds.get(bound) == field.get(bound), (name, bound)


def test_the_chart_knows_the_defaults_of_a_model_spec() -> None:
    objects = render(model())
    timeout = ModelSpec.model_fields["timeout_seconds"].default

    assert pod(objects, "worker").spec["terminationGracePeriodSeconds"] == timeout + 30
    target = scaled_object(objects)["spec"]["advanced"]["scalingModifiers"]["target"]
    assert target == str(ModelSpec.model_fields["max_batch_size"].default)


def test_patterns_are_those_of_the_settings() -> None:
    properties, settings = SCHEMA["properties"], Settings.model_json_schema()["properties"]
    ledger, gateway = properties["ledger"]["properties"], properties["gateway"]["properties"]
    (public_url,) = [kind for kind in settings["public_url"]["anyOf"] if "pattern" in kind]

    assert ledger["prefix"]["pattern"] == settings["prefix"]["pattern"]
    assert VALUES["ledger"]["prefix"] == settings["prefix"]["default"]
    assert ledger["durability"]["enum"] == settings["durability"]["enum"]
    assert gateway["publicUrl"]["pattern"] == f"^({public_url['pattern'][1:-1]})?$"
    (name,) = ModelName.__metadata__
    assert f'(regexMatch "{name.pattern}" $model.name)' in GUARDS


# --- effects ----------------------------------------------------------------------------------------


def leaves(values: dict[str, Any], before: str = "") -> Iterator[str]:
    whole = ("demo", "annotations", "resources.requests", "resources.limits")
    for key, inner in values.items():
        if isinstance(inner, dict) and inner and not f"{before}{key}".endswith(whole):
            yield from leaves(inner, f"{before}{key}.")
        else:
            yield before + key


def test_the_table_of_effects_has_every_key_once() -> None:
    assert sorted(effect.key for effect in EFFECTS) == sorted(leaves(VALUES))


def above_its_model(effect: Effect) -> dict[str, Any]:
    """The values after, said by the model itself rather than by `defaults`."""
    after = {key: value for key, value in effect.after.items() if key != "defaults"}
    return merged(
        after, {"models": {"spam": merged(effect.after["defaults"], after["models"]["spam"])}}
    )


def of_models() -> list[Effect]:
    """Without the one that needs another model, which follows `defaults` too."""
    return [e for e in EFFECTS if e.key.startswith("defaults.") and e.given is not OTHER_MODEL]


ByName = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def rendered(helms: None) -> ByName:
    """The objects of an effect's values by name."""
    of_effects = rendered_effects()
    of_the_models = render_together(map(above_its_model, of_models()))
    models = {dump(above_its_model(effect)) for effect in of_models()}

    def find(values: dict[str, Any]) -> dict[str, Any]:
        made = of_the_models if dump(values) in models else of_effects
        return by_name(without_passwords(made(values)))

    return find


@for_each(EFFECTS, lambda effect: effect.key)
def test_a_value_changes_these_objects_and_no_others(effect: Effect, rendered: ByName) -> None:
    before, after = rendered(effect.before), rendered(effect.after)
    changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}

    assert {
        name.replace("/soloist-", "/").replace("team-soloist-", "team-") for name in changed
    } == set(effect.changes.split())


@for_each(of_models(), lambda effect: effect.key)
def test_a_model_can_say_what_the_defaults_say(effect: Effect, rendered: ByName) -> None:
    assert rendered(above_its_model(effect)) == rendered(effect.after)


def test_every_scenario_is_of_known_keys() -> None:
    for values in SCENARIOS.values():
        assert values.keys() <= VALUES.keys()
