"""The chart's values as an install would see them: files merged as Helm does, models over defaults."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cli.console import Failure

CHART = Path(__file__).parents[1] / "charts" / "soloist"

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
        Failure: a file cannot be read or holds no map.
    """
    values: Values = {}
    for file in (chart / "values.yaml", *files):
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror}", 2) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise Failure(f"{file} is not YAML: {error}", 2) from None
        if not isinstance(found or {}, dict):
            raise Failure(f"{file} must hold a map", 2)
        merged = merge(values, found or {})
        _same_shape(values, merged, "")
        values = merged
    for name, model in (values["models"] or {}).items():
        if not isinstance(model or {}, dict):
            raise Failure(f"models.{name} must be a map", 2)
        _same_shape(values["defaults"], merge(values["defaults"], model or {}), f"models.{name}")
    return values


def _same_shape(own: Values, merged: Values, place: str) -> None:
    """Where the chart has a map there must be one; the schema, which Helm checks, says the rest."""
    for key, value in own.items():
        path = f"{place}.{key}".strip(".")
        if key not in merged:
            raise Failure(f"{path} is null, and the chart needs it", 2)
        if isinstance(value, dict):
            if not isinstance(merged[key], dict):
                raise Failure(f"{path} must be a map", 2)
            _same_shape(value, merged[key], path)


def merge(lower: Values, upper: Values) -> Values:
    """Maps are merged, everything else replaced; null takes a key away.

    >>> merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3, "c": None}, "d": [2]})
    {'a': {'b': 3}, 'd': [2]}
    """
    merged = dict(lower)
    for key, value in upper.items():
        if value is None:
            merged.pop(key, None)
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
