"""What names a version of a model: 32 hex digits of its entry in the catalog, then 32 of its files.

Gateway, keeper and worker read the entry out of the catalog. The files lie where the worker is, so it alone
says what they hold, and the ledger passes it on (contract/ledger/scripts/register.lua).
"""

import re

HALF = 32
UNTOLD = "0" * HALF
"""In place of the files' half as long as no worker was there to tell. No worker serves such a version."""

_VERSION = re.compile(r"[0-9a-f]{64}")


def is_version(text: str) -> bool:
    """Whether a text could be a version's name."""
    return bool(_VERSION.fullmatch(text))


def entry_of(version: str) -> str:
    """The half that follows from the catalog."""
    return version[:HALF]


def named_version(reference: str) -> str | None:
    """The version that `owner/name:version` or a bare version id names; None where only a model is named.

    >>> named_version("acme/spam"), named_version("acme/spam:5f"), named_version("5f" * 32)[:4]
    (None, '5f', '5f5f')
    """
    _, colon, version = reference.partition(":")
    if colon:
        return version or None
    return reference if is_version(reference) else None
