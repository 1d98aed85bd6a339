"""Checks an input against its model's JSON Schema, and says in one sentence what does not fit."""

from typing import Any

import jsonschema_rs

from contract.catalog import ModelSpec
from contract.errors import InvalidInput
from contract.json_pointer import json_pointer


class InputSchema:
    """The schema of one model's inputs (JSON Schema, draft 2020-12)."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._validator = jsonschema_rs.Draft202012Validator(spec.inputs)

    def check(self, value: dict[str, Any]) -> None:
        """Return if the input fits.

        Raises:
            InvalidInput: it does not; the error names the first place that is wrong.
        """
        if not self._validator.is_valid(value):
            raise self._misfit(value)

    def _misfit(self, value: dict[str, Any]) -> InvalidInput:
        spec = self.spec
        error = _reason(next(iter(self._validator.iter_errors(value))))
        place = json_pointer(["input", *error.instance_path])
        # It begins with the value, perhaps megabytes, and ends with the reason.
        message = error.message
        if wanted := _description(error, spec.inputs):
            text = error.instance if len(error.instance) <= 100 else f"{error.instance[:100]}..."
            message = f"{text!r} does not fit: {wanted[:250].rstrip('.')}"
        elif len(message) > 300:
            message = f"{message[:100]}...{message[-197:]}"
        for name in getattr(error.kind, "unexpected", ()):
            if name in spec.refused:
                message = f"`{name}` is not served: {spec.refused[name]}"
        return InvalidInput(
            f"{place[1:]}: {message}; the schema is at /v1/models/{spec.id}", pointer=place
        )


def _reason(error: Any) -> Any:
    """Of a value that may be one of several kinds: what is wrong with it as the kind that it is."""
    while error.kind.name == "anyOf":
        fitting = [found for found, *_ in error.kind.context if found.kind.name != "type"]
        if len(fitting) != 1:
            break
        (error,) = fitting
    return error


def _description(error: Any, schema: Any) -> str:
    """What the schema says in words of a text whose pattern was not met: few people read patterns."""
    if error.kind.name != "pattern":
        return ""
    for step in error.schema_path[:-1]:
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):  # a schema with an $id of its own
            return ""
    return str(schema.get("description", "")) if isinstance(schema, dict) else ""
