"""The proof before a model is ready: it is asked, from input to JSON, what its clients will ask."""

from collections.abc import Mapping
from typing import Any

from contract.errors import StartRefused
from worker.models.encoding import encode
from worker.models.faults import brief
from worker.models.interface import Item, Model
from worker.models.loading import Checkpoint
from worker.models.phases import during


@during("warm_up")
def prove(checkpoint: Checkpoint, model: Model, inputs: Mapping[str, dict[str, Any]]) -> None:
    """Ask for each of `inputs` alone, and for all of them in one batch.

    `inputs`: what a client would send, by what it is called in a sentence ("a short text").

    Raises:
        ModelUnloadable: one has no answer, or none that JSON can say; with the reason, in one line.
    """
    for name, given in inputs.items():
        _ask(checkpoint, model, {name: given})
    if len(inputs) > 1:
        _ask(checkpoint, model, inputs)


def _ask(checkpoint: Checkpoint, model: Model, inputs: Mapping[str, dict[str, Any]]) -> None:
    items = [Item(f"warm-up {number}", given) for number, given in enumerate(inputs.values())]
    try:
        outputs = list(model.predict(items))
    except StartRefused:
        raise
    except Exception as error:
        raise checkpoint.refusal(_sentence(inputs, error)) from error
    for name, output in zip(inputs, outputs, strict=True):
        try:
            if isinstance(output, Exception):
                raise output
            encode(output)
        except Exception as error:
            beside = {name: None} if len(inputs) == 1 else {name: None, "others beside it": None}
            raise checkpoint.refusal(_sentence(beside, error)) from error


def _sentence(names: Mapping[str, Any], error: Exception) -> str:
    return f"it cannot answer {' with '.join(names)}: {type(error).__name__}: {brief(error)}"
