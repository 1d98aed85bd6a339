"""Every transition of the ledger as a value: a script, its arguments and how its answer reads.

Both sides use the same ones: `Ledger(...).run(claim(...))` in a worker, `await AsyncLedger(...).run(...)`
in the gateway and the keeper. Each is atomic and runs by the ledger's clock, and each may be sent again
after a broken connection: a second run changes nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Generic, TypeVar

from contract.ledger.endings import Ending
from contract.ledger.keys import AT_WORK, SCHEMA
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.workers import ModelWord, StartFailure, Worker, model_word
from contract.prediction import Prediction, Status, new_id

T = TypeVar("T")

MOST_LOG_BYTES = 64 * 1024
"""Of one prediction: its record keeps the last of its logs, its stream has the first."""
MOST_STREAMED_BYTES = 1024 * 1024
"""Of one prediction's output in pieces. Who listens gets the rest with the outcome."""
MOST_EVENTS = 65_536
"""Of one prediction's stream, pieces of output and lines of its logs together."""
EVENTS_AT_ONCE = 1000
"""How many events one call reads."""
MOST_FINISH_BYTES = 4 * 1024 * 1024
"""Of the outcomes that one call writes, unless a single one has more."""
MOST_ERROR_CHARACTERS = 2000
MOST_CODE_CHARACTERS = 64
MOST_FAILURE_CHARACTERS = 500
MOST_CLAIM_BYTES = 16 * 1024 * 1024
"""Of the inputs that one claim takes, unless a single one has more."""
MOST_PAGE_BYTES = 4 * 1024 * 1024
"""Of the records that one page holds, unless a single one has more: Redis is held up while it reads them."""
LIMIT_SLACK_SECONDS = 2.0
"""How much later than the worker's own watchdog the keeper ends what ran past its hard limit."""


@dataclass(frozen=True, slots=True)
class Transition(Generic[T]):
    """One atomic step: `script` is the name of a file in `scripts/`."""

    script: str
    args: dict[str, Any]
    read: Callable[[Any], T]
    promises: bool = False
    """Its answer is something to rely on. Where replicas are asked for, they have it first."""
    ended: Callable[[T], tuple[str, list[str]]] | None = None
    """(model, ids) of what it may have ended. Where replicas are asked for, it is announced by a call of its
    own when they have it, and otherwise by the call itself."""


def _same(answer: Any) -> Any:
    return answer


# --- accepting ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Created:
    prediction: Prediction
    repeated: bool = False
    """True when an earlier request with this id or key had already created it; false when an earlier
    try of this same create had, whose answer was lost."""
    brief: bool = False
    """True when it lacks what may be large: the records of one answer were too large together."""
    failure: StartFailure | None = None
    """Why no worker serves its model now."""


@dataclass(frozen=True, slots=True)
class Conflicting:
    id: str


@dataclass(frozen=True, slots=True)
class Unserved:
    """It names a version that no worker serves, and none will as far as the ledger knows."""


@dataclass(frozen=True, slots=True)
class Full:
    waiting: int
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class NoRoom:
    """It was not recorded: the memory that is left belongs to what was accepted before."""

    more_room_seconds: float | None
    """Until the next records are deleted; None when nothing is over yet."""


@dataclass(frozen=True, slots=True)
class Late:
    """The ledger read it only after its `not_after`: it is not recorded, and never will be."""


CreateResult = Created | Conflicting | Unserved | Full | NoRoom | Late


@dataclass(frozen=True, slots=True)
class Creation:
    """What became of each prediction, in order, and the wake-ups to send (by model)."""

    results: list[CreateResult]
    wakeups: dict[str, list[int]]
    now: float
    """The ledger's clock."""


def create(
    predictions: Sequence[NewPrediction], *, reserve_bytes: int | None = None
) -> Transition[Creation]:
    """Accept predictions: recorded, queued, and never lost from here on.

    Sent again, it answers for what an earlier try has recorded as that try would have.

    Args:
        reserve_bytes: memory that new predictions leave to what was accepted before; None is an eighth
            of what the ledger may use.
    """
    args: dict[str, Any] = {
        "models": {new.prediction.model: new.model_row for new in predictions},
        "predictions": [new.row for new in predictions],
        "most_bytes": MOST_PAGE_BYTES,
    }
    if reserve_bytes is not None:
        args["reserve"] = reserve_bytes

    def read(answer: Any) -> Creation:
        wakeups = dict(answer["wakeups"])  # Lua packs an empty table as a list
        failing = dict(answer.get("failing", {}))
        results = [
            _created(new.prediction, *result)
            for new, result in zip(predictions, answer["results"], strict=True)
        ]
        if failing:
            results = [_failing(result, failing) for result in results]
        return Creation(results, wakeups, answer["now"])

    return Transition("create", args, read, promises=True)


def _failing(result: CreateResult, failing: Mapping[str, Any]) -> CreateResult:
    """The same, with why no worker serves its model now."""
    if not isinstance(result, Created):
        return result
    failure = StartFailure.read(failing.get(result.prediction.model))
    return replace(result, failure=failure)


def _created(prediction: Prediction, what: str, *answer: Any) -> CreateResult:
    if what == "created":
        prediction.created_at, deadline, prediction.queue_position, eta, version = answer
        prediction.deadline = deadline or None
        prediction.eta_seconds = None if eta is False else eta
        prediction.version = version or ""
        return Created(prediction)
    if what in ("repeated", "found", "brief"):
        record = Prediction.from_record(answer[0])
        return Created(record, repeated=what != "found", brief=what == "brief")
    if what == "unserved":
        return Unserved()
    if what == "full":
        return Full(answer[0], answer[1] or None)
    if what == "late":
        return Late()
    if what == "no_room":
        return NoRoom(None if answer[0] is False else answer[0])
    return Conflicting(answer[0])


@dataclass(frozen=True, slots=True)
class Recorded:
    """Which predictions are recorded."""

    receipts: list[str | None]
    """Of each record, in the order asked: "" for one without; None where there is no record."""
    now: float
    """The ledger's clock."""


def recorded(ids: Sequence[str]) -> Transition[Recorded]:
    """Whether there are records of these ids, without reading them. Of none it only tells the time."""

    def read(answer: Any) -> Recorded:
        return Recorded([None if r is False else r for r in answer["found"]], answer["now"])

    return Transition("recorded", {"ids": list(ids)}, read, promises=bool(ids))


def replay(
    id: str, fresh_id: str, max_batch_size: int, *, reserve_bytes: int | None = None
) -> Transition[tuple[Prediction, list[int]] | NoRoom | None]:
    """Give a dead prediction another life, as a new prediction; None when it is not on the dead list.

    `reserve_bytes` as in `create`.
    """
    args: dict[str, Any] = {"id": id, "new_id": fresh_id, "batch": max_batch_size}
    if reserve_bytes is not None:
        args["reserve"] = reserve_bytes

    def read(answer: Any) -> tuple[Prediction, list[int]] | NoRoom | None:
        if answer == "no_room":
            return NoRoom(None)
        return (Prediction.from_record(answer[0]), answer[1]) if answer else None

    return Transition("replay", args, read, promises=True)


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claimed:
    """A prediction that this worker may run, under the fencing number `attempt`."""

    id: str
    attempt: int
    input: str
    queue_seconds: float
    traceparent: str | None = None
    tracestate: str | None = None
    streamed: str = ""
    """What earlier runs streamed of its output. It cannot be taken back: this run goes on behind it."""


@dataclass(frozen=True, slots=True)
class Claim:
    predictions: list[Claimed]
    wakeups: list[int]
    more: bool = False
    """Others wait that only workers of this version may take."""
    endings: list[Ending] = field(default_factory=list)
    """Their deadline had passed."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """Who claims: one worker, for one model, with the terms of its leases."""

    model: str
    worker: str
    max_batch_size: int
    _: KW_ONLY
    version: str = ""
    """Of the model, as this worker has it; without one it takes nothing that names a version."""
    lease_seconds: float = 15.0
    timeout_seconds: float = 300.0
    max_attempts: int = 3
    dead_ttl_seconds: float = 7 * 86400.0


def claim(terms: LeaseTerms, wakeup: int, limit: int | None = None) -> Transition[Claim]:
    """Take the oldest that wait for any worker or for this version, up to a batch, under a lease. `wakeup` is
    the message that asked for it. Sent again, as its answer was lost, it answers what it took already.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "limit": limit or terms.max_batch_size,
        "batch": terms.max_batch_size,
        "most_bytes": MOST_CLAIM_BYTES,
        "lease": terms.lease_seconds,
        "timeout": terms.timeout_seconds,
        "wakeup": wakeup,
        "token": new_id(),
    }
    if terms.version:
        args["version"] = terms.version

    def read(answer: Any) -> Claim:
        claimed = [Claimed(**p) for p in answer["predictions"]]
        return Claim(claimed, answer["wakeups"], answer["more"], Ending.read_all(answer["endings"]))

    return Transition("claim", args, read)


def extend(
    terms: LeaseTerms,
    attempts: Iterable[tuple[str, int]],
    left: Mapping[str, float | None] | None = None,
) -> Transition[list[str]]:
    """Renew leases; answers the ids that are no longer this worker's.

    Args:
        left: by id, how many seconds are left of the hard limit; None when the model has returned, and
            no limit holds any more. The limits of others stay as they are.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "lease": terms.lease_seconds,
        "predictions": list(attempts),
        "left": {id: seconds is not None and seconds for id, seconds in (left or {}).items()},
    }
    return Transition("extend", args, _same)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: with an output (JSON text), or with an error and its code."""

    id: str
    attempt: int
    output: bytes | None = None
    error: str | None = None
    error_code: str | None = None
    predict_seconds: float = 0.0
    said: int | None = None
    """Bytes of output that the run said in pieces; -1 when they differ from what was streamed before, None
    when nothing was ever said."""


def finish(
    terms: LeaseTerms,
    outcomes: Sequence[Outcome],
    *,
    idle: bool,
    seconds: float,
    items: int | None = None,
) -> Transition[list[str]]:
    """Write and announce a batch's outcomes in one step; answers the ids that were fenced off.

    Args:
        idle: the worker has no other batch under way.
        seconds: how long the batch took, for the ETA of those that wait.
        items: how many predictions that were, if not those of `outcomes`.
    """
    rows = []
    for outcome in outcomes:
        fields: dict[str, Any] = {"predict_seconds": outcome.predict_seconds}
        if outcome.error_code is None:
            fields["output"] = outcome.output
            if outcome.said is not None:
                fields["said"] = outcome.said
        else:
            fields["error"] = (outcome.error or "")[:MOST_ERROR_CHARACTERS]
            fields["error_code"] = outcome.error_code[:MOST_CODE_CHARACTERS]
        status = "succeeded" if outcome.error_code is None else "failed"
        rows.append(
            {"id": outcome.id, "attempt": outcome.attempt, "status": status, "outcome": fields}
        )
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "idle": idle,
        "seconds": seconds,
        "items": len(rows) if items is None else items,
        "predictions": rows,
    }
    ids = [outcome.id for outcome in outcomes]
    return Transition("finish", args, _same, ended=lambda fenced: (terms.model, ids))


def finish_in_parts(
    terms: LeaseTerms, outcomes: Sequence[Outcome], *, idle: bool, seconds: float
) -> list[Transition[list[str]]]:
    """As `finish`, in as many steps as the outcomes' size asks for: one that wrote a batch of large outputs
    at once would hold the ledger up, and need memory for all of them again to announce them.
    """
    parts: list[list[Outcome]] = [[]]
    room = MOST_FINISH_BYTES
    for outcome in outcomes:
        room -= len(outcome.output or b"")
        if room < 0 and parts[-1]:
            parts.append([])
            room = MOST_FINISH_BYTES - len(outcome.output or b"")
        parts[-1].append(outcome)
    *first, last = parts
    # Only the last one ends the batch: it frees the worker and counts for the pace.
    return [
        *(finish(terms, part, idle=False, seconds=0.0, items=0) for part in first),
        finish(terms, last, idle=idle, seconds=seconds, items=len(outcomes)),
    ]


@dataclass(frozen=True, slots=True)
class Released:
    wakeups: list[int]
    endings: list[Ending]


def release(
    terms: LeaseTerms,
    attempts: Iterable[tuple[str, int]],
    *,
    idle: bool,
    suspect: bool,
    lost: bool = False,
    reason: str = "drain",
) -> Transition[Released]:
    """Hand predictions back without an outcome; answers the wake-ups to send.

    Args:
        suspect: one of them may be why; each will run alone.
        lost: it counts as a lost worker.
        reason: by which they are counted: `drain`, `device_lost` or `timeout`.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "idle": idle,
        "suspect": suspect,
        "lost": lost,
        "reason": reason,
        "batch": terms.max_batch_size,
        "max_attempts": terms.max_attempts,
        "dead_ttl": terms.dead_ttl_seconds,
        "predictions": list(attempts),
    }

    def read(answer: Any) -> Released:
        return Released(answer["wakeups"], Ending.read_all(answer["endings"]))

    return Transition("release", args, read)


@dataclass(slots=True)
class Report:
    """What a running prediction says of itself since the last report."""

    id: str
    attempt: int
    progress: float | None = None
    logs: str = ""
    events: list[tuple[str, str]] = field(default_factory=list)
    """(`output` or `logs`, text), in order: what listeners of its stream get."""
    offset: int = 0
    """Bytes of the run's output before its first piece in here. What is streamed already is not streamed
    again, and a gap is never closed up: listeners get what is missing with the outcome."""


def report(reports: Sequence[Report]) -> Transition[bool]:
    """Record progress, logs and pieces of output of running predictions."""
    rows = []
    for r in reports:
        row: dict[str, Any] = {
            "id": r.id,
            "attempt": r.attempt,
            "offset": r.offset,
            "events": r.events,
        }
        if r.progress is not None:
            row["progress"] = r.progress
        if r.logs:
            row["logs"] = r.logs
        rows.append(row)
    args = {
        "token": new_id(),
        "predictions": rows,
        "most_logs": MOST_LOG_BYTES,
        "most_streamed": MOST_STREAMED_BYTES,
        "most_events": MOST_EVENTS,
    }
    return Transition("report", args, _same)


def announce(
    model: str, worker: Worker, lifetime_seconds: float = 15.0, start: str = ""
) -> Transition[bool]:
    """Say that a worker is there and what it does, until the lifetime is over. `start` is another one for each
    process: in a pod the next container has the same name.
    """
    args = {
        "model": model,
        "worker": worker.name,
        "lifetime": lifetime_seconds,
        "facts": worker.announcement | {"start": start},
    }
    return Transition("announce", args, _same)


def leave(model: str, worker: str, *, early: bool = False) -> Transition[bool]:
    """Take back what a worker announced: it ends. `early` is before it was ready, without being told to."""
    return Transition("leave", {"model": model, "worker": worker, "early": early}, _same)


def fail(model: str, worker: str, code: str, detail: str) -> Transition[bool]:
    """Say why a worker could not start: until one becomes ready, and for a quarter of an hour at most."""
    args = {
        "model": model,
        "worker": worker,
        "code": code[:MOST_CODE_CHARACTERS],
        "detail": detail[:MOST_FAILURE_CHARACTERS],
    }
    return Transition("fail", args, _same)


# --- asking ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """A prediction as it stands, and what it streamed from the index asked for."""

    prediction: Prediction
    events: list[tuple[str, str]]


def read(
    wanted: Sequence[tuple[str, int]], *, owner: str | None = None, watcher: str | None = None
) -> Transition[list[View | None]]:
    """Read predictions by (id, first event wanted); -1 asks for no events.

    Args:
        owner: another owner's predictions read as None, like those that do not exist.
        watcher: this gateway is told of all that follows.
    """
    args: dict[str, Any] = {"predictions": list(wanted)}
    if owner is not None:
        args["owner"] = owner
    if watcher is not None:
        args["watcher"] = watcher

    def views(answer: Any) -> list[View | None]:
        return [
            View(Prediction.from_record(row[0]), [(kind, text) for kind, text in row[1]])
            if row
            else None
            for row in answer
        ]

    return Transition("read", args, views)


def statuses(ids: Sequence[str], watcher: str) -> Transition[list[Status | None]]:
    """The statuses of predictions, None of those that do not exist; this gateway is told of all that follows."""

    def read(answer: Any) -> list[Status | None]:
        return [Status(status) if status else None for status in answer]

    return Transition("statuses", {"ids": list(ids), "watcher": watcher}, read)


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a prediction has streamed from the event asked for on; once it is over, also how it ended."""

    status: Status
    events: list[tuple[str, str]]
    """(`output` or `logs`, text)"""
    more: bool = False
    """There are more events: ask again."""
    output: str | None = None
    error: str | None = None
    said: int | None = None
    """As in the `Outcome`; None too when the worker was of a version that does not say it."""


def follow(
    id: str, owner: str, since: int, *, watcher: str | None = None, most: int = EVENTS_AT_ONCE
) -> Transition[Streamed | None]:
    """What a listener to a prediction's stream does not have yet; None when this owner has no such
    prediction. It costs what is new, whatever the size of the record.

    Args:
        since: how many events the listener has.
        watcher: this gateway is told of all that follows.
    """
    args: dict[str, Any] = {"id": id, "owner": owner, "since": since, "most": most}
    if watcher is not None:
        args["watcher"] = watcher

    def read(answer: Any) -> Streamed | None:
        if not answer:
            return None
        status, events, more, output, error, said = answer
        return Streamed(
            Status(status),
            [(kind, text) for kind, text in events],
            more,
            None if output is False else output,
            None if error is False else error,
            None if said is False else int(said),
        )

    return Transition("follow", args, read)


def cancel(id: str, owner: str) -> Transition[Prediction | None]:
    """Cancel at any stage; what is over stays as it is. None when this owner has no such prediction."""

    def read(answer: Any) -> Prediction | None:
        return Prediction.from_record(answer) if answer else None

    def ended(canceled: Prediction | None) -> tuple[str, list[str]]:
        return (canceled.model, [canceled.id]) if canceled else ("", [])

    return Transition("cancel", {"id": id, "owner": owner}, read, promises=True, ended=ended)


def erase(id: str, owner: str) -> Transition[Prediction | None]:
    """Remove input, output and logs of a prediction that is over; one that is not stays as it is. None when
    this owner has no such prediction.
    """

    def read(answer: Any) -> Prediction | None:
        return Prediction.from_record(answer) if answer else None

    return Transition("erase", {"id": id, "owner": owner}, read, promises=True)


@dataclass(frozen=True, slots=True)
class Page:
    predictions: list[Prediction]
    last: int | None
    """Sequence number where the next page begins; None when nothing was read."""
    more: bool
    now: float = field(default=0.0, compare=False)
    """The ledger's clock."""


def list_page(
    owner: str,
    *,
    before: int | None = None,
    after: int | None = None,
    model: str | None = None,
    status: str | None = None,
    limit: int = 100,
    look: int = 1000,
    most_bytes: int = MOST_PAGE_BYTES,
    brief: bool = False,
) -> Transition[Page]:
    """A page of an owner's predictions: newest first, or oldest first when `after` is given.

    Args:
        look: how many records one call may read to find `limit` that fit.
        most_bytes: of inputs, outputs, logs and errors; the page ends early, but has at least one record.
        brief: without what may be large: input, output, logs, error.
    """
    args: dict[str, Any] = {
        "owner": owner,
        "limit": limit,
        "look": look,
        "most_bytes": most_bytes,
        "brief": brief,
    }
    for name, value in (("before", before), ("after", after), ("model", model), ("status", status)):
        if value is not None:
            args[name] = value

    def page(answer: Any) -> Page:
        predictions = [Prediction.from_record(record) for record in answer["records"]]
        last = int(answer["last"]) if answer["last"] else None
        return Page(predictions, last, answer["more"], answer["now"])

    return Transition("list", args, page)


@dataclass(frozen=True, slots=True)
class ModelState:
    queued: int
    running: int
    busy: int
    oldest_seconds: float
    eta_seconds: float | None = None
    """Typical seconds until all that waits is done; None when nothing waits, or nothing ran yet."""
    workers: list[Worker] = field(default_factory=list)
    """By name."""
    served: dict[str, str] = field(default_factory=dict)
    """Entry of a catalog -> the version that a ready worker of it announced last."""
    failure: StartFailure | None = None
    """Why a worker could not start, if none became ready since."""

    @property
    def word(self) -> ModelWord:
        return model_word(self.workers, self.failure)

    def versions(self, entry: str) -> list[str]:
        """The versions that are served: the current one of this entry, if a worker of it was ever there,
        then those that still have workers.
        """
        current = self.served.get(entry)
        live = {w.model_version for w in self.workers if w.state != "draining"} - {"", current}
        return [*([current] if current else []), *sorted(live)]


def state(models: Sequence[str]) -> Transition[dict[str, ModelState]]:
    """What each model has waiting and running, and who serves it."""

    def read(answer: Any) -> dict[str, ModelState]:
        return {model: _state(**row) for model, row in dict(answer).items()}

    return Transition("state", {"models": list(models)}, read)


def _state(
    workers: Any, eta_seconds: Any, served: Any, failure: Any = None, **counts: Any
) -> ModelState:
    # Lua packs an empty table as a list or as a map.
    known = sorted((Worker.from_record(row) for row in list(workers)), key=lambda w: w.name)
    return ModelState(
        **counts,
        eta_seconds=eta_seconds or None,
        workers=known,
        served=dict(served),
        failure=StartFailure.read(failure),
    )


def dead(model: str, most: int = 1000) -> Transition[list[Prediction]]:
    """The dead list of a model, newest first, without inputs."""
    return Transition(
        "dead", {"model": model, "most": most}, lambda a: [Prediction.from_record(r) for r in a]
    )


# --- keeping --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the keeper found and did for one model."""

    taken_back: int
    dead: int
    wakeups: list[int]
    queued: int
    running: int
    workers: dict[str, float]
    """The busy workers, and since how many seconds each has its batch."""
    oldest_seconds: float
    dead_total: int
    eta_seconds: float | None
    """Typical seconds until all that waits is done; None when nothing ran yet."""
    counts: dict[str, int]
    """What became of predictions since the ledger began: `accepted`, `finished:STATUS`, `failed:CODE`,
    `handed_back:REASON`."""
    pins: int = 0
    """How many versions have predictions waiting for them alone."""
    endings: list[Ending] = field(default_factory=list)
    unannounced: int = 0
    """Endings that nobody was told of yet: the replicas were late, or whoever was to tell died."""
    states: dict[str, int] = field(default_factory=dict)
    """How many workers are starting, ready, busy or draining; absent is none."""
    loaded: dict[str, str] = field(default_factory=dict)
    """What idle workers have loaded, in a few words."""

    @property
    def busy(self) -> int:
        return len(self.workers)


def at_work(models: Sequence[str]) -> Transition[dict[str, tuple[bool, int]]]:
    """Which models have something to keep, and how many predictions each accepted so far."""

    def read(answer: Any) -> dict[str, tuple[bool, int]]:
        return {model: (works, accepted) for model, (works, accepted) in dict(answer).items()}

    return Transition("at_work", {"models": list(models), "kinds": list(AT_WORK)}, read)


def sweep(
    model: str,
    *,
    max_batch_size: int,
    max_attempts: int,
    dead_ttl_seconds: float,
    depth: int | None,
    patience_seconds: float,
    most: int = 500,
) -> Transition[Sweep]:
    """Take expired leases back and find the wake-ups that were lost.

    Args:
        depth: messages that the broker holds for this model; None when it does not say.
        patience_seconds: how long a message may be on its way.
        most: how many predictions one call may touch.
    """
    args: dict[str, Any] = {
        "model": model,
        "batch": max_batch_size,
        "max_attempts": max_attempts,
        "dead_ttl": dead_ttl_seconds,
        "patience": patience_seconds,
        "most": most,
    }
    if depth is not None:
        args["depth"] = depth

    def read(answer: Any) -> Sweep:
        # Lua packs an empty table as a list, and knows no None.
        maps = {
            name: dict(answer.get(name, {})) for name in ("workers", "states", "loaded", "counts")
        }
        eta = None if answer["eta_seconds"] is False else answer["eta_seconds"]
        endings = Ending.read_all(answer["endings"])
        return Sweep(**{**answer, **maps, "eta_seconds": eta, "endings": endings})

    return Transition("sweep", args, read)


def name(
    entries: Mapping[str, str], lifetime_seconds: float, alive: Iterable[str] = ()
) -> Transition[bool]:
    """Say which entry a catalog has of each model, so that what names a version of it is kept waiting.

    Args:
        alive: models that the caller keeps; it is a sign of life of theirs.
    """
    args = {"entries": dict(entries), "lifetime": lifetime_seconds, "alive": list(alive)}
    return Transition("name", args, _same)


@dataclass(frozen=True, slots=True)
class Pins:
    """What the keeper did for predictions that wait for one version."""

    ended: int
    wakeups: list[int]
    endings: list[Ending] = field(default_factory=list)


def pins(
    model: str, *, max_batch_size: int, settle: bool = False, most: int = 500
) -> Transition[Pins]:
    """Send wake-ups for what waits for one version and has workers.

    Args:
        settle: end, as `version_gone`, what waits for a version that no worker and no catalog has.
        most: how many predictions one call may end.
    """
    args = {"model": model, "batch": max_batch_size, "settle": settle, "most": most}

    def read(answer: Any) -> Pins:
        return Pins(**{**answer, "endings": Ending.read_all(answer["endings"])})

    return Transition("pins", args, read)


@dataclass(frozen=True, slots=True)
class Expired:
    deadlines: int
    limits: int
    """Past their hard limit: ended, or given back to run alone."""
    endings: list[Ending] = field(default_factory=list)


def expire(
    most: int = 500, *, max_attempts: int = 3, dead_ttl_seconds: float = 7 * 86400.0
) -> Transition[Expired]:
    """End what ran past its deadline or its hard limit."""
    args = {
        "most": most,
        "limit_slack": LIMIT_SLACK_SECONDS,
        "max_attempts": max_attempts,
        "dead_ttl": dead_ttl_seconds,
    }

    def read(answer: Any) -> Expired:
        return Expired(**{**answer, "endings": Ending.read_all(answer["endings"])})

    return Transition("expire", args, read)


def unannounced(model: str, most: int = 100) -> Transition[list[str]]:
    """The oldest endings that nobody was told of; the replicas have those that it answers."""
    return Transition("unannounced", {"model": model, "most": most}, list, promises=True)


def endings(model: str, ids: Sequence[str]) -> Transition[int]:
    """Announce what ended and was not announced with its end; answers how many. Each is announced once."""
    return Transition("endings", {"model": model, "predictions": list(ids)}, _same)


def mark() -> Transition[int]:
    """Say that the ledger is written in our schema; answers the newest that it was ever written in."""
    return Transition("mark", {"schema": SCHEMA}, _same)


@dataclass(frozen=True, slots=True)
class Memory:
    """How full the Redis of the ledger is, in bytes. Its broker may be in it too."""

    used: int
    limit: int
    """`maxmemory`; 0 is none."""
    reserved: int
    """What new predictions leave to those that were accepted before."""
    keys: int
    """How many there are in its database."""

    @property
    def room(self) -> int:
        """What new predictions may still take; below 0 they are refused."""
        return self.limit - self.used - self.reserved


def memory(reserve_bytes: int | None = None) -> Transition[Memory]:
    """How full the ledger is; `reserve_bytes` as in `create`."""
    args = {} if reserve_bytes is None else {"reserve": reserve_bytes}

    def read(answer: Any) -> Memory:
        return Memory(**{name: int(value) for name, value in answer.items()})

    return Transition("memory", args, read)


def forget(model: str, patience_seconds: float) -> Transition[bool]:
    """Forget a model that has left the catalog, with its counts, if nothing of it is left; answers whether it did.

    Args:
        patience_seconds: how long records are kept at most, where the ledger does not say it.
    """
    return Transition("forget", {"model": model, "patience": patience_seconds}, _same)


def prune(most: int = 500) -> Transition[tuple[int, float]]:
    """Delete what outlived its retention; answers how many, and in how many seconds the next is due."""

    def read(answer: Any) -> tuple[int, float]:
        pruned, due = answer
        return pruned, math.inf if due is False else due

    return Transition("prune", {"most": most}, read)
