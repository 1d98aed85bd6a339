"""The ledger's Lua: a script for each transition, and the parts that scripts share.

A script says in its first lines which parts it needs (`require 'queue'`), as a part does. Redis knows no
`require`, so the parts are put before the script here, each once.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from contract.ledger.keys import lua_table

REQUIRE = re.compile(r"^require '(\w+)'\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    source: str
    sha: str


@cache
def load_script(name: str, clock: str | None = None) -> Script:
    """A transition's Lua: the key names, the clock, the parts that it needs, and its own file.

    `clock` is Lua that says what time it is, in place of clock.lua; tests give one that they can move.
    """
    folder = files(__name__)
    parts: dict[str, str] = {}

    def read_with_parts(path: str) -> str:
        text = (folder / f"{path}.lua").read_text("utf-8")
        for part in REQUIRE.findall(text):
            if part not in parts:
                source = read_with_parts(f"parts/{part}")
                parts[part] = source
        return REQUIRE.sub("", text)

    parts["call"] = read_with_parts("parts/call")
    own = read_with_parts(name)
    clock = read_with_parts("clock") if clock is None else clock
    source = lua_table() + clock + "".join([*parts.values(), own])
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
