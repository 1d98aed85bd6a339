"""What a model answers, as JSON text: arrays and tensors as lists, and never NaN."""

import math
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

from contract import exact_json
from contract.errors import DeviceLost, OutputInvalid
from worker.models.torch_errors import translate_error


def encode_output(output: Any) -> bytes:
    """An output as JSON text. Arrays and tensors become lists.

    Raises:
        OutputInvalid: it holds NaN, infinity or something that JSON cannot say.
        DeviceLost: a tensor could not be read from its device.
    """
    try:
        encoded = exact_json.dumps(output, _plain, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        if isinstance(lost := translate_error(error.__cause__ or error), DeviceLost):
            raise lost from error
        raise OutputInvalid(f"the output cannot be written as JSON: {error}") from None
    # orjson writes NaN and infinity as null, so only an output with a null needs the slow look.
    if b"null" in encoded and not _finite(output):
        raise OutputInvalid("the output holds NaN or infinity")
    return encoded


def _plain(value: Any) -> Any:
    """Tensors and numpy values that orjson does not know, as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _finite(value: Any) -> bool:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    if is_dataclass(value):  # orjson writes them too
        return all(_finite(getattr(value, field.name)) for field in fields(value))
    return True
