"""The ledger's Lua: each script with the parts that it needs, each part once, and no more."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from contract.errors import PredictionFailed
from contract.ledger.client import Ledger
from contract.ledger.scripts import REQUIRE, load_script

FOLDER = Path(str(files("contract.ledger.scripts")))
SCRIPTS = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.lua")}
PARTS = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("parts/*.lua")}
DEFINED = re.compile(r"^local (?:function (\w+)|([\w, ]+?) = )", re.MULTILINE)
EVERY_SCRIPT = pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"clock"}))


def code_of(source: str) -> str:
    """A source without its comments and its sentences."""
    return re.sub(r"'[^'\n]*'", "", re.sub(r"--.*", "", source))


def names_of(source: str) -> set[str]:
    """What a part defines for those that need it."""
    found = [one or several for one, several in DEFINED.findall(source)]
    return {name.strip() for names in found for name in names.split(",")}


def needed_by(source: str) -> set[str]:
    """The parts that define what a source uses."""
    used = set(re.findall(r"(?<![.\w])([A-Za-z_]\w*)", code_of(source)))
    return {part for part, text in PARTS.items() if names_of(text) & used}


def required_by(source: str) -> set[str]:
    """The parts that a source names, and those that they name."""
    named = set(REQUIRE.findall(source))
    return named.union(*(required_by(PARTS[part]) for part in named))


@EVERY_SCRIPT
def test_a_script_compiles_with_its_parts(name: str, ledger: Ledger) -> None:
    assert ledger.redis.script_load(load_script(name).source)


@pytest.mark.parametrize("source", [*SCRIPTS.values(), *PARTS.values()], ids=[*SCRIPTS, *PARTS])
def test_a_source_begins_with_what_it_does(source: str) -> None:
    assert source.startswith("-- ")


@EVERY_SCRIPT
def test_a_script_names_the_parts_that_it_needs_and_no_others(name: str) -> None:
    source = SCRIPTS[name]
    needed, named = needed_by(source) - {"call"}, set(REQUIRE.findall(source))
    assert needed <= required_by(source)
    for part in named:
        assert part in needed, f"{name}.lua does not need {part}"


@pytest.mark.parametrize("part", sorted(set(PARTS) - {"call"}))
def test_a_part_names_the_parts_that_it_needs(part: str) -> None:
    source = PARTS[part]
    assert needed_by(source) - {"call", part} <= required_by(source)


@EVERY_SCRIPT
def test_a_part_comes_once_and_before_who_needs_it(name: str) -> None:
    source = load_script(name).source
    assert "require" not in code_of(source)
    for part in required_by(SCRIPTS[name]) | {"call"}:
        assert source.count(PARTS[part].split("\n")[0]) == 1
        for other in required_by(PARTS[part]):
            assert source.index(PARTS[other].split("\n")[0]) < source.index(
                PARTS[part].split("\n")[0]
            )


def test_no_two_parts_define_the_same_name() -> None:
    names = [name for text in PARTS.values() for name in names_of(text)]
    assert len(names) == len(set(names))


def test_a_script_is_the_same_each_time_and_named_by_its_hash() -> None:
    assert load_script("claim") is load_script("claim")
    assert len(load_script("claim").sha) == 40
    assert load_script("claim").sha != load_script("claim", "local now = 0\n").sha


def test_an_ending_has_a_code_that_the_errors_know() -> None:
    named = re.compile(r"(?:error_code|code) = '(\w+)'|note_ending\(\w+, [\w.]+, '(\w+)'\)")
    found = {
        one or other
        for text in [*SCRIPTS.values(), *PARTS.values()]
        for one, other in named.findall(text)
    }
    assert found >= {"deadline_exceeded", "too_many_hand_backs", "version_gone"}
    assert found <= {error.code for error in PredictionFailed.__subclasses__()}
