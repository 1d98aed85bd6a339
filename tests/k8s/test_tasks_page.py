"""What is generated from the table of tasks."""

from contract.tasks import TASKS
from contract.tasks.row import parameters
from k8s import tasks_page


def test_the_page_of_tasks_is_what_the_table_says() -> None:
    assert tasks_page.PAGE.read_text("utf-8") == tasks_page.page(), "run `make rendered`"


def test_the_chart_lists_the_tasks_that_there_are() -> None:
    text = tasks_page.SCHEMA.read_text("utf-8")
    assert text == tasks_page.chart_schema(text), "run `make rendered`"


def test_a_task_is_shown_with_its_parameters_and_what_it_does_not_serve() -> None:
    row = TASKS["text-classification"]
    rows = list(
        tasks_page.rows(
            parameters(outer=parameters(n={"type": "integer", "minimum": 1}))["properties"]
        )
    )
    assert rows == ["| `outer` | object |  |", "| `outer.n` | integer, at least 1 |  |"]
    assert "| `top_k` | integer, at least 1, at most 1000 |  |" in list(tasks_page.section(row))
