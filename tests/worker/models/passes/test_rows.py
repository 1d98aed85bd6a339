"""Many predictions as rows, and rows as outputs."""

import pytest

from worker.models.interface import Item
from worker.models.passes.rows import Rows, call_each


def test_a_list_of_inputs_gives_a_list_and_one_input_gives_one() -> None:
    rows = Rows(
        [Item("1", {"inputs": "a"}), Item("2", {"inputs": ["b", "c"]}), Item("3", {"text": "d"})]
    )
    for row in rows:
        row.result = row.value.upper()
    assert rows.outputs() == ["A", ["B", "C"], "D"]


def test_a_list_of_one_stays_a_list() -> None:
    rows = Rows([Item("1", {"inputs": ["a"]})])
    rows[0].result = 1
    assert rows.outputs() == [[1]]


def test_one_failed_row_fails_its_own_prediction_only() -> None:
    rows = Rows([Item("1", {"inputs": ["a", "b"]}), Item("2", {"inputs": "c"})])
    error = ValueError("bad")
    for row, result in zip(rows, (1, error, 3), strict=True):
        row.result = result
    assert rows.outputs() == [error, 3]


def test_an_output_may_be_anything_that_is_false() -> None:
    rows = Rows([Item("1", {"inputs": "a"}), Item("2", {"inputs": ["b"]})])
    rows[0].result, rows[1].result = [], 0
    assert rows.outputs() == [[], [0]]


def test_rows_of_a_stopped_prediction_are_not_open() -> None:
    item = Item("1", {"inputs": ["a", "b"]})
    rows = Rows([item])
    assert all(row.open for row in rows)
    item.stopped.set()
    assert not any(row.open for row in rows)
    assert rows.outputs() == [[None, None]]


def test_each_finds_the_one_value_that_cannot_be_read() -> None:
    def halves(values: list[int]) -> list[int]:
        if 3 in values:
            raise ValueError("three")
        return [value // 2 for value in values]

    found = call_each([2, 3, 4], halves)
    assert found[0] == 1
    assert isinstance(found[1], ValueError)
    assert found[2] == 2


def test_each_lets_an_interrupt_through() -> None:
    def stop(values: list[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_each([1, 2], stop)
