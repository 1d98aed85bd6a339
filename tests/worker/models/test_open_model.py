"""Which model a catalog entry opens."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from contract.tasks import TASKS
from worker.models import open_model


class Doubling:
    """A model of somebody's own."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self.factor = spec.options.get("factor", 2)

    def predict(self, items: list[Any]) -> list[Any]:
        return [item.input["n"] * self.factor for item in items]


class Unmakeable(Doubling):
    def __init__(self) -> None:
        raise RuntimeError("no licence\nand more")


class Mute:
    def load(self, spec: ModelSpec, device: str) -> None: ...


def custom(name: str) -> ModelSpec:
    return ModelSpec(name="own", python=f"{__name__}:{name}")


def test_a_python_model_is_made_from_its_class() -> None:
    model = open_model(custom("Doubling"))
    model.load(custom("Doubling"), "cpu")
    assert isinstance(model, Doubling)


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("no_such_package.module:Class", "No module named 'no_such_package'"),
        (f"{__name__}:Missing", "Missing"),
        (f"{__name__}:Unmakeable", "RuntimeError: no licence"),
        (f"{__name__}:Mute", "has no method 'predict'"),
    ],
)
def test_a_python_model_that_cannot_be_made_is_refused_in_one_line(where: str, reason: str) -> None:
    with pytest.raises(ModelUnloadable) as caught:
        open_model(ModelSpec(name="own", python=where))
    assert reason in str(caught.value)
    assert "own" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_model_of_each_task_can_be_opened(task: str) -> None:
    model = open_model(ModelSpec(name="any", source="./any", task=task))
    module, _, name = TASKS[task].model.partition(":")
    assert type(model) is getattr(import_module(module), name)


def test_a_python_model_is_opened_without_torch(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Own:\n    def load(self, spec, device): ...\n    def predict(self, items): ...\n"
    )
    code = (
        "import sys\n"
        "from contract.catalog import ModelSpec\n"
        "from worker.models import open_model, torch_errors\n"
        "open_model(ModelSpec(name='own', python='own:Own'))\n"
        "torch_errors.free_memory()\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
