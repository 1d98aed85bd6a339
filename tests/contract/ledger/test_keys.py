"""Key names: one list for Python and Lua, and nothing in it that no script uses."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from contract.ledger import keys
from contract.ledger.keys import (
    PER_GATEWAY,
    PER_MODEL,
    PER_OWNER,
    PER_PREDICTION,
    PER_VERSION,
    SINGLE,
    key,
    lua_table,
)

FOLDER = Path(str(files("contract.ledger.scripts")))
SCRIPTS = sorted(FOLDER.rglob("*.lua"))
LISTED = {**PER_MODEL, **PER_VERSION, **PER_PREDICTION, **PER_OWNER, **PER_GATEWAY, **SINGLE}


def used(script: Path) -> set[str]:
    code = re.sub(r"--.*", "", script.read_text(encoding="utf-8"))
    return set(re.findall(r"\bK\.(\w+)", code))


def test_every_key_of_the_scripts_is_listed_and_every_listed_key_is_used() -> None:
    assert set().union(*map(used, SCRIPTS)) == set(LISTED)


def test_a_kind_stands_in_one_list_only() -> None:
    lists = [PER_MODEL, PER_VERSION, PER_PREDICTION, PER_OWNER, PER_GATEWAY, SINGLE]

    assert sum(map(len, lists)) == len(LISTED)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_no_script_builds_a_key_of_its_own(script: Path) -> None:
    text = script.read_text(encoding="utf-8")

    assert "ARGV[1]" not in text
    assert "KEYS" not in text
    for call in re.findall(r"redis\.call\('\w+', ([^,)]+)", text):
        assert call.startswith(("K.", "index", "unpack(index")) or call == "'memory'", (
            call
        )  # a section of INFO


def test_per_kinds_take_a_name_in_lua_and_single_kinds_do_not() -> None:
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        for kind, dots in re.findall(r"\bK\.(\w+)( \.\.)?", text):
            assert bool(dots) is (kind not in SINGLE), f"K.{kind} in {script.name}"


def test_python_and_lua_write_the_same_names() -> None:
    table = lua_table()
    for kind in LISTED:
        python = key("p:", kind) if kind in SINGLE else key("p:", kind, "name")
        (suffix,) = re.findall(rf"\b{kind} = ARGV\[1\] \.\. '([^']+)'", table)
        assert python == "p:" + suffix + ("" if kind in SINGLE else "name")


def test_every_key_is_explained() -> None:
    assert all(
        re.match(r"(zset|hash|list|set|counter|channel): ", text) for text in LISTED.values()
    )
    assert keys.__doc__
