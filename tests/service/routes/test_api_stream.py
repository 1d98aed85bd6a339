"""Server-sent events on the wire: names, ids, data lines, resuming, keep-alive, the end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from contract.ledger.client import Ledger
from contract.ledger.transitions import EVENTS_AT_ONCE, release
from service.http import sse
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.waiting import until

CREATE = "/v1/models/local/echo/predictions"


@dataclass
class Event:
    name: str
    id: int
    data: str


def create(http: httpx.Client) -> str:
    """The address of a prediction's stream."""
    body: dict[str, Any] = http.post(CREATE, json={"input": {}}).json()
    url: str = body["urls"]["stream"]
    return url


def parse(text: str) -> list[Event]:
    """The events of a stream as the WHATWG standard reads them; comments are skipped."""
    events = []
    for block in text.split("\n\n")[:-1]:
        lines = block.split("\n")
        if all(line.startswith(":") for line in lines):
            continue
        fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
        assert set(fields) == {"event", "id", "data"}, block
        ((name,), (id,)) = fields["event"], fields["id"]
        events.append(Event(name, int(id), "\n".join(fields["data"])))
    return events


def listen(http: httpx.Client, url: str, last: str | None = None) -> list[Event]:
    """Everything that a stream sends until it ends."""
    answer = http.get(url, headers={"last-event-id": last} if last else None)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return parse(answer.text)


@contextmanager
def listening(http: httpx.Client, url: str) -> Iterator[Iterator[str]]:
    """The text of a stream as it comes."""
    with http.stream("GET", url) as answer:
        yield answer.iter_text()


def read_until(texts: Iterator[str], part: str) -> str:
    got = ""
    for text in texts:
        got += text
        if part in got:
            return got
    raise AssertionError(f"{part!r} is not in {got!r}")


def test_pieces_come_as_they_are_said_and_the_last_event_is_done(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        claimed = worker.take()
        worker.say(claimed, "Hel")
        assert read_until(texts, "\n\n") == "event: output\nid: 1\ndata: Hel\n\n"
        worker.say(claimed, "lo", logs="half way\n")
        got = read_until(texts, "half way\ndata: \n\n")
        worker.succeed(claimed, "Hello")
        got += read_until(texts, "{}\n\n")
        assert list(texts) == []
    assert parse(got) == [
        Event("output", 2, "lo"),
        Event("logs", 3, "half way\n"),
        Event("done", 4, "{}"),
    ]


def test_an_output_that_came_in_no_pieces_comes_whole(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http)
    worker.serve_one(output="a text")
    assert listen(http, url) == [Event("output", 1, "a text"), Event("done", 2, "{}")]
    url = create(http)
    worker.serve_one(output=[{"label": "ham", "score": 0.5}])
    assert listen(http, url)[0].data == '[{"label": "ham", "score": 0.5}]'


@pytest.mark.parametrize("last", [None, "1"])
def test_an_output_comes_whole_also_after_lines_of_log(
    http: httpx.Client, worker: FakeWorker, last: str | None
) -> None:
    url = create(http)
    claimed = worker.take()
    worker.say(claimed, logs="loading\n")
    worker.succeed(claimed, "a text")
    everything = [
        Event("logs", 1, "loading\n"),
        Event("output", 2, "a text"),
        Event("done", 3, "{}"),
    ]
    assert listen(http, url, last) == everything[1 if last else 0 :]


def test_a_failure_is_an_error_event_and_then_done(http: httpx.Client, worker: FakeWorker) -> None:
    url = create(http)
    worker.fail(worker.take(), 'no "good"')
    assert listen(http, url) == [
        Event("error", 1, '{"detail":"no \\"good\\""}'),
        Event("done", 2, "{}"),
    ]


def test_a_cancel_ends_the_stream(http: httpx.Client) -> None:
    url = create(http)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(listen, http, url)
        http.post(url.replace("/stream", "/cancel"))
        assert asked.result(10) == [Event("done", 1, "{}")]


@pytest.mark.parametrize(
    ("piece", "read"),
    [
        ("two\nlines", "two\nlines"),
        ("\n", "\n"),
        ("", ""),
        ("a\r\nb\rc", "a\nb\nc"),
        ("event: done\n\ndata: {}", "event: done\n\ndata: {}"),
        (" leading", " leading"),
        ("\u2028\u00e4\U0001f600\x00", "\u2028\u00e4\U0001f600\x00"),
    ],
)
def test_no_piece_can_break_out_of_its_event(
    http: httpx.Client, worker: FakeWorker, piece: str, read: str
) -> None:
    url = create(http)
    claimed = worker.take()
    worker.say(claimed, piece)
    worker.succeed(claimed, piece)
    assert listen(http, url) == [Event("output", 1, read), Event("done", 2, "{}")]


@pytest.mark.parametrize("last", range(7))
def test_last_event_id_resumes_anywhere(http: httpx.Client, worker: FakeWorker, last: int) -> None:
    url = create(http)
    claimed = worker.take()
    for piece in "abcd":
        worker.say(claimed, piece)
    worker.succeed(claimed, "abcd")
    everything = listen(http, url)
    assert [event.id for event in everything] == [1, 2, 3, 4, 5]
    resumed = listen(http, url, str(last))
    # Who has seen all is told once more that it is over.
    assert [e.data for e in resumed] == [e.data for e in everything[min(last, 4) :]]
    assert resumed[-1].name == "done"


def test_whole_outputs_resume_too(http: httpx.Client, worker: FakeWorker) -> None:
    url = create(http)
    worker.serve_one(output="whole")
    assert [event.data for event in listen(http, url, "1")] == ["{}"]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1" * 10, "\xb2"])
def test_a_last_event_id_of_another_stream_is_refused(http: httpx.Client, last: str) -> None:
    answer = http.get(create(http), headers={"last-event-id": last.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_prediction_that_starts_again_repeats_nothing(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        first = worker.take()
        worker.say(first, "a", "b")
        got = read_until(texts, "data: b\n\n")
        attempts = [(first.id, first.attempt)]
        ledger.run(release(worker.terms("echo"), attempts, idle=True, suspect=False))
        second = worker.take()
        for piece in "abc":
            worker.say(second, piece)
        got += read_until(texts, "data: c\n\n")
        worker.succeed(second, "abc")
        got += read_until(texts, "{}\n\n")
    assert [(event.id, event.data) for event in parse(got)] == [
        *((1, "a"), (2, "b"), (3, "c"), (4, "{}")),
    ]


DIFFERS = Event("error", 3, f'{{"detail":"{sse.DIFFERS}"}}')


def test_an_output_that_is_not_what_was_streamed_ends_in_an_error_and_stays_right(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        claimed = worker.take()
        worker.say(claimed, "Hel")
        got = read_until(texts, "data: Hel\n\n")
        worker.say(claimed, "p")
        worker.succeed(claimed, "Hello", said=-1)
        got += read_until(texts, "{}\n\n")
    pieces = [Event("output", 1, "Hel"), Event("output", 2, "p")]
    assert parse(got) == [*pieces, DIFFERS, Event("done", 4, "{}")]
    assert http.get(url.removesuffix("/stream")).json()["output"] == "Hello"
    # Who comes back was sent what cannot be taken back.
    assert listen(http, url, "1") == [pieces[1], DIFFERS, Event("done", 4, "{}")]
    assert listen(http, url, "2") == [DIFFERS, Event("done", 4, "{}")]
    assert listen(http, url, "3") == [Event("done", 4, "{}")]


def test_who_comes_late_gets_the_output_and_not_what_it_differs_from(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http)
    claimed = worker.take()
    worker.say(claimed, "Help", logs="twice\n")
    worker.succeed(claimed, "Hello", said=-1)
    whole = Event("output", 3, "Hello")
    assert listen(http, url) == [Event("logs", 2, "twice\n"), whole, Event("done", 4, "{}")]
    assert listen(http, url, "3") == [Event("done", 4, "{}")]


@pytest.mark.parametrize(
    ("pieces", "output", "rest"),
    [
        (["Hel"], "Hello", "lo"),
        (["H\u00e4", "l"], "H\u00e4ll\u00f6", "l\u00f6"),
        (["Hel"], {"generated_text": "Hello"}, "lo"),
        (["Hel"], ["He", "ll", "o"], "lo"),
        ([], {"generated_text": "Hello"}, "Hello"),
        ([], [{"label": "ham"}], '[{"label": "ham"}]'),
        ([], "", ""),
    ],
)
def test_what_was_not_streamed_comes_with_the_outcome(
    http: httpx.Client, worker: FakeWorker, pieces: list[str], output: Any, rest: str
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        claimed = worker.take()
        worker.say(claimed, *pieces)
        got = read_until(texts, f"id: {len(pieces)}\n") if pieces else ""
        worker.succeed(claimed, output, said=99)
        got += read_until(texts, "{}\n\n")
    last = len(pieces) + 1
    sent = [Event("output", n, piece) for n, piece in enumerate(pieces, start=1)]
    expected = [*sent, Event("output", last, rest), Event("done", last + 1, "{}")]
    assert parse(got) == listen(http, url) == expected
    assert listen(http, url, str(last)) == expected[last:]


@pytest.mark.parametrize("output", ["Hello", {"generated_text": "Hello"}, ["Hel", "lo"], 5, {}])
def test_an_output_that_came_whole_in_pieces_has_nothing_to_add(
    http: httpx.Client, worker: FakeWorker, output: Any
) -> None:
    url = create(http)
    claimed = worker.take()
    worker.say(claimed, "Hell", "o")
    worker.succeed(claimed, output, said=5)
    assert [event.data for event in listen(http, url)] == ["Hell", "o", "{}"]


def test_pieces_of_an_output_without_a_text_are_complete_or_end_in_an_error(
    http: httpx.Client, worker: FakeWorker
) -> None:
    for said, last in ((5, "done"), (None, "done"), (9, "error"), (-1, "error")):
        url = create(http)
        with listening(http, url) as texts:
            claimed = worker.take()
            worker.say(claimed, "Hello")
            read_until(texts, "data: Hello\n\n")
            worker.succeed(claimed, {"words": 1, "greeting": "Hello"}, said=said)
            assert parse(read_until(texts, "{}\n\n"))[0].name == last


def test_who_listens_is_told_that_the_output_was_removed(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http)
    worker.serve_one(output="a text")
    assert http.delete(url.removesuffix("/stream")).status_code == 200
    (error, done) = listen(http, url)
    assert (error.name, error.data) == ("error", f'{{"detail":"{sse.REMOVED}"}}')
    assert done.name == "done"


def test_a_line_end_that_was_cut_in_two_is_one(http: httpx.Client, worker: FakeWorker) -> None:
    url = create(http)
    claimed = worker.take()
    for piece in ("a\r", "\nb\r", "", "\n", "\nc"):
        worker.say(claimed, piece)
    worker.succeed(claimed, "a\r\nb\r\n\nc", said=9)
    assert "".join(event.data for event in listen(http, url)[:-1]) == "a\nb\n\nc"
    assert "".join(event.data for event in listen(http, url, "1")[:-1]) == "b\n\nc"


def test_a_stream_of_very_many_pieces_comes_whole(http: httpx.Client, worker: FakeWorker) -> None:
    url = create(http)
    claimed = worker.take()
    pieces = [f"{n} " for n in range(2 * EVENTS_AT_ONCE)]
    worker.say(claimed, *pieces)
    worker.succeed(claimed, "".join(pieces))
    assert [event.data for event in listen(http, url)] == [*pieces, "{}"]
    assert [event.id for event in listen(http, url, "1500")] == list(range(1501, 2002))


def test_a_stream_costs_its_pieces_and_not_its_input(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    answer = http.post(CREATE, json={"input": {"text": "x" * 1_000_000}})
    claimed = worker.take()

    def sent_bytes() -> int:
        return int(ledger.redis.info("stats")["total_net_output_bytes"])

    before = sent_bytes()
    with listening(http, answer.json()["urls"]["stream"]) as texts:
        for n in range(50):
            worker.say(claimed, f"{n:03}")
            read_until(texts, f"data: {n:03}\n\n")
        worker.succeed(claimed, "".join(f"{n:03}" for n in range(50)), said=150)
        read_until(texts, "{}\n\n")
    assert sent_bytes() - before < 100_000


def test_silence_is_broken_by_comments(
    http: httpx.Client, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.stream.KEEP_ALIVE_SECONDS", 0.05)
    with listening(http, create(http)) as texts:
        assert read_until(texts, "\n\n").startswith(": keep-alive\n\n")
        worker.serve_one(output="late")
        assert parse(read_until(texts, "{}\n\n"))[0].data == "late"


def test_a_stream_survives_a_cut_subscription(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    with listening(http, create(http)) as texts:
        claimed = worker.take()
        worker.say(claimed, "a")
        read_until(texts, "data: a\n\n")
        ledger.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        worker.say(claimed, "b")
        worker.succeed(claimed, "ab")
        assert [e.data for e in parse(read_until(texts, "{}\n\n"))] == ["b", "{}"]


def test_a_listener_who_leaves_is_forgotten(http: httpx.Client, gateway: GatewayThread) -> None:
    answers = gateway.app.state.context.predictions._outcomes
    with listening(http, create(http)):
        until("it listens", lambda: answers.waiting == 1)
    until("it is forgotten", lambda: answers.waiting == 0)


def test_a_gateway_that_ends_ends_its_streams_without_done(
    http: httpx.Client, gateway: GatewayThread, worker: FakeWorker
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        claimed = worker.take()
        worker.say(claimed, "a")
        read_until(texts, "data: a\n\n")
        predictions = gateway.app.state.context.predictions

        async def drain() -> None:
            predictions.drain()

        gateway.run(drain())
        assert list(texts) == []
    worker.succeed(claimed, "a")
    assert listen(http, url, "1") == [Event("done", 2, "{}")]


def test_the_stream_of_nothing_is_not_found(http: httpx.Client) -> None:
    answer = http.get("/v1/predictions/nobody/stream")
    assert (answer.status_code, answer.json()["code"]) == (404, "prediction_not_found")
