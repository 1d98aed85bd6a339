"""The verdict on a storm: every promise of docs/guarantees.md, checked against what is known of it."""

from collections.abc import Callable, Iterator

from tests.storm import answers, outcomes, recovery
from tests.storm.evidence import Evidence
from tests.storm.violation import Violation

Check = Callable[[Evidence], Iterator[Violation]]

CHECKS: tuple[Check, ...] = (
    outcomes.lost,
    outcomes.doubled,
    outcomes.wrong,
    outcomes.wrong_stream,
    outcomes.duplicated,
    outcomes.attempts_exceeded,
    answers.refused_ran,
    answers.unknown_unresolved,
    answers.server_error,
    answers.late_answer,
    recovery.lost_wake_up,
    recovery.not_ready,
    recovery.bad_exit,
    recovery.dead_worker_slow,
    recovery.grown,
    recovery.residue,
)


def judge(evidence: Evidence) -> list[Violation]:
    """All violations, in the order of the checks."""
    return [violation for check in CHECKS for violation in check(evidence)]
