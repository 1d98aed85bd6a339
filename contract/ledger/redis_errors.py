"""What an error of Redis means: a ledger that is full, away or wrong for us, or a mistake of ours.

An error's class says it, and the code that Redis answered with. redis-py takes the codes that it
knows off the message, and Redis 6.2 wraps the errors of a script, where 7 and later do not.
"""

import re

import redis
from redis.exceptions import ReadOnlyError
from redis.sentinel import MasterNotFoundError

from contract.errors import LedgerFull, LedgerUnavailable

FULL = "OOM"
ELSEWHERE = frozenset(
    {"READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "CLUSTERDOWN", "UNBLOCKED"}
)
"""What answers so does not serve, and after a failover another may do it under the same name."""
DEMOTED = frozenset({"READONLY", "MASTERDOWN"})
"""Of those, what a replica answers."""
AWAY = frozenset({"MISCONF", "BUSY", "TRYAGAIN"})
STRANGER = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"})

WRAPPED = re.compile(r"Error running script .*?: @user_script: \d+: -([A-Z]+) ", re.DOTALL)
"""Redis 6.2 around an error that a script met."""
CODE = re.compile(r"([A-Z]+) ")


def code_of(error: BaseException) -> str | None:
    """The code of Redis's answer, "ERR" if it has no better one; None when the error is no answer."""
    if isinstance(error.__context__, ReadOnlyError):
        # redis-py with Sentinel takes it for a broken connection.
        error = error.__context__
    if not isinstance(error, redis.RedisError):
        return None
    text = str(error)
    if text.startswith("WAIT cannot be used with replica"):
        return "READONLY"  # demoted between a call and its wait; Redis has no code for it
    if found := WRAPPED.match(text):
        return found[1]
    if error.status_code is not None:
        return error.status_code
    if isinstance(error, redis.ResponseError):
        return found[1] if (found := CODE.match(text)) else "ERR"
    return None


def is_answer(error: BaseException) -> bool:
    """True when Redis answered, and did not carry out what it was asked for."""
    return code_of(error) is not None


def is_elsewhere(error: BaseException) -> bool:
    """True when the name of the ledger is to be asked again: what answers is not its primary now."""
    return code_of(error) in ELSEWHERE


def is_demoted(error: BaseException) -> bool:
    """True when it is a replica that answered."""
    return code_of(error) in DEMOTED


def is_stranger(error: BaseException | None) -> bool:
    """True when the ledger is there, and does not let us in."""
    return isinstance(error, redis.AuthenticationError) or (
        error is not None and code_of(error) in STRANGER
    )


def translate_error(error: BaseException, *, sent: bool) -> Exception:
    """A fault of a call in our words. What is a mistake of ours stays as it is.

    Args:
        sent: whether the call may have been carried out.
    """
    if isinstance(error, redis.DataError):
        return error
    if is_stranger(error):
        return LedgerUnavailable("the ledger refuses our user or password", sent=sent)
    if isinstance(error, MasterNotFoundError):
        return LedgerUnavailable("the ledger's sentinels name no primary", sent=sent)
    code = code_of(error)
    if code == FULL and not sent:
        return LedgerFull(
            "the ledger's memory is full; nothing was recorded", retry_after_seconds=5
        )
    if code == "MISCONF" and not sent:
        return LedgerUnavailable("the ledger cannot write to its disk; nothing was recorded")
    if isinstance(error, redis.ResponseError) and code not in {FULL, *ELSEWHERE, *AWAY}:
        return error
    return LedgerUnavailable(
        f"the ledger does not answer ({code or type(error).__name__})", sent=sent
    )
