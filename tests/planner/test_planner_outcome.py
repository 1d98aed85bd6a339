"""What a simulated time brought: waits, and what one would pay who knows the arrivals."""

from planner.outcome import Outcome


def test_an_oracle_keeps_a_gpu_over_a_short_gap_and_lets_it_go_over_a_long_one() -> None:
    assert Outcome(batches=[(100.0, 110.0)]).oracle(60) == 60 + 10
    assert Outcome(batches=[(100.0, 110.0), (120.0, 130.0)]).oracle(60) == 60 + 10 + 10 + 10
    assert Outcome(batches=[(100.0, 110.0), (990.0, 999.0)]).oracle(60) == 60 + 10 + 60 + 9
    assert Outcome(batches=[(100.0, 200.0), (150.0, 160.0)]).oracle(60) == 2 * 60 + 110


def test_the_wait_is_that_which_a_share_did_not_exceed() -> None:
    outcome = Outcome(waits=[float(number) for number in range(100)])
    assert (
        outcome.wait_quantile(0.5),
        outcome.wait_quantile(0.95),
        Outcome().wait_quantile(0.95),
    ) == (50, 95, 0)
