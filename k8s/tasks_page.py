"""`python -m k8s.tasks_page`: what follows from the table of tasks, docs/tasks.md and the chart's list of tasks."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.examples import example
from contract.tasks import TASKS, Schema, Task
from k8s.values import CHART

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tasks.md"
SCHEMA = CHART / "values.schema.json"

HEADER = """\
# Tasks

<!-- Written by `python -m k8s.tasks_page` from contract/tasks; not to be edited. -->

`input` is `{"inputs": ..., "parameters": {...}}`, or the bare name where there is one. A list in place of one item makes
one prediction of many items, answered by a list. `GET /v1/models/{owner}/{name}` shows the exact JSON Schema. A parameter
that is not listed gets 422.
[Add a task](add-a-task.md) says how to add one.
"""
BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "maxItems": "at most {} of them",
}


def page() -> str:
    """docs/tasks.md."""
    overview = ["| task | bare | gives |", "|---|---|---|"]
    overview += [
        f"| [`{task.name}`](#{task.name}) | {bare(task)} | {task.gives} |"
        for task in TASKS.values()
    ]
    parts = [HEADER, "\n".join(overview), *("\n".join(section(task)) for task in TASKS.values())]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def bare(task: Task) -> str:
    """The name that may stand in place of `inputs`, as code; nothing where there is none."""
    names = task.input["properties"].keys() - {"inputs", "parameters"}
    return "".join(f"`{name}`" for name in names)


def section(task: Task) -> Iterator[str]:
    """All that the row says of one task."""
    yield f"## {task.name}\n"
    yield f"Gives {task.gives}.\n"
    if task.notes:
        yield f"{task.notes.strip()}\n"
    if given := example(task.input):
        yield f"```json\n{json.dumps(shortened(given), ensure_ascii=False)}\n```\n"
    if task.parameters:
        yield from ("| parameter | takes | |", "|---|---|---|")
        yield from rows(task.parameters)
        yield ""
    if task.refused:
        yield from ("| not served | why |", "|---|---|")
        yield from (f"| `{name}` | {why} |" for name, why in task.refused.items())
        yield ""


def rows(properties: Mapping[str, Schema], before: str = "") -> Iterator[str]:
    """A line for each parameter, those within another one after it."""
    for name, schema in properties.items():
        yield f"| `{before}{name}` | {taken(schema)} | {schema.get('description', '')} |"
        yield from rows(schema.get("properties", {}), f"{before}{name}.")


def taken(schema: Schema) -> str:
    """What a schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(taken(kind) for kind in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        kind = f"array of {taken({'type': schema.get('items', {}).get('type', 'anything')})}"
    bounds = [words.format(schema[bound]) for bound, words in BOUNDS.items() if bound in schema]
    return ", ".join([kind, *bounds])


def shortened(value: Any) -> Any:
    """An example with long base64 cut: a page is for people."""
    if isinstance(value, dict):
        return {name: shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if isinstance(value, str) and len(value) > 100 and " " not in value:
        return f"{value[:24]}..."
    return value


def chart_schema(text: str) -> str:
    """values.schema.json with the tasks that there are."""
    schema = json.loads(text)
    schema["definitions"]["catalog"]["properties"]["task"]["enum"] = list(TASKS)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    PAGE.write_text(page(), "utf-8")
    SCHEMA.write_text(chart_schema(SCHEMA.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
