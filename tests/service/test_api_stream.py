"""Server-sent events on the wire: names, ids, data lines, resuming, keep-alive, the end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from gateway_thread import GatewayThread
from pretend_worker import PretendWorker, until

from contract.ledger import Ledger
from contract.transitions import release

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
    http: httpx.Client, worker: PretendWorker
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
    http: httpx.Client, worker: PretendWorker
) -> None:
    url = create(http)
    worker.serve_one(output="a text")
    assert listen(http, url) == [Event("output", 1, "a text"), Event("done", 2, "{}")]
    url = create(http)
    worker.serve_one(output=[{"label": "ham", "score": 0.5}])
    assert listen(http, url)[0].data == '[{"label": "ham", "score": 0.5}]'


@pytest.mark.parametrize("last", [None, "1"])
def test_an_output_comes_whole_also_after_lines_of_log(
    http: httpx.Client, worker: PretendWorker, last: str | None
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


def test_a_failure_is_an_error_event_and_then_done(
    http: httpx.Client, worker: PretendWorker
) -> None:
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
    http: httpx.Client, worker: PretendWorker, piece: str, read: str
) -> None:
    url = create(http)
    claimed = worker.take()
    worker.say(claimed, piece)
    worker.succeed(claimed, piece)
    assert listen(http, url) == [Event("output", 1, read), Event("done", 2, "{}")]


@pytest.mark.parametrize("last", range(7))
def test_last_event_id_resumes_anywhere(
    http: httpx.Client, worker: PretendWorker, last: int
) -> None:
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


def test_whole_outputs_resume_too(http: httpx.Client, worker: PretendWorker) -> None:
    url = create(http)
    worker.serve_one(output="whole")
    assert [event.data for event in listen(http, url, "1")] == ["{}"]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1" * 10, "\xb2"])
def test_a_last_event_id_of_another_stream_is_refused(http: httpx.Client, last: str) -> None:
    answer = http.get(create(http), headers={"last-event-id": last.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_prediction_that_starts_again_repeats_nothing(
    http: httpx.Client, worker: PretendWorker, ledger: Ledger
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        first = worker.take()
        worker.say(first, "a", "b")
        got = read_until(texts, "data: b\n\n")
        attempts = [(first.id, first.attempt)]
        ledger.run(release(worker.holder("echo"), attempts, idle=True, suspect=False))
        second = worker.take()
        for piece in "abc":
            worker.say(second, piece)
        got += read_until(texts, "data: c\n\n")
        worker.succeed(second, "abc")
        got += read_until(texts, "{}\n\n")
    assert [(event.id, event.data) for event in parse(got)] == [
        *((1, "a"), (2, "b"), (3, "c"), (4, "{}")),
    ]


def test_silence_is_broken_by_comments(
    http: httpx.Client, worker: PretendWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stream.KEEP_ALIVE_SECONDS", 0.05)
    with listening(http, create(http)) as texts:
        assert read_until(texts, "\n\n").startswith(": keep-alive\n\n")
        worker.serve_one(output="late")
        assert parse(read_until(texts, "{}\n\n"))[0].data == "late"


def test_a_stream_survives_a_cut_subscription(
    http: httpx.Client, worker: PretendWorker, ledger: Ledger
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
    answers = gateway.app.state.context.intake._answers
    with listening(http, create(http)):
        until("it listens", lambda: answers.waiting == 1)
    until("it is forgotten", lambda: answers.waiting == 0)


def test_a_gateway_that_ends_ends_its_streams_without_done(
    http: httpx.Client, gateway: GatewayThread, worker: PretendWorker
) -> None:
    url = create(http)
    with listening(http, url) as texts:
        claimed = worker.take()
        worker.say(claimed, "a")
        read_until(texts, "data: a\n\n")
        intake = gateway.app.state.context.intake

        async def drain() -> None:
            intake.drain()

        gateway.run(drain())
        assert list(texts) == []
    worker.succeed(claimed, "a")
    assert listen(http, url, "1") == [Event("done", 2, "{}")]


def test_the_stream_of_nothing_is_not_found(http: httpx.Client) -> None:
    answer = http.get("/v1/predictions/nobody/stream")
    assert (answer.status_code, answer.json()["code"]) == (404, "prediction_not_found")
