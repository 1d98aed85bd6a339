"""Which rows may share a pass."""

import pytest

from worker.models.passes.batching import Batching, find_batching

LENGTHS = [3, 5, 3]


@pytest.mark.parametrize(
    ("batching", "passes"),
    [
        (Batching.PAD_RIGHT, [[0, 1, 2]]),
        (Batching.PAD_LEFT, [[0, 1, 2]]),
        (Batching.EQUAL_LENGTHS, [[0, 2], [1]]),
        (Batching.SINGLE, [[0], [1], [2]]),
    ],
)
def test_rows_with_an_equal_key_share_a_pass(batching: Batching, passes: list[list[int]]) -> None:
    members: dict[object, list[int]] = {}
    for number, length in enumerate(LENGTHS):
        members.setdefault(batching.pass_key(length, number), []).append(number)
    assert list(members.values()) == passes


def test_the_first_candidate_that_agrees_is_taken_and_no_other_is_tried() -> None:
    tried: list[Batching] = []

    def agrees(batching: Batching) -> bool:
        tried.append(batching)
        return batching is Batching.PAD_LEFT

    assert find_batching(Batching, agrees, Batching.SINGLE) is Batching.PAD_LEFT
    assert tried == [Batching.PAD_RIGHT, Batching.PAD_LEFT]


def test_where_no_candidate_agrees_the_fallback_is_taken() -> None:
    assert find_batching([], lambda _: True, Batching.SINGLE) is Batching.SINGLE
