"""Models: the only code that imports torch and transformers."""

from importlib import import_module
from typing import cast

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from contract.tasks import TASKS
from worker.models.interface import Item, Model
from worker.models.torch_errors import first_line

__all__ = ["Item", "Model", "open_model"]


def open_model(spec: ModelSpec) -> Model:
    """The model that the catalog describes, not loaded yet.

    Raises:
        ModelUnloadable: the class of a `python` model cannot be imported or made.
    """
    where = spec.python or TASKS[str(spec.task)].model
    module, _, name = where.partition(":")
    try:
        made = getattr(import_module(module), name)()
    except Exception as error:
        kind = type(error).__name__
        raise ModelUnloadable(
            f"model {spec.name!r}: {where} cannot be opened: {kind}: {first_line(error)}"
        ) from error
    for method in ("load", "predict"):
        if not callable(getattr(made, method, None)):
            raise ModelUnloadable(f"model {spec.name!r}: {where} has no method {method!r}")
    return cast(Model, made)
