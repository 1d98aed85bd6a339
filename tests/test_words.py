"""The words of the house: the glossary is short and true, and words that were given up do not come back."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_WORDS = 30
GIVEN_UP = {
    r"rings?|ringing|rang|bell|doorbell|rings_short": "wake-up, wakeups, missing_wakeups, Notifier",
    r"fates?": "ending",
    r"intake": "predictions",
    r"wish": "NewPrediction, or what is asked for",
    r"hot_routes": "fast_routes",
    r"presence": "heartbeat",
    r"last_words": "start_failure, or what a container said at its end",
    r"insist|give_back": "allow_over_maxmemory, requeue_or_bury",
    r"desk|furniture": "what it holds",
}
"""Words that had a meaning of ours only, and what stands in their place."""
ON_THE_WIRE = {
    "contract/ledger/keys.py": {"rings", "ring"},
    "docs/architecture.md": {"rings", "ring"},
    "tests/contract/ledger/test_older_soloist.py": {"rings", "ring"},
}
"""Names in Redis outlive their words: a worker of an older version uses the same."""
LEFT_OUT = ("CHANGELOG.md", "tests/contract/golden/", "tests/test_words.py")
"""What says how things were called before."""


@cache
def texts() -> dict[str, str]:
    """Every text of the project that people read, by its path from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    suffixes = (".py", ".lua", ".md", ".yaml", ".toml", ".tpl", ".js")
    return {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in listed.splitlines()
        if name.endswith(suffixes) and not name.startswith(LEFT_OUT) and (ROOT / name).is_file()
    }


@cache
def texts_by_words() -> dict[str, str]:
    """The same, with names in code taken apart: a part of one is a word, too, as in `missing_rings` or `RingSent`."""
    return {name: re.sub(r"([a-z])([A-Z])", r"\1_\2", text) for name, text in texts().items()}


def glossary() -> list[str]:
    """The words that docs/architecture.md explains, in its order."""
    section = texts()["docs/architecture.md"].partition("## The words\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([a-z -]+) \| \S", section, re.MULTILINE)[1:]


@pytest.mark.parametrize(("words", "instead"), GIVEN_UP.items(), ids=lambda text: str(text)[:20])
def test_a_word_that_was_given_up_does_not_come_back(words: str, instead: str) -> None:
    pattern = re.compile(rf"(?<![a-z])({words})(?![a-z])", re.IGNORECASE)
    found = [
        f"{name}: {match[0]}"
        for name, text in texts_by_words().items()
        for match in pattern.finditer(text)
        if match[0] not in ON_THE_WIRE.get(name, ())
    ]

    assert not found, f"say {instead}: {found}"


def test_the_glossary_is_short_and_explains_no_word_twice() -> None:
    words = glossary()

    assert 10 < len(words) <= MOST_WORDS
    assert len(words) == len(set(words))


def test_a_word_of_the_glossary_is_used_in_the_code() -> None:
    code = "\n".join(t for name, t in texts().items() if name.endswith((".py", ".lua"))).lower()

    assert [
        word for word in glossary() if not re.search(re.sub("[ -]", "[ _-]?", word), code)
    ] == []
