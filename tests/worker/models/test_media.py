"""Files of strangers."""

import base64

import pytest

from contract.errors import BadItem
from worker.models import media


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_base64_and_data_urls_are_read() -> None:
    assert media.decode_base64(encoded(b"abc")) == b"abc"
    assert media.decode_base64("data:image/png;base64," + encoded(b"abc")) == b"abc"
    assert media.decode_base64("YWJj\nYWJj") == b"abcabc"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "/etc/passwd",
        "../cat.png",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:image/png;base64,",
        "",
        "====",
        17,
        None,
    ],
)
def test_anything_else_is_refused_and_never_opened(text: object) -> None:
    with pytest.raises(BadItem):
        media.decode_base64(text)


class Told(Exception):
    error_string = "Error : the decoder lost sync."


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), None),
        (OSError(5, "Invalid data found", "a.wav"), "Invalid data found"),
        (Told("Error opening <_io.BytesIO object at 0x7f>"), "the decoder lost sync"),
        (ValueError("cannot open <_io.BytesIO object>"), "it cannot be decoded"),
        (ValueError("bad chunk at 0x7f01"), "it cannot be decoded"),
        (ValueError("no such file: /usr/lib/x"), "it cannot be decoded"),
        (ValueError("no such file: usr/lib/x"), "it cannot be decoded"),
        (ValueError("File is not a regular file"), "it cannot be decoded"),
        (KeyError("x"), "it cannot be decoded"),
        (EOFError(), "it cannot be decoded"),
    ],
)
def test_the_reason_of_a_broken_file_is_kept_and_what_is_inside_the_worker_is_not(
    error: Exception, reason: str | None
) -> None:
    assert media.decoding_error(error) == (reason or str(error))
