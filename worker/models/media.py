"""Files that come as base64 in JSON: images and sounds.

Never by a transformers pipeline: it would fetch a string that looks like a URL, or open it as a path.
"""

import base64
import binascii
import re
from typing import Any

from contract.errors import BadItem
from worker.models.torch_errors import first_line

INTERNAL = re.compile(r"0x[0-9a-f]|[<>\\{}]|(?<!\w)/|\w/\w+/|\.py\b|regular file", re.IGNORECASE)
"""Marks of addresses in memory, of Python's objects, of paths and of files opened by name."""


def decode_base64(text: Any) -> bytes:
    """The bytes of a base64 string or a `data:` URL.

    Raises:
        BadItem: it is neither; an address and a path are neither.
    """
    if not isinstance(text, str):
        raise BadItem("The file is not given as a string of base64")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadItem("The data: URL is not base64")
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadItem("The file is not valid base64; addresses and paths are not opened") from None
    if not found:
        raise BadItem("The file is empty")
    return found


def decoding_error(error: Exception) -> str:
    """What a decoder says of a broken file, if that reveals nothing of the worker's insides."""
    for name in ("error_string", "strerror"):  # libsndfile's and ffmpeg's, without the file's name
        if text := getattr(error, name, None):
            break
    else:
        text = first_line(error)
    text = str(text).removeprefix("Error : ").strip().rstrip(".")
    if len(text.split()) < 2 or INTERNAL.search(text):
        return "it cannot be decoded"
    return text
