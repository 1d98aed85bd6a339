"""What an error of Redis means to a call, by the code that Redis answered with."""

import pytest
import redis
from redis._parsers import BaseParser
from redis.sentinel import MasterNotFoundError

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.redis_errors import (
    code_of,
    is_answer,
    is_demoted,
    is_elsewhere,
    is_stranger,
    translate_error,
)

FULL = "OOM command not allowed when used memory > 'maxmemory'."
FULL_IN_A_SCRIPT_OF_6_2 = (
    "Error running script (call to f_0a1b): @user_script: 12: -OOM command not allowed"
)
DISK = "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist"
DEMOTED_BEFORE_ITS_WAIT = "WAIT cannot be used with replica instances."
ELSEWHERE = [
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING Redis is loading the dataset in memory",
    "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED force unblock from blocking operation, instance state changed",
    DEMOTED_BEFORE_ITS_WAIT,
]
STRANGERS = [
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "DENIED Redis is running in protected mode",
]
OURS = ["ERR unknown command 'X'", "WRONGTYPE Operation against a key holding the wrong kind"]


def answered(text: str) -> redis.RedisError:
    """The error as redis-py makes it of what Redis answers."""
    error = BaseParser.parse_error(text)
    assert isinstance(error, redis.RedisError)
    return error


@pytest.mark.parametrize("text", [FULL, DISK, *ELSEWHERE, *STRANGERS, *OURS])
def test_the_code_is_found_whether_redis_py_takes_it_off_the_message_or_not(text: str) -> None:
    code = "READONLY" if text == DEMOTED_BEFORE_ITS_WAIT else text.split(" ")[0]

    assert code_of(answered(text)) == code
    assert is_answer(answered(text))


def test_the_code_is_found_in_what_redis_6_2_wraps_around_an_error_of_a_script() -> None:
    assert code_of(answered(FULL_IN_A_SCRIPT_OF_6_2)) == "OOM"


def test_a_replica_that_redis_py_takes_for_a_broken_connection_is_a_replica() -> None:
    error = redis.ConnectionError("The previous master is now a replica")
    error.__context__ = answered(ELSEWHERE[0])

    assert is_demoted(error)
    assert is_elsewhere(error)


@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError("reset"), redis.TimeoutError("slow"), OSError("gone"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("sent", [True, False])
def test_what_is_no_answer_leaves_open_whether_a_sent_call_was_carried_out(
    error: Exception, sent: bool
) -> None:
    meant = translate_error(error, sent=sent)

    assert not is_answer(error)
    assert isinstance(meant, LedgerUnavailable)
    assert meant.sent is sent


@pytest.mark.parametrize("text", [FULL, FULL_IN_A_SCRIPT_OF_6_2])
def test_a_full_ledger_is_called_full_only_where_nothing_was_recorded(text: str) -> None:
    refused = translate_error(answered(text), sent=False)
    assert isinstance(refused, LedgerFull)
    assert refused.retry_after_seconds > 0

    unknown = translate_error(answered(text), sent=True)
    assert isinstance(unknown, LedgerUnavailable)
    assert unknown.sent


def test_a_full_disk_is_named_only_where_nothing_was_recorded() -> None:
    refused = translate_error(answered(DISK), sent=False)
    assert "cannot write to its disk" in str(refused)
    assert isinstance(refused, LedgerUnavailable)
    assert not refused.sent

    unknown = translate_error(answered(DISK), sent=True)
    assert isinstance(unknown, LedgerUnavailable)
    assert unknown.sent


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_does_not_serve_is_asked_for_again_by_its_name(text: str) -> None:
    assert is_elsewhere(answered(text))
    assert not is_stranger(answered(text))
    assert isinstance(translate_error(answered(text), sent=False), LedgerUnavailable)


@pytest.mark.parametrize("text", STRANGERS)
def test_a_ledger_that_does_not_let_us_in_is_named_without_a_secret(text: str) -> None:
    assert is_stranger(answered(text))
    assert not is_elsewhere(answered(text))
    meant = translate_error(answered(text), sent=False)
    assert isinstance(meant, LedgerUnavailable)
    assert str(meant) == "the ledger refuses our user or password"


def test_sentinels_without_a_primary_are_a_ledger_that_is_away() -> None:
    meant = translate_error(MasterNotFoundError("No master found for 'main'"), sent=False)

    assert isinstance(meant, LedgerUnavailable)
    assert "name no primary" in str(meant)


@pytest.mark.parametrize("error", [*map(answered, OURS), redis.DataError("Invalid input")], ids=str)
def test_a_mistake_of_ours_stays_what_it_is(error: Exception) -> None:
    assert translate_error(error, sent=True) is error
    assert translate_error(error, sent=False) is error


def test_no_error_is_no_stranger() -> None:
    assert not is_stranger(None)
