"""The warm-up: before a model is ready, it must answer typical inputs, from the input to JSON."""

from collections.abc import Mapping
from typing import Any

from contract.errors import OutOfMemory, OutputInvalid, StartRefused
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item, Model
from worker.models.output_json import encode_output
from worker.models.timing import timed
from worker.models.torch_errors import first_line, free_memory, translate_error


@timed("warm_up")
def warm_up(checkpoint: Checkpoint, model: Model, inputs: Mapping[str, dict[str, Any]]) -> None:
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
        if len(inputs) > 1 and isinstance(translate_error(error), OutOfMemory):
            free_memory()
            return  # the worker halves such a batch
        raise checkpoint.refusal(_sentence(checkpoint, inputs, error)) from error
    for name, output in zip(inputs, outputs, strict=True):
        try:
            if isinstance(output, Exception):
                raise output
            encode_output(output)
        except Exception as error:
            beside = {name: None} if len(inputs) == 1 else {name: None, "others beside it": None}
            raise checkpoint.refusal(_sentence(checkpoint, beside, error)) from error


def _sentence(checkpoint: Checkpoint, names: Mapping[str, Any], error: Exception) -> str:
    asked = f"it cannot answer {' with '.join(names)}"
    if isinstance(translate_error(error), OutOfMemory):
        return f"{asked}: the device's memory is too small; lower `max_batch_tokens` or `max_batch_size`"
    way = checkpoint.overflow if isinstance(error, OutputInvalid) else ""
    return f"{asked}: {type(error).__name__}: {first_line(error)}{way}"
