"""Tiny models, built once a session and loaded through the same door as the worker's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import ModelSpec
from worker.models import Model, open_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a model by its builder in `task_models`, built on first use."""
    from tests.worker.models.builders import (
        task_models,  # here, as it brings torch, which the fast tests do without
    )

    built: dict[Any, Path] = {}

    def get(builder: str, **options: Any) -> Path:
        key = (builder, *sorted((name, str(value)) for name, value in options.items()))
        if key not in built:
            target = tmp_path_factory.mktemp(builder) / "model"
            built[key] = getattr(task_models, builder)(target, **options)
        return built[key]

    return get


@pytest.fixture(scope="session")
def loaded() -> Callable[..., Model]:
    """A model of a task from a folder, on the CPU; the same arguments give the same model."""
    ready: dict[Any, Model] = {}

    def get(task: str, source: Path | str, **options: Any) -> Model:
        key = (task, source, str(sorted(options.items())))
        if key not in ready:
            spec = ModelSpec(name="tiny", source=str(source), task=task, **options)
            model = open_model(spec)
            model.load(spec, "cpu")
            ready[key] = model
        return ready[key]

    return get
