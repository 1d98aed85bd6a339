"""`soloist predict`: what goes out to the gateway, and what comes back as lines."""

import threading
from pathlib import Path

import pytest
from fake_gateway import FakeGateway, Request, echo, prediction, problem

from cli import predict


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(predict, "POLL_SECONDS", (0.0, 0.0))


def test_a_single_text_prints_its_output_alone(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(output=[0.5, "ü"])
    result = soloist("predict", "local/minilm", "hello")
    assert (result.code, result.out, result.err) == (0, '[0.5, "ü"]\n', "")
    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/models/local/minilm/predictions")
    assert request.body == {"input": {"text": "hello"}}
    assert request.headers["prefer"] == "wait=30"


def test_integers_of_any_size_pass_as_they_are(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(output=request.body["input"]["n"])
    number = "1000000000000000000000000000001"
    assert soloist("predict", "minilm", f'{{"n": {number}}}').out == f"{number}\n"


def test_a_model_without_owner_is_a_local_one(gateway: FakeGateway, soloist) -> None:
    gateway.respond = echo
    assert soloist("predict", "minilm", "hello").code == 0
    assert gateway.requests[0].path == "/v1/models/local/minilm/predictions"


def test_priority_and_deadline_become_headers(gateway: FakeGateway, soloist) -> None:
    gateway.respond = echo
    soloist("predict", "minilm", "x", "--priority", "high", "--deadline", "1m")
    assert gateway.requests[0].headers["x-priority"] == "high"
    assert gateway.requests[0].headers["cancel-after"] == "1m"


def test_piped_lines_come_back_as_lines_in_order(gateway: FakeGateway, soloist) -> None:
    first_may_end = threading.Event()

    def respond(request):
        if request.body["input"] == {"text": "first"}:
            assert first_may_end.wait(10)
        else:
            first_may_end.set()
        return echo(request)

    gateway.respond = respond
    piped = 'first\n\n{"inputs": [1, 2]}\n"with\\nbreak"\n'
    result = soloist("predict", "minilm", piped=piped)
    assert result.code == 0
    assert [line["index"] for line in result.lines] == [0, 1, 2]
    assert {line["status"] for line in result.lines} == {"succeeded"}
    assert [line["output"] for line in result.lines] == [
        {"text": "first"},
        {"inputs": [1, 2]},
        {"text": "with\nbreak"},
    ]


@pytest.mark.parametrize("source", ["items.jsonl", "-"])
def test_a_file_is_read_line_by_line(gateway: FakeGateway, soloist, source: str) -> None:
    gateway.respond = echo
    text = '\ufeff{"text": "ä"}\r\nplain\n'
    Path("items.jsonl").write_text(text, encoding="utf-8", newline="")
    result = soloist("predict", "minilm", "--file", source, piped=text.removeprefix("\ufeff"))
    assert [line["output"]["text"] for line in result.lines] == ["ä", "plain"]


def test_each_line_has_a_key_of_its_own_that_a_second_try_repeats(
    gateway: FakeGateway, soloist
) -> None:
    broken: set[str] = set()

    def respond(request):
        key = request.headers["idempotency-key"]
        if len(gateway.requests) > 1 and key not in broken:
            broken.add(key)
            return None  # the connection breaks before the answer
        return echo(request)

    gateway.respond = respond
    result = soloist("predict", "minilm", "--concurrency", "1", piped="a\nb\nc\n")
    assert result.code == 0
    keys = [request.headers["idempotency-key"] for request in gateway.requests]
    assert len(set(keys)) == 3
    assert len(keys) == 5


@pytest.mark.parametrize("recorded", [True, False])
def test_what_the_gateway_did_not_know_is_asked_for_and_sent_again_only_if_it_is_not_there(
    gateway: FakeGateway, soloist, recorded: bool
) -> None:
    status, body, _ = problem(504, "nobody knows", "outcome_unknown")
    unknown = (status, {**body, "prediction": "p1"}, {"Retry-After": "0"})
    posts = iter([unknown, prediction(output=1)])

    def respond(request: Request):
        if request.method == "POST":
            return next(posts)
        assert request.path == "/v1/predictions/p1"
        return prediction(output=1) if recorded else problem(404, "there is none")

    gateway.respond = respond
    assert soloist("predict", "local/minilm", "a").out == "1\n"
    methods = [request.method for request in gateway.requests]
    assert methods == (["POST", "GET"] if recorded else ["POST", "GET", "POST"])
    keys = {r.headers["idempotency-key"] for r in gateway.requests if r.method == "POST"}
    assert len(keys) == 1


def test_a_full_queue_is_waited_for(gateway: FakeGateway, soloist) -> None:
    def respond(request):
        if len(gateway.requests) < 4:
            return problem(429, "the queue is full", "queue_full", Retry_After="0")
        return echo(request)

    gateway.respond = respond
    result = soloist("predict", "minilm", "x", "--json")
    assert result.code == 0
    assert len(gateway.requests) == 4
    assert len({request.headers["idempotency-key"] for request in gateway.requests}) == 1


def test_what_is_not_over_after_the_wait_is_asked_for(gateway: FakeGateway, soloist) -> None:
    states = iter([prediction("starting"), prediction("processing"), prediction(output=7)])
    gateway.respond = lambda request: next(states)
    assert soloist("predict", "minilm", "x").out == "7\n"
    asked = [(request.method, request.path) for request in gateway.requests]
    assert asked[1:] == [("GET", "/v1/predictions/p1")] * 2


def test_a_bad_line_fails_alone_and_the_exit_code_says_so(gateway: FakeGateway, soloist) -> None:
    def respond(request):
        if request.body["input"] == {"text": "bad"}:
            return problem(422, "text is too long", "invalid_input")
        if request.body["input"] == {"text": "poison"}:
            return prediction("failed", error="all workers were lost", error_code="worker_lost")
        return echo(request)

    gateway.respond = respond
    result = soloist("predict", "minilm", piped="good\nbad\npoison\n")
    assert result.code == 1
    good, bad, poison = result.lines
    assert good["output"] == {"text": "good"}
    assert bad == {
        "index": 1,
        "id": None,
        "status": "failed",
        "error": "text is too long",
        "error_code": "invalid_input",
    }
    assert poison["error"] == "all workers were lost"
    assert poison["error_code"] == "worker_lost"
    assert result.err == "2 of 3 predictions did not succeed\n"


def test_a_single_text_that_fails_says_why_on_stderr(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction("canceled", error="the deadline passed")
    result = soloist("predict", "minilm", "x")
    assert (result.code, result.out) == (1, "")
    assert result.err == "soloist: canceled: the deadline passed\n"


def test_an_unknown_model_ends_the_command_at_once(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: problem(404, "no model\n'x'", "model_not_found")
    result = soloist("predict", "x", "--concurrency", "2", piped="a\nb\nc\nd\n")
    assert (result.code, result.out, result.err) == (1, "", "soloist: no model 'x'\n")
    assert len(gateway.requests) <= 2


def test_a_gateway_that_stays_broken_ends_the_command(
    gateway: FakeGateway, soloist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "RETRY_SECONDS", -1.0)
    gateway.respond = lambda request: problem(503, "the ledger is away", Retry_After="0")
    result = soloist("predict", "minilm", "x")
    assert result.code == 1
    assert "the ledger is away" in result.err
