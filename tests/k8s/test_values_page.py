"""docs/values.md: what values.yaml says now, each value with its default, what it takes, and words."""

import re
from collections.abc import Iterator
from typing import Any

from k8s import values_page
from k8s.values import CHART, load_values

ROW = re.compile(r"^\| `([\w.-]+)` \|(?: `(.*?)`)? \| (.*?) \| (.*) \|$", re.MULTILINE)
TEXT = values_page.PAGE.read_text("utf-8")


def test_the_page_of_values_is_what_the_chart_says() -> None:
    assert values_page.page() == TEXT, "run `make rendered`"


def paths(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield before + key
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")


def test_every_value_is_in_it() -> None:
    shown = {row[0] for row in ROW.findall(TEXT) if not row[0].endswith(".yaml")}
    within = [f"{path}." for path in shown]

    missing = [
        path
        for path in paths(load_values([]))
        if path not in shown and not path.startswith(tuple(within))
    ]
    assert missing == []
    assert len(shown) > 180


def test_every_value_has_words() -> None:
    unsaid = {path for path, _, _, words in ROW.findall(TEXT) if not words.strip()}

    assert {path for path in unsaid if ".resources." not in path} == set()


def test_every_profile_is_in_it() -> None:
    for path in (CHART / "profiles").iterdir():
        assert f"| `{path.name}` | {values_page.head(path)} |" in TEXT


EXAMPLE = """\
# --- One ---

# A map.
a:
  # -- A number,
  # in two lines.
  b: 1
  c: [x, y]
  d: {e: 2}

# --- Two ---

# A list | of lists.
f:
  - {g: 1}
"""


def test_a_row_has_the_default_as_it_is_written_and_the_words_above_it() -> None:
    number = {"type": "integer", "minimum": 1}
    schema = {
        "properties": {
            "a": {"properties": {"b": number, "c": {"$ref": "#/definitions/list"}, "d": {}}},
            "f": {"type": "array"},
        },
        "definitions": {"list": {"type": "array", "items": {"type": "string"}}},
    }
    one, two = values_page.Explained(EXAMPLE, schema).sections()

    assert one.splitlines()[4:] == [
        "| `a` | | map | A map. |",
        "| `a.b` | `1` | integer, at least 1 | A number, in two lines. |",
        "| `a.c` | `[x, y]` | array of string | A number, in two lines. |",
        "| `a.d` | `{e: 2}` | anything | A number, in two lines. |",
    ]
    assert two.splitlines() == [
        "## Two",
        "",
        "| value | default | takes | |",
        "|---|---|---|---|",
        r"| `f` | `[{g: 1}]` | array of anything | A list \| of lists. |",
    ]
