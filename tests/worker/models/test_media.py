"""Files of strangers."""

import base64

import pytest

from contract.errors import BadItem
from worker.models import media


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_base64_and_data_urls_are_read() -> None:
    assert media.data(encoded(b"abc")) == b"abc"
    assert media.data("data:image/png;base64," + encoded(b"abc")) == b"abc"
    assert media.data("YWJj\nYWJj") == b"abcabc"


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
        media.data(text)
