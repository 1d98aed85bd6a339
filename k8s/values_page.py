"""`python -m k8s.values_page`: docs/values.md, every value of the chart as values.yaml and its schema explain it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from contract.tasks import Schema
from k8s.tasks_page import taken
from k8s.values import CHART

PAGE = Path(__file__).parents[1] / "docs" / "values.md"
PROFILES = CHART / "profiles"
FREE = ("models", "demo", "defaults.catalog", "defaults.gpu")
"""Maps of which other keys of the chart, or docs/models.md, say what is in them."""
SECTION = re.compile(r"^# --- (.+?) -+$")

HEADER = """\
# Values of the chart

<!-- Written by `python -m k8s.values_page` from charts/soloist; not to be edited. -->

`models.<name>` takes what `defaults` has, and `defaults.catalog` the [settings of a model](models.md); `defaults.gpu` and
`models.<name>.gpu` take what `gpu` has. Maps are merged, so a file of yours holds only what differs. `null` empties a list
or a map and takes a key out of one, as in `podSecurityContext: {runAsUser: null}`; a word or a number has to be there.

## Profiles

Values to begin with, in `charts/soloist/profiles` and in the packaged chart. Several are merged in their order, and yours
come last:

```sh
helm install soloist charts/soloist --namespace soloist --create-namespace \\
  --values charts/soloist/profiles/production.yaml --values charts/soloist/profiles/gke.yaml --values my-values.yaml
```
"""


def page() -> str:
    """docs/values.md."""
    text = (CHART / "values.yaml").read_text("utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    profiles = ["| profile | what it is |", "|---|---|"]
    profiles += [f"| `{path.name}` | {head(path)} |" for path in sorted(PROFILES.iterdir())]
    parts = [HEADER, "\n".join(profiles), *Explained(text, schema).sections()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def head(profile: Path) -> str:
    """What stands above a profile's first value."""
    lines = profile.read_text("utf-8").split("\n\n")[0].splitlines()
    return " ".join(line.removeprefix("# ") for line in lines)


class Explained:
    """A file of values with its comments, beside the schema."""

    def __init__(self, text: str, schema: Schema) -> None:
        self._text, self._lines, self._schema = text, text.splitlines(), schema

    def sections(self) -> Iterator[str]:
        """Each section's heading and table."""
        titles = {n: m[1] for n, line in enumerate(self._lines) if (m := SECTION.match(line))}
        rows = list(self._rows(yaml.compose(self._text), self._schema, ""))
        for start, end in zip(titles, [*list(titles)[1:], len(self._lines)], strict=True):
            within = [row for line, row in rows if start < line < end]
            table = ["| value | default | takes | |", "|---|---|---|---|", *within]
            yield f"## {titles[start]}\n\n" + "\n".join(table)

    def _rows(self, node: Any, schema: Schema, before: str) -> Iterator[tuple[int, str]]:
        """(line, row of the table) of each key, down to what stands on one line or is free."""
        for key, value in node.value:
            path = f"{before}{key.value}"
            below = self._resolved(schema["properties"][key.value])
            parted = isinstance(value, yaml.MappingNode) and not value.flow_style
            line, words = key.start_mark.line, self._comment(key.start_mark, not parted)
            if parted and "properties" in below and path not in FREE:
                if words:
                    yield line, f"| `{path}` | | map | {words} |"
                yield from self._rows(value, below, f"{path}.")
            else:
                yield line, f"| `{path}` | `{self._default(value)}` | {taken(below)} | {words} |"

    def _resolved(self, schema: Schema) -> Schema:
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        return self._schema["definitions"][name] if name else schema

    def _default(self, value: Any) -> str:
        """As it is written, or on one line."""
        written = self._text[value.start_mark.index : value.end_mark.index].strip()
        if isinstance(value, yaml.ScalarNode) or value.flow_style:
            return written
        meant = yaml.SafeLoader("").construct_document(value)
        return yaml.safe_dump(meant, default_flow_style=True, sort_keys=False, width=10_000).strip()

    def _comment(self, mark: yaml.Mark, shared: bool) -> str:
        """What is said above a key, or, where it is `shared`, above the keys on the lines before."""
        found: list[str] = []
        for line in reversed(self._lines[: mark.line]):
            if line.startswith(" " * mark.column + "#"):
                found.insert(0, re.sub(r"^ *# ?(-- )?", "", line))
            elif found or not shared or not re.match(rf" {{{mark.column}}}\w", line):
                break
        return " ".join(found).replace("|", "\\|")


def main() -> None:
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
