"""The table of tasks: one row each, with all that is said of a task anywhere.

A row names the class that does it; the API's schemas, the documentation and the chart's schema follow
from it. docs/add-a-task.md says how to add one.
"""

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from contract.tasks import images, sounds, texts, vectors, writing
from contract.tasks.row import Schema, Task

__all__ = ["TASKS", "Schema", "Task", "TaskName"]

TASKS: dict[str, Task] = {
    task.name: task for area in (texts, vectors, writing, images, sounds) for task in area.TASKS
}


def _known(name: str) -> str:
    if name not in TASKS:
        raise ValueError(f"{name!r} is no task; there are {', '.join(TASKS)}")
    return name


TaskName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(TASKS)})
]
