"""The batching policy, in numbers only."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.models.passes.cutting import PassBudget, cut_into_passes

LENGTHS = st.lists(st.integers(1, 600), max_size=150)
BUDGETS = st.builds(
    PassBudget,
    max_rows=st.integers(1, 64),
    max_tokens=st.integers(1, 4000),
    pass_cost=st.integers(0, 3000),
)


@given(LENGTHS, BUDGETS)
def test_every_row_is_in_exactly_one_pass(lengths: list[int], budget: PassBudget) -> None:
    rows = [index for one in cut_into_passes(lengths, budget) for index in one]
    assert sorted(rows) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_no_pass_holds_more_rows_or_tokens_than_allowed(
    lengths: list[int], budget: PassBudget
) -> None:
    for one in cut_into_passes(lengths, budget):
        assert 1 <= len(one) <= budget.max_rows
        assert len(one) == 1 or len(one) * max(lengths[n] for n in one) <= budget.max_tokens


@given(LENGTHS, BUDGETS)
def test_passes_are_sorted_by_length(lengths: list[int], budget: PassBudget) -> None:
    rows = [index for one in cut_into_passes(lengths, budget) for index in one]
    assert [lengths[n] for n in rows] == sorted(lengths)


@given(LENGTHS.filter(bool), BUDGETS)
def test_cutting_never_costs_more_than_padding_all_to_the_longest(
    lengths: list[int], budget: PassBudget
) -> None:
    passes = cut_into_passes(lengths, budget)
    spent = sum(len(one) * max(lengths[n] for n in one) + budget.pass_cost for one in passes)
    assert spent <= budget.cost(len(lengths), max(lengths))


@given(st.lists(st.integers(1, 24), min_size=1, max_size=6), st.integers(0, 60))
def test_few_lengths_are_cut_as_cheaply_as_can_be(lengths: list[int], pass_cost: int) -> None:
    budget = PassBudget(max_rows=64, max_tokens=10_000, pass_cost=pass_cost)
    ascending = sorted(lengths)
    cheapest = min(
        sum(
            (stop - first) * ascending[stop - 1] + pass_cost
            for first, stop in pairwise([0, *places, len(lengths)])
        )
        for count in range(len(lengths))
        for places in combinations(range(1, len(lengths)), count)
    )
    spent = [
        len(one) * max(lengths[n] for n in one) + pass_cost
        for one in cut_into_passes(lengths, budget)
    ]
    assert sum(spent) == cheapest


def test_one_long_text_does_not_make_all_others_long() -> None:
    budget = PassBudget(max_rows=64, max_tokens=16384, pass_cost=50)
    assert cut_into_passes([500] + [10] * 20, budget) == [list(range(1, 21)), [0]]


def test_where_a_start_is_dear_all_rows_go_at_once() -> None:
    budget = PassBudget(max_rows=64, max_tokens=16384, pass_cost=16384)
    assert len(cut_into_passes([100, *range(1, 40)], budget)) == 1


def test_a_row_longer_than_any_pass_goes_alone() -> None:
    assert cut_into_passes([9, 2, 2], PassBudget(max_rows=8, max_tokens=4)) == [[1, 2], [0]]


def test_no_rows_need_no_pass() -> None:
    assert cut_into_passes([], PassBudget(8, 8)) == []


def test_the_order_of_equal_rows_is_kept() -> None:
    assert cut_into_passes([5, 5, 5], PassBudget(2, 100)) == [[0, 1], [2]]
