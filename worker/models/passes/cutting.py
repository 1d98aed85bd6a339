"""How rows are cut into forward passes: the whole batching policy of a device, in numbers only.

Rows are sorted by length, so that those of one pass are padded little. A pass is `rows x longest`
tokens of work plus a fixed cost (`pass_cost`, in tokens: what launching any pass costs, measured at
warm-up). Where the padding that a cut saves is worth more than that fixed cost, the batch is cut; a
GPU's fixed cost is so high that it takes all rows in one pass, a CPU wins 27 to 31 % by cutting.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate

STEPS = 24
"""Most different lengths that the cut looks at; the search is quadratic in it (about 50 us)."""


@dataclass(frozen=True, slots=True)
class PassBudget:
    """What one forward pass may hold, and what it costs to start one."""

    max_rows: int
    max_tokens: int
    pass_cost: int = 0

    def rows_per_pass(self, length: int) -> int:
        """How many rows of this length fit one pass; a row too long for any pass still gets its own."""
        return max(1, min(self.max_rows, self.max_tokens // max(1, length)))

    def cost(self, rows: int, length: int) -> int:
        """Tokens of work, starts included, for this many rows that are padded to this length."""
        return rows * length + -(-rows // self.rows_per_pass(length)) * self.pass_cost


def cut_into_passes(lengths: Sequence[int], budget: PassBudget) -> list[list[int]]:
    """The passes, each a list of indexes into `lengths`, shortest rows first.

    Every index is in exactly one pass. A pass holds at most `max_rows` rows and at most `max_tokens`
    tokens, padding included, unless it is a single row that alone is longer.
    """
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [
        order[start : min(start + budget.rows_per_pass(longest), stop)]
        for first, stop, longest in _groups([lengths[index] for index in order], budget)
        for start in range(first, stop, budget.rows_per_pass(longest))
    ]


def cut_by_kind(
    lengths: Sequence[int], kinds: Sequence[Hashable], budget: PassBudget
) -> list[list[int]]:
    """As `cut_into_passes`, but rows of different kinds never share a pass."""
    members: dict[Hashable, list[int]] = {}
    for index, kind in enumerate(kinds):
        members.setdefault(kind, []).append(index)
    return [
        [mine[place] for place in places]
        for mine in members.values()
        for places in cut_into_passes([lengths[index] for index in mine], budget)
    ]


def _groups(ascending: list[int], budget: PassBudget) -> list[tuple[int, int, int]]:
    """(first, stop, longest) of the neighbours that are cheapest to pad to one length."""
    rows, longest = len(ascending), ascending[-1]
    one = budget.cost(rows, longest)
    if one - sum(ascending) <= 2 * budget.pass_cost:
        return [(0, rows, longest)]  # even perfect cuts would not pay for their extra pass
    stops = _steps(ascending)
    best, back = [0], [0]
    for number, stop in enumerate(stops, 1):
        length = ascending[stop - 1]
        costs = [
            best[before] + budget.cost(stop - (stops[before - 1] if before else 0), length)
            for before in range(number)
        ]
        cheapest = min(costs)
        best.append(cheapest)
        back.append(costs.index(cheapest))
    groups, number = [], len(stops)
    while number:
        before = back[number]
        first, stop = stops[before - 1] if before else 0, stops[number - 1]
        groups.append((first, stop, ascending[stop - 1]))
        number = before
    return groups[::-1]


def _steps(ascending: list[int]) -> list[int]:
    """Where a cut may fall: after the last row of a length, of at most `STEPS` lengths."""
    shortest, longest = ascending[0], ascending[-1]
    width = -(-(longest - shortest + 1) // STEPS)
    counts = [0] * STEPS
    for length in ascending:
        counts[(length - shortest) // width] += 1
    return [stop for stop, count in zip(accumulate(counts), counts, strict=True) if count]
