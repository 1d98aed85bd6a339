"""What was accepted: each is kept, ends once, is right, and is started no more often than promised."""

from collections import defaultdict
from collections.abc import Iterator

import orjson

from contract.prediction import Prediction
from tests.storm.evidence import Evidence
from tests.storm.history import Intent, Observation
from tests.storm.logged_model import output_of
from tests.storm.violation import Violation, about


def lost(e: Evidence) -> Iterator[Violation]:
    """Accepted, and gone or never ended."""
    for id, n in e.history.accepted().items():
        record = e.records.get(id)
        if record is None:
            yield about(e, "lost", f"{id} was accepted and the ledger has it not", n)
        elif not record.status.terminal:
            yield about(e, "lost", f"{id} was accepted and is still {record.status}", n)
    known = e.history.accepted()
    for request in e.history.requests:
        id = request.id
        missed = request.kind in ("get", "cancel", "stream", "final") and request.status == 404
        if missed and id in known and request.asked > _accepted_at(e, id):
            yield about(e, "lost", f"{id} was accepted, then answered 404", known[id])
    for record in e.records.values():
        if not record.status.terminal and record.id not in known:
            yield Violation("lost", f"{record.id} is recorded and never ended", {"record": record})


def doubled(e: Evidence) -> Iterator[Violation]:
    """Two ends, or an end that changed."""
    seen: dict[str, list[Observation]] = defaultdict(list)
    for observation in e.history.observations:
        seen[observation.id].append(observation)
    for id, observations in seen.items():
        ends = {
            (s.status, repr(s.output), s.error_code, s.attempt, s.completed_at)
            for s in observations
            if s.over
        }
        if len(ends) > 1:
            yield Violation("doubled", f"{id} was seen with {len(ends)} ends", {"ends": ends})
        first = min((s.answered for s in observations if s.over), default=None)
        if first is None:
            continue
        # A create that is repeated says `starting` of whatever is not over.
        back = [s.status for s in observations if s.asked > first and not s.over]
        if back:
            yield Violation(
                "doubled", f"{id} was over, then {back[0]}", {"observations": observations}
            )


def wrong(e: Evidence) -> Iterator[Violation]:
    """An end that its input cannot have."""
    for n, intent in e.history.intents.items():
        for record in e.records_of(n):
            if record.status.terminal and (why := _misfit(intent, record, e)):
                yield about(e, "wrong_output", f"{record.id}: {why}", n)
    for observation in e.history.observations:
        record = e.records.get(observation.id)
        if observation.over and observation.status == "succeeded" and record is not None:
            n = e.number_of(record)
            if n in e.history.intents and observation.output != output_of(
                e.history.intents[n].input
            ):
                yield about(e, "wrong_output", f"{observation.id} was shown with another output", n)


def _misfit(intent: Intent, record: Prediction, e: Evidence) -> str | None:
    do, code = intent.input["do"], record.error_code
    if record.status == "succeeded":
        if do in ("refuse", "raise", "poison"):
            return f"{do} cannot succeed"
        output = orjson.loads(record.output or "null")
        return None if output == output_of(intent.input) else f"the output is {output!r}"
    if record.status == "canceled":
        wanted = intent.canceled or intent.deadline is not None
        return None if wanted else f"canceled ({code}), and nobody had asked for it"
    if code == "worker_lost":
        lost = record.attempt - record.handed_back
        return None if lost >= e.max_attempts else f"worker_lost after {lost} lost workers"
    return None if do in ("refuse", "raise") and code == "model_error" else f"failed with {code}"


def wrong_stream(e: Evidence) -> Iterator[Violation]:
    """A listener's text that is not the output's text."""
    for reading in e.history.stream_readings:
        record = e.records.get(reading.id)
        if record is None or not record.status.terminal:
            continue  # a violation named `lost`
        if not reading.done:
            sentence = f"a listener of {reading.id} never got the end of its stream"
            yield Violation("wrong_stream", sentence, {"reading": reading})
        if not reading.done or record.status != "succeeded":
            continue
        text = output_of(e.history.intents[reading.n].input)
        if reading.text != text or reading.error is not None:
            yield Violation(
                "wrong_stream",
                f"a listener of {reading.id} got another text than the output",
                {"reading": reading, "output": text},
            )


def duplicated(e: Evidence) -> Iterator[Violation]:
    """One intent that became two predictions."""
    for n, requests in e.history.creates().items():
        ids = {r.id for r in requests if r.accepted} | {p.id for p in e.records_of(n)}
        if len(ids) > 1:
            yield about(e, "duplicated", f"intent {n} became {sorted(map(str, ids))}", n)


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


def _accepted_at(e: Evidence, id: str) -> float:
    return min(r.answered or r.asked for r in e.history.requests if r.accepted and r.id == id)
