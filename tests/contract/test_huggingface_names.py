"""What Hugging Face's clients may send for a task: each field is served or refused by name."""

from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import pytest

from contract.tasks import TASKS

TYPES = "huggingface_hub.inference._generated.types"
ELSEWHERE = {
    "sentence-similarity": "its type has parameters of any name",
    "text-ranking": "no type of theirs; text-embeddings-inference has the route",
    "image-feature-extraction": "no type of theirs",
}


def settings_of(task: str) -> set[str]:
    """The fields of the type of a task's parameters."""
    module = import_module(f"{TYPES}.{task.replace('-', '_')}")
    owned = [
        kind
        for name, kind in vars(module).items()
        if is_dataclass(kind) and kind.__module__ == module.__name__ and name.endswith("Parameters")
    ]
    if owned:
        return {field.name for kind in owned for field in fields(kind)}
    (kind,) = [kind for name, kind in vars(module).items() if name.endswith("Input")]
    return {field.name for field in fields(kind)} - {"inputs", "parameters"}


def served(task: str) -> set[str]:
    given: dict[str, Any] = TASKS[task].parameters
    nested = given.get("generation_parameters", {}).get("properties", {})
    return {*given, *nested}


@pytest.mark.parametrize("task", sorted(TASKS.keys() - ELSEWHERE.keys()))
def test_every_field_of_a_client_is_served_or_refused_by_name(task: str) -> None:
    assert settings_of(task) - served(task) - TASKS[task].refused.keys() == set()
