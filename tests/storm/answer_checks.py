"""The answers: a refusal holds, an unknown outcome resolves, each comes in time, and none is a 500."""

from collections.abc import Iterator

from tests.storm.clients import ANSWER_SECONDS
from tests.storm.evidence import Evidence
from tests.storm.history import Request
from tests.storm.violation import Violation, about, faults_near

EXPECTED = {
    "create": {200, 201, 429, 503, 504},
    "get": {200, 503},
    "cancel": {200, 503, 504},
    "list": {200, 503},
    "stream": {200, 503},
}
SLACK_SECONDS = 0.3
"""What a busy machine and the proxies may add to an answer."""


def refused_ran(e: Evidence) -> Iterator[Violation]:
    """Answered 429 or 503 each time it was asked for, and it exists or ran."""
    ran = {run.n for run in e.runs}
    for n, requests in e.history.creates().items():
        if all(request.refused for request in requests):
            records = e.records_of(n)
            if records or n in ran:
                what = "ran" if n in ran else "is recorded"
                yield about(e, "refused_ran", f"intent {n} was refused and {what}", n)


def unknown_unresolved(e: Evidence) -> Iterator[Violation]:
    """A 504 whose id is there though it was said that it never will be, or gone, or that ran without a record."""
    ran = {run.id for run in e.runs}
    for id, n in e.history.unknown().items():
        first = min(
            r.answered or r.asked for r in e.history.requests if r.status == 504 and r.id == id
        )
        answers = {
            r.status
            for r in e.history.requests
            if r.kind in ("get", "final") and r.id == id and r.asked >= first
        } & {200, 404}
        exists = id in e.records
        if answers - {200 if exists else 404}:
            sentence = f"{id} was answered 504, then {sorted(answers)}; recorded: {exists}"
            yield about(e, "unknown_unresolved", sentence, n)
        elif id in ran and not exists:
            yield about(e, "unknown_unresolved", f"{id} ran and has no record", n)


def server_error(e: Evidence) -> Iterator[Violation]:
    """A 500, a refusal that is no problem document, or an answer that nobody could expect."""
    known = set(e.history.accepted())
    for request in e.history.requests:
        if request.status is None:
            continue
        expected = EXPECTED.get(request.kind, {200, 404, 503})
        unsure = request.kind in ("get", "cancel", "stream") and request.status == 404
        if unsure and request.id not in known:
            continue  # of a create that was answered 504, or a violation named `lost`
        if request.status not in expected and not unsure:
            yield Violation(
                "server_error",
                f"{request.kind} was answered {request.status} {request.code or ''}",
                {"request": request, "faults": faults_near(e, [request])},
            )
        elif request.trouble:
            yield Violation("server_error", request.trouble, {"request": request})


def late_answer(e: Evidence) -> Iterator[Violation]:
    """No answer within 3 s and the wait that was asked for, from a gateway that nothing had hurt."""
    for request in e.history.requests:
        if request.answered is None or request.kind == "final":
            continue  # no gateway to answer: the connection broke
        lag = e.lag_in(request.asked, request.answered)
        limit = ANSWER_SECONDS + request.wait + SLACK_SECONDS + lag
        if request.seconds > limit and not _excused(e, request):
            yield Violation(
                "late_answer",
                f"{request.kind} was answered after {request.seconds:.2f} s",
                {"request": request, "lag": lag, "faults": faults_near(e, [request])},
            )


def _excused(e: Evidence, request: Request) -> bool:
    """Whether the gateway, or the way to it, was hurt while this request was under way."""
    end = request.answered or request.asked
    hurt = {request.gateway, f"client-{request.gateway}"}
    return any(s.fault.target in hurt and s.touches(request.asked, end) for s in e.fault_events)
