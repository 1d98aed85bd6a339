"""JSON pointers (RFC 6901): they name the place in a body that is wrong."""

from collections.abc import Iterable

MAX_POINTER = 500
"""Characters of a pointer that go back to the client: keys may be as long as the body."""


def json_pointer(steps: Iterable[str | int]) -> str:
    """A pointer of these steps, cut before the step that makes it longer than MAX_POINTER."""
    pointer = ""
    for step in steps:
        longer = f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"
        if len(longer) > MAX_POINTER:
            break
        pointer = longer
    return pointer
