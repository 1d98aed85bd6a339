"""Files that come as base64 in JSON: images and sounds.

Never by a transformers pipeline: it would fetch a string that looks like a URL, or open it as a path.
"""

import base64
import binascii
from typing import Any

from contract.errors import BadItem


def data(text: Any) -> bytes:
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
