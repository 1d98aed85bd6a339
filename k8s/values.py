"""The chart's values as an install would see them: files merged as Helm does, models over defaults."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from cli.console import Failure

CHART = Path(__file__).parents[1] / "charts" / "soloist"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same in C where PyYAML was built with it: ten times as fast."""

Values = dict[str, Any]

RESOURCES = {
    "devicePlugin": "nvidia.com/gpu",
    "mig": "nvidia.com/mig-1g.10gb",
    "shared": "nvidia.com/gpu.shared",
}
"""What a worker asks for in each mode, if `gpu.resource` says nothing else."""


def load_values(files: Sequence[Path], chart: Path = CHART) -> Values:
    """The chart's own values with these files over them, in order.

    Raises:
        Failure: a file cannot be read or holds no map, or Helm would refuse the values for their schema.
    """
    own, given = _read(chart / "values.yaml"), dict[str, Any]()
    for file in files:
        given = _layered(given, _read(file))
    values = merge(own, given)
    if given:
        _suit(values, chart / "values.schema.json")
    return _emptied(values, own)


def _read(file: Path) -> Values:
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), LOADER) or {}  # noqa: S506 - a safe one
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", 2) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Failure(f"{file} is not YAML: {error}", 2) from None
    if not isinstance(found, dict):
        raise Failure(f"{file} must hold a map", 2)
    return {_word(key): _plain(value) for key, value in found.items()}


def _plain(found: Any) -> Any:
    """As JSON would have it, as Helm does: keys are words, and so are dates."""
    if isinstance(found, dict):
        return {_word(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_plain(each) for each in found]
    return found if found is None or isinstance(found, bool | int | float) else str(found)


def _word(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key, default=str).strip('"')


def _layered(lower: Values, upper: Values) -> Values:
    """A file over another; a null in it stays, to take away what the chart has."""
    both = {k: _layered(lower[k], v) for k, v in upper.items() if _maps(lower.get(k), v)}
    return {**lower, **upper, **both}


def _maps(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _suit(values: Values, schema: Path) -> None:
    """Say what Helm would say of values that do not suit the chart's schema."""
    try:
        rules = json.loads(schema.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(f"cannot read {schema}: {error.strerror}", 2) from None
    errors = jsonschema_rs.Draft7Validator(rules).iter_errors(values)
    said = sorted({_sentence(error) for error in errors})
    if said:
        more = f" (and {len(said) - 1} more)" if said[1:] else ""
        raise Failure(f"Helm would refuse these values: {said[0]}{more}", 2)


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    path, kind = ".".join(map(str, error.instance_path)), error.kind.as_dict()
    if "property" in kind:
        return f"{path}.{kind['property']}".strip(".") + " is null, and the chart needs it"
    if "unexpected" in kind:
        names = ", ".join(f"{path}.{name}".strip(".") for name in kind["unexpected"])
        return f"there is no value {names}; docs/values.md has all"
    if "types" in kind:
        types = " or ".join(sorted(kind["types"]))
        return f"{path} must be of the type {types}, and is {json.dumps(error.instance)}"
    return f"{path}: {error.message}"


def _emptied(values: Values, own: Values) -> Values:
    """Lists and maps that null has taken away are empty."""
    kept = {k: _emptied(values[k], v) for k, v in own.items() if _maps(values.get(k), v)}
    gone = {k: type(v)() for k, v in own.items() if k not in values and isinstance(v, list | dict)}
    return {**values, **kept, **gone}


def merge(lower: Values, upper: Values) -> Values:
    """Maps are merged, everything else replaced; null takes a key away, where there is one.

    >>> merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3, "c": None}, "d": [2]})
    {'a': {'b': 3}, 'd': [2]}
    """
    merged = dict(lower)
    for key, value in upper.items():
        if value is None and key in merged:
            del merged[key]
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def models_of(values: Values) -> dict[str, Values]:
    """The models that are served, each with everything that holds for it; `gpu` is merged too."""
    named = values.get("models") or values.get("demo") or {}
    models = {name: merge(values["defaults"], own or {}) for name, own in named.items()}
    return {
        name: {**model, "gpu": merge(values["gpu"], model.get("gpu") or {})}
        for name, model in models.items()
        if model["enabled"]
    }


@dataclass(frozen=True)
class Plan:
    """An install that is to be: the chart's values, under the release's name."""

    values: Values
    release: str = "soloist"

    @cached_property
    def models(self) -> dict[str, Values]:
        return models_of(self.values)


def workers_of(model: Values) -> tuple[int, int, str]:
    """The least and the most workers of a model, and the value that says how many at most."""
    scaling = model["scaling"]
    if scaling["enabled"]:
        return scaling["min"], scaling["max"], "scaling.max"
    return scaling["replicas"], scaling["replicas"], "scaling.replicas"


def fetches(model: Values) -> bool:
    """Whether the model comes from the hub before its worker starts, as the chart's `soloist.models` has it."""
    source = model["catalog"].get("source")
    on_hub = bool(source) and not re.match(r"[./~]|package:", str(source))
    return bool(model["hub"]["fetch"] and on_hub and model["cache"]["type"] != "image")


def resource_of(gpu: Values) -> str:
    """The extended resource of a worker's GPU; empty where it has none, or claims it (dra)."""
    return str(gpu["resource"] or RESOURCES.get(gpu["mode"], "")) if gpu["mode"] != "dra" else ""


def look_up(values: Values, path: str) -> Any:
    """The value at a path like ``ledger.external.host``, or None."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
