"""The verdict on a storm: each broken promise by its name, with what shows it."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from contract.prediction import Prediction
from tests.storm.book import Request, Sight, Wish
from tests.storm.clients import ANSWER_SECONDS
from tests.storm.evidence import Evidence
from tests.storm.model import output_of

EXPECTED = {
    "create": {200, 201, 429, 503, 504},
    "get": {200, 503},
    "cancel": {200, 503, 504},
    "list": {200, 503},
}
DEAD_WORKER_SECONDS = 30.0
MORE_THREADS = 12
MORE_CONNECTIONS = 20
"""A pool may have grown to its bound (16 connections) during the storm; more than that is a leak."""
WORKERS_OWN_EXITS = {-9, 70}
"""A model that kills its worker, and a batch that hangs."""
SLACK_SECONDS = 0.3
"""What a busy machine and the proxies may add to an answer."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    name: str
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = "".join(f"\n      {key}: {value}" for key, value in self.evidence.items())
        return f"{self.name}: {self.sentence}{facts}"


Check = Callable[[Evidence], Iterator[Violation]]


def judge(evidence: Evidence) -> list[Violation]:
    """All violations, in the order of the checks."""
    return [violation for check in CHECKS for violation in check(evidence)]


# --- what was accepted ------------------------------------------------------------------------------


def lost(e: Evidence) -> Iterator[Violation]:
    """Accepted, and gone or never ended."""
    for id, n in e.book.accepted().items():
        record = e.records.get(id)
        if record is None:
            yield _of(e, "lost", f"{id} was accepted and the ledger has it not", n)
        elif not record.status.terminal:
            yield _of(e, "lost", f"{id} was accepted and is still {record.status}", n)
    known = e.book.accepted()
    for request in e.book.requests:
        id = request.id
        missed = request.kind in ("get", "cancel", "final") and request.status == 404
        if missed and id in known and request.asked > _accepted_at(e, id):
            yield _of(e, "lost", f"{id} was accepted, then answered 404", known[id])
    for record in e.records.values():
        if not record.status.terminal and record.id not in known:
            yield Violation("lost", f"{record.id} is recorded and never ended", {"record": record})


def doubled(e: Evidence) -> Iterator[Violation]:
    """Two ends, or an end that changed."""
    seen: dict[str, list[Sight]] = defaultdict(list)
    for sight in e.book.sights:
        seen[sight.id].append(sight)
    for id, sights in seen.items():
        ends = {
            (s.status, repr(s.output), s.error_code, s.attempt, s.completed_at)
            for s in sights
            if s.over
        }
        if len(ends) > 1:
            yield Violation("doubled", f"{id} was seen with {len(ends)} ends", {"ends": ends})
        first = min((s.answered for s in sights if s.over), default=None)
        for sight in sights:
            if (
                first is not None
                and sight.asked > first
                and not sight.over
                and sight.how != "create"
            ):
                yield Violation(
                    "doubled", f"{id} was over, then {sight.status}", {"sights": sights}
                )
                break


def wrong(e: Evidence) -> Iterator[Violation]:
    """An end that its input cannot have."""
    for n, wish in e.book.wishes.items():
        for record in e.records_of(n):
            if record.status.terminal and (why := _misfit(wish, record, e)):
                yield _of(e, "wrong_output", f"{record.id}: {why}", n)
    for sight in e.book.sights:
        record = e.records.get(sight.id)
        if sight.over and sight.status == "succeeded" and record is not None:
            n = _number(record)
            if n in e.book.wishes and sight.output != output_of(e.book.wishes[n].input):
                yield _of(e, "wrong_output", f"{sight.id} was shown with another output", n)


def _misfit(wish: Wish, record: Prediction, e: Evidence) -> str | None:
    import orjson

    do, code = wish.input["do"], record.error_code
    if record.status == "succeeded":
        if do in ("refuse", "raise", "poison"):
            return f"{do} cannot succeed"
        output = orjson.loads(record.output or "null")
        return None if output == output_of(wish.input) else f"the output is {output!r}"
    if record.status == "canceled":
        wanted = wish.canceled or wish.deadline is not None
        return None if wanted else f"canceled ({code}), and nobody had asked for it"
    if code == "worker_lost":
        lost = record.attempt - record.handed_back
        return None if lost >= e.max_attempts else f"worker_lost after {lost} lost workers"
    return None if do in ("refuse", "raise") and code == "model_error" else f"failed with {code}"


def wrong_stream(e: Evidence) -> Iterator[Violation]:
    """A listener's text that is not the output's text."""
    for heard in e.book.listenings:
        record = e.records.get(heard.id)
        if record is None or not heard.done or record.status != "succeeded":
            continue
        text = output_of(e.book.wishes[heard.n].input)
        if heard.text != text or heard.error is not None:
            yield Violation(
                "wrong_stream",
                f"a listener of {heard.id} got another text than the output",
                {"heard": heard, "output": text},
            )


def duplicated(e: Evidence) -> Iterator[Violation]:
    """One wish that became two predictions."""
    for n, requests in e.book.creates().items():
        ids = {r.id for r in requests if r.accepted} | {p.id for p in e.records_of(n)}
        if len(ids) > 1:
            yield _of(e, "duplicated", f"wish {n} became {sorted(map(str, ids))}", n)


def attempts_exceeded(e: Evidence) -> Iterator[Violation]:
    """More starts than were promised."""
    starts: dict[str, int] = defaultdict(int)
    for run in e.runs:
        starts[run.id] += not run.again
    for id, count in starts.items():
        record = e.records.get(id)
        most = e.max_attempts + (record.handed_back if record else 0)
        if count > most or (record and record.attempt > most):
            yield Violation(
                "attempts_exceeded",
                f"{id} was started {count} times",
                {"runs": e.runs_of([id]), "record": record},
            )


# --- what was refused or unknown --------------------------------------------------------------------


def refused_ran(e: Evidence) -> Iterator[Violation]:
    """Answered 429 or 503 each time it was asked for, and it exists or ran."""
    ran = {run.n for run in e.runs}
    for n, requests in e.book.creates().items():
        if all(request.refused for request in requests):
            records = e.records_of(n)
            if records or n in ran:
                what = "ran" if n in ran else "is recorded"
                yield _of(e, "refused_ran", f"wish {n} was refused and {what}", n)


def unknown_unresolved(e: Evidence) -> Iterator[Violation]:
    """A 504 whose id is there though it was said that it never will be, or gone, or that ran without a record."""
    ran = {run.id for run in e.runs}
    for id, n in e.book.unknown().items():
        told = min(r.answered or r.asked for r in e.book.requests if r.status == 504 and r.id == id)
        answers = {
            r.status
            for r in e.book.requests
            if r.kind in ("get", "final") and r.id == id and r.asked >= told
        } & {200, 404}
        exists = id in e.records
        if answers - {200 if exists else 404}:
            sentence = f"{id} was answered 504, then {sorted(answers)}; recorded: {exists}"
            yield _of(e, "unknown_unresolved", sentence, n)
        elif id in ran and not exists:
            yield _of(e, "unknown_unresolved", f"{id} ran and has no record", n)


# --- how it was answered ----------------------------------------------------------------------------


def server_error(e: Evidence) -> Iterator[Violation]:
    """A 500, a refusal that is no problem document, or an answer that nobody could expect."""
    known = set(e.book.accepted())
    for request in e.book.requests:
        if request.status is None:
            continue
        expected = EXPECTED.get(request.kind, {200, 404, 503})
        unsure = request.kind in ("get", "cancel") and request.status == 404
        if unsure and request.id not in known:
            continue  # of a create that was answered 504, or told of as lost
        if request.status not in expected and not unsure:
            yield Violation(
                "server_error",
                f"{request.kind} was answered {request.status} {request.code or ''}",
                {"request": request, "faults": _near(e, [request])},
            )
        elif request.trouble:
            yield Violation("server_error", request.trouble, {"request": request})


def late_answer(e: Evidence) -> Iterator[Violation]:
    """No answer within 3 s and the wait that was asked for, from a gateway that nothing had hurt."""
    for request in e.book.requests:
        if request.answered is None or request.kind == "final":
            continue  # no gateway to answer: the connection broke
        lag = e.lag_in(request.asked, request.answered)
        limit = ANSWER_SECONDS + request.wait + SLACK_SECONDS + lag
        if request.seconds > limit and not _excused(e, request):
            yield Violation(
                "late_answer",
                f"{request.kind} was answered after {request.seconds:.2f} s",
                {"request": request, "lag": lag, "faults": _near(e, [request])},
            )


def _excused(e: Evidence, request: Request) -> bool:
    """Whether the gateway, or the way to it, was hurt while this request was under way."""
    end = request.answered or request.asked
    hurt = {request.gateway, f"client-{request.gateway}"}
    return any(s.fault.target in hurt and s.touches(request.asked, end) for s in e.struck)


# --- how it came back -------------------------------------------------------------------------------


def lost_wake_up(e: Evidence) -> Iterator[Violation]:
    """Predictions that wait after the heal while nobody works on any."""
    for model, seconds in e.idle_waits.items():
        if seconds > e.patience_seconds:
            yield Violation(
                "lost_wake_up", f"{model}: predictions waited {seconds:.1f} s for idle workers"
            )


def not_ready(e: Evidence) -> Iterator[Violation]:
    """A process that does not come back after the heal."""
    for name in e.unready:
        yield Violation("not_ready", f"{name} is not ready, long after the heal")


def bad_exit(e: Evidence) -> Iterator[Violation]:
    """A process that ended though nothing ended it, or not in good order though it was asked to."""
    for end in e.exits:
        if end.asked == "kill":
            continue
        worker = end.place.startswith("worker")
        allowed = {0} if end.asked else WORKERS_OWN_EXITS if worker else set()
        if end.code not in allowed:
            what = end.asked or "no fault"
            yield Violation("bad_exit", f"{end.place} ended with {end.code} after {what}")


def dead_worker_slow(e: Evidence) -> Iterator[Violation]:
    """What a dead worker had is not with another one in time. While a fault is on, no time counts."""
    for run in e.runs:
        died = e.killed.get(run.pid)
        if died is None or run.ended is not None or run.begun > died:
            continue
        later = [r.begun for r in e.runs if r.id == run.id and r.begun > died]
        if not later:
            continue  # it has ended otherwise, or is told of as lost
        seconds = e.clear_seconds(died, min(later))
        if seconds > DEAD_WORKER_SECONDS:
            yield Violation(
                "dead_worker_slow",
                f"{run.id} was back after {seconds:.1f} s without a fault",
                {"record": e.records.get(run.id), "runs": e.runs_of([run.id])},
            )


def grown(e: Evidence) -> Iterator[Violation]:
    """More threads or connections at the end than a storm may leave."""
    before, after = e.sizes
    for name in before.keys() & after.keys():
        threads, connections = (after[name][i] - before[name][i] for i in (0, 1))
        if threads > MORE_THREADS or connections > MORE_CONNECTIONS:
            sentence = (
                f"{name} has {threads} threads and {connections} connections more than before"
            )
            yield Violation("grown", sentence, {"before": before[name], "after": after[name]})


def residue(e: Evidence) -> Iterator[Violation]:
    """All is over, and the ledger still counts something as under way."""
    if e.residue and all(p.status.terminal for p in e.records.values()):
        yield Violation("residue", "all is over, but not in the ledger's sets", dict(e.residue))


CHECKS: tuple[Check, ...] = (
    lost,
    doubled,
    wrong,
    wrong_stream,
    duplicated,
    attempts_exceeded,
    refused_ran,
    unknown_unresolved,
    server_error,
    late_answer,
    lost_wake_up,
    not_ready,
    bad_exit,
    dead_worker_slow,
    grown,
    residue,
)


def _of(e: Evidence, name: str, sentence: str, n: int) -> Violation:
    """A violation with all that is known of one wish."""
    records = e.records_of(n)
    ids = {p.id for p in records} | {r.id for r in e.book.requests if r.n == n and r.id}
    requests = [r for r in e.book.requests if r.n == n or (r.id in ids and r.id)]
    return Violation(
        name,
        sentence,
        {
            "wish": e.book.wishes.get(n),
            "requests": requests,
            "records": records,
            "runs": [run for run in e.runs if run.n == n],
            "faults": _near(e, requests),
        },
    )


def _near(e: Evidence, requests: list[Request]) -> list[str]:
    """The faults that were on while these requests were under way."""
    if not requests:
        return []
    begin = min(r.asked for r in requests)
    end = max(r.answered or r.asked for r in requests)
    return [str(s.fault) for s in e.struck if s.touches(begin - 3, end + 3)]


def _accepted_at(e: Evidence, id: str) -> float:
    return min(r.answered or r.asked for r in e.book.requests if r.accepted and r.id == id)


def _number(record: Prediction) -> int:
    import orjson

    return int(orjson.loads(record.input)["n"])
