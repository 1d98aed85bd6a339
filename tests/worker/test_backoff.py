"""The pauses between two tries."""

from itertools import islice

from worker.backoff import backoff_pauses


def test_pauses_double_until_the_longest_and_never_end() -> None:
    assert list(islice(backoff_pauses(0.5), 6)) == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
