"""Server-sent events on the wire: what a prediction said, by number, and how it ended."""

import pytest

from contract.errors import InvalidRequest
from contract.ledger.transitions import Streamed
from contract.prediction import Status
from service.http.sse import DIFFERS, REMOVED, EventEncoder, encode_event, parse_last_event_id


def streamed(*pieces: str, status: Status = Status.PROCESSING, **end: str | None) -> Streamed:
    return Streamed(status, events=[("output", piece) for piece in pieces], **end)


def names(encoder: EventEncoder, found: Streamed) -> list[str]:
    """The event and the data of each, in a word."""
    told = []
    for event in encoder.encode_events(found):
        lines = event.decode().splitlines()
        data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
        told.append(f"{lines[0][7:]} {data}")
    return told


@pytest.mark.parametrize(
    ("header", "number"), [(None, 0), ("", 0), ("0", 0), ("17", 17), ("999999999", 999999999)]
)
def test_the_last_event_id_is_how_many_events_a_client_has(header: str, number: int) -> None:
    assert parse_last_event_id(header) == number


@pytest.mark.parametrize("header", ["-1", "1.0", " 1", "one", "\u0661", "1" * 10])
def test_another_last_event_id_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_last_event_id(header)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("a", "data: a\n"),
        ("", "data: \n"),
        ("a\nb", "data: a\ndata: b\n"),
        ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n"),
        ("a\u2028b", "data: a\u2028b\n"),
        ("\n\nevent: done", "data: \ndata: \ndata: event: done\n"),
    ],
)
def test_data_of_any_kind_stays_data(data: str, lines: str) -> None:
    assert encode_event("output", 3, data).decode() == f"event: output\nid: 3\n{lines}\n"


def test_pieces_are_numbered_and_the_end_is_said_once() -> None:
    encoder = EventEncoder(0)
    assert names(encoder, streamed("a", "b")) == ["output a", "output b"]
    end = streamed(status=Status.SUCCEEDED, output='"ab"')
    assert names(encoder, end) == ["done {}"]
    assert encoder.number == 3


def test_who_has_some_events_gets_the_others() -> None:
    end = streamed("a", "b", status=Status.SUCCEEDED, output='"abc"')
    assert names(EventEncoder(0), end) == ["output a", "output b", "output c", "done {}"]
    assert names(EventEncoder(1), end) == ["output b", "output c", "done {}"]
    assert names(EventEncoder(9), end) == ["done {}"]


def test_an_output_that_came_in_no_pieces_comes_whole() -> None:
    end = streamed(status=Status.SUCCEEDED, output='{"a": 1}')
    assert names(EventEncoder(0), end) == ['output {"a": 1}', "done {}"]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"status": Status.FAILED, "error": "bad"}, ['error {"detail":"bad"}', "done {}"]),
        ({"status": Status.CANCELED}, ["done {}"]),
        ({"status": Status.SUCCEEDED}, [f'error {{"detail":"{REMOVED}"}}', "done {}"]),
    ],
)
def test_each_end_has_its_events(end: dict[str, Status], said: list[str]) -> None:
    assert names(EventEncoder(0), streamed(**end)) == said  # type: ignore[arg-type]


def test_what_was_sent_and_is_not_how_the_output_begins_ends_in_an_error() -> None:
    encoder = EventEncoder(0)
    names(encoder, streamed("a"))
    end = streamed(status=Status.SUCCEEDED, output='"xyz"')
    assert names(encoder, end) == [f'error {{"detail":"{DIFFERS}"}}', "done {}"]


def test_who_comes_late_gets_the_output_in_place_of_such_pieces() -> None:
    end = streamed("a", status=Status.SUCCEEDED, output='"xyz"')
    assert names(EventEncoder(0), end) == ["output xyz", "done {}"]
