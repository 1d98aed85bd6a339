"""The verdict on a storm: every promise of docs/guarantees.md, checked against what is known of it."""

from collections.abc import Callable, Iterator

from tests.storm import answer_checks, outcome_checks, recovery_checks
from tests.storm.evidence import Evidence
from tests.storm.violation import Violation

Check = Callable[[Evidence], Iterator[Violation]]

CHECKS: tuple[Check, ...] = (
    outcome_checks.lost,
    outcome_checks.doubled,
    outcome_checks.wrong,
    outcome_checks.wrong_stream,
    outcome_checks.duplicated,
    outcome_checks.attempts_exceeded,
    answer_checks.refused_ran,
    answer_checks.unknown_unresolved,
    answer_checks.server_error,
    answer_checks.late_answer,
    recovery_checks.lost_wake_up,
    recovery_checks.not_ready,
    recovery_checks.bad_exit,
    recovery_checks.dead_worker_slow,
    recovery_checks.grown,
    recovery_checks.residue,
)


def judge(evidence: Evidence) -> list[Violation]:
    """All violations, in the order of the checks."""
    return [violation for check in CHECKS for violation in check(evidence)]
