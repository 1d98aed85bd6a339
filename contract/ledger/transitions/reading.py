"""Reading predictions: by id, as a stream, by page, and those that are dead."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.ledger.transitions.transition import Transition
from contract.prediction import Prediction, Status

MOST_PAGE_BYTES = 4 * 1024 * 1024
"""Of the records that one page holds, unless a single one has more: Redis is held up while it reads them."""
EVENTS_AT_ONCE = 1000
"""How many events one call reads."""


@dataclass(frozen=True, slots=True)
class View:
    """A prediction as it stands, and what it streamed from the index asked for."""

    prediction: Prediction
    events: list[tuple[str, str]]


def read_predictions(
    wanted: Sequence[tuple[str, int]], *, owner: str | None = None, watcher: str | None = None
) -> Transition[list[View | None]]:
    """Read predictions by (id, first event wanted); -1 asks for no events.

    Args:
        owner: another owner's predictions read as None, like those that do not exist.
        watcher: this gateway hears of all that follows.
    """
    args: dict[str, Any] = {"predictions": list(wanted)}
    if owner is not None:
        args["owner"] = owner
    if watcher is not None:
        args["watcher"] = watcher

    def read_views(answer: Any) -> list[View | None]:
        return [
            View(Prediction.from_record(row[0]), [(kind, text) for kind, text in row[1]])
            if row
            else None
            for row in answer
        ]

    return Transition("read_predictions", args, read_views)


def read_statuses(ids: Sequence[str], watcher: str) -> Transition[list[Status | None]]:
    """The statuses of predictions, None of those that do not exist. This gateway hears of all that follows."""

    def read_found(answer: Any) -> list[Status | None]:
        return [Status(status) if status else None for status in answer]

    return Transition("read_statuses", {"ids": list(ids), "watcher": watcher}, read_found)


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


def read_stream(
    id: str, owner: str, since: int, *, watcher: str | None = None, most: int = EVENTS_AT_ONCE
) -> Transition[Streamed | None]:
    """What a listener to a prediction's stream does not have yet; None when this owner has no such
    prediction. It costs what is new, whatever the size of the record.

    Args:
        since: how many events the listener has.
        watcher: this gateway hears of all that follows.
    """
    args: dict[str, Any] = {"id": id, "owner": owner, "since": since, "most": most}
    if watcher is not None:
        args["watcher"] = watcher

    def read_streamed(answer: Any) -> Streamed | None:
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

    return Transition("read_stream", args, read_streamed)


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
    most_read: int = 1000,
    most_bytes: int = MOST_PAGE_BYTES,
    brief: bool = False,
) -> Transition[Page]:
    """A page of an owner's predictions: newest first, or oldest first when `after` is given.

    Args:
        most_read: how many records one call may read to find `limit` that fit.
        most_bytes: of inputs, outputs, logs and errors; the page ends early, but has at least one record.
        brief: without what may be large: input, output, logs, error.
    """
    args: dict[str, Any] = {
        "owner": owner,
        "limit": limit,
        "most_read": most_read,
        "most_bytes": most_bytes,
        "brief": brief,
    }
    for name, value in (("before", before), ("after", after), ("model", model), ("status", status)):
        if value is not None:
            args[name] = value

    def read_page(answer: Any) -> Page:
        predictions = [Prediction.from_record(record) for record in answer["records"]]
        last = int(answer["last"]) if answer["last"] else None
        return Page(predictions, last, answer["more"], answer["now"])

    return Transition("list_page", args, read_page)


def read_dead_list(model: str, most: int = 1000) -> Transition[list[Prediction]]:
    """The dead list of a model, newest first, without inputs."""

    def read_records(answer: Any) -> list[Prediction]:
        return [Prediction.from_record(record) for record in answer]

    return Transition("read_dead_list", {"model": model, "most": most}, read_records)
