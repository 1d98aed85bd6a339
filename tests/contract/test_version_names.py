"""Names of versions: two halves, and references that name one."""

import pytest

from contract.versions import entry_of, is_version, named_version

ENTRY = "e" * 32
A = ENTRY + "1" * 32


def test_a_version_has_two_halves() -> None:
    assert is_version(A)
    assert entry_of(A) == ENTRY
    for text in ("", "a" * 63, A.upper(), A + "\n", "g" * 64):
        assert not is_version(text)


@pytest.mark.parametrize(
    ("reference", "version"),
    [("acme/m", None), ("acme/m:", None), (f"acme/m:{A}", A), (A, A), ("acme/m:v1", "v1")],
)
def test_a_reference_names_a_version_or_only_a_model(reference: str, version: str | None) -> None:
    assert named_version(reference) == version
