"""A loop over cases runs them all and names the one that fails; a render is made once for each chart and values."""

import os
import time
from pathlib import Path

import pytest

from tests.charts import renders
from tests.charts.loops import for_each
from tests.charts.renders import digest, forget_old_renders, stored


def test_every_case_runs_with_the_tests_fixtures_and_one_that_fails_is_named() -> None:
    ran: list[tuple[int, str]] = []

    @for_each([1, 3, 4, 5], lambda number: f"number {number}")
    def every_number_is_odd(number: int, word: str) -> None:
        ran.append((number, word))
        assert number % 2

    with pytest.raises(AssertionError) as caught:
        every_number_is_odd(word="odd")
    assert caught.value.__notes__ == ["the case: number 4"]
    assert ran == [(1, "odd"), (3, "odd"), (4, "odd")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(renders, "FOLDER", tmp_path / "renders")
    return tmp_path / "renders"


def test_what_was_made_for_a_key_is_made_once(folder: Path) -> None:
    made: list[str] = []

    def make() -> dict[str, list[int]]:
        made.append("once")
        return {"a": [1]}

    assert stored(("chart", "values"), make) == stored(("chart", "values"), make) == {"a": [1]}
    assert made == ["once"]
    stored(("chart", "other values"), make)
    assert made == ["once", "once"]


def test_a_failure_is_not_kept(folder: Path) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stored(("key",), fail)
    assert stored(("key",), lambda: 1) == 1


def test_another_file_name_place_or_content_is_another_chart(tmp_path: Path) -> None:
    found = set()
    for number, (path, text) in enumerate(
        [("a.yaml", "a"), ("a.yaml", "b"), ("b.yaml", "a"), ("templates/a.yaml", "a")]
    ):
        file = tmp_path / str(number) / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
        found.add(digest(tmp_path / str(number)))
    assert len(found) == 4


def test_what_nobody_asked_for_in_a_day_is_forgotten(folder: Path) -> None:
    stored(("old",), lambda: 1)
    long_ago = time.time() - 2 * renders.KEPT_SECONDS
    for file in folder.iterdir():
        os.utime(file, (long_ago, long_ago))
    stored(("new",), lambda: 2)
    forget_old_renders()
    assert stored(("new",), lambda: 3) == 2
    assert stored(("old",), lambda: 4) == 4
