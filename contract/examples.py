"""An input to try a model with, so that the first answer is one line away."""

from typing import Any

SENTENCE = "Soloist plays one model at a time."
PICTURE = (  # a grey gradient of 64 by 64 pixels, a PNG: some models read no smaller ones
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAANElEQVR42u3MMREAIAwEMArFv2Lu6oDl10RA"
    "aq9MnzS4adACgUAgEAgEAoFAIBAIfuqFwQB9LgLy4CuODgAAAABJRU5ErkJggg=="
)

SOUND = (  # a square wave of 400 hertz, a quarter of a second, a FLAC
    "ZkxhQwAAACIQABAAAAFgAAFgAfQA8AAAB9C4FtnGhVPF/1pc9B4339amhAAAKCAAAAByZWZlcmVuY2UgbGli"
    "RkxBQyAxLjQuMyAyMDIzMDYyMwAAAAD/+HQIAAfPnRMADwA/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/"
    "4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+"
    "P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D"
    "/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/"
    "4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+"
    "P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/x/4f+P/D/wJi2"
)


def example(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The first of a schema's `examples`, or a text in place of each text that it requires; None if neither
    will do.
    """
    given = schema.get("examples")
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return given[0]
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if required and all(properties.get(name, {}).get("type") == "string" for name in required):
        return dict.fromkeys(required, SENTENCE)
    return None
