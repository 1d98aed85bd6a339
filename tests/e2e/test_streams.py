"""A stream while its model runs again and again: split, killed, handed back; as each official client hears it."""

import json
import signal
import sys
import threading
from collections.abc import Callable

import pytest
import replicate
from stack import Stack

from contract.prediction import Status
from service.http.sse import DIFFERS
from tests.clients import official_clients
from tests.support.waiting import until

pytestmark = pytest.mark.slow

TEXT = "Every run of this text is cut in other places: übel, 🙂, and\nline ends."

Listen = Callable[[str, dict[str, object]], str]
"""Streams one prediction of `local/small`: (address of the gateway, input) -> its text."""


def python_1(url: str, input: dict[str, object]) -> str:
    client = replicate.Client("x", base_url=url)
    try:
        return "".join(map(str, client.stream("local/small", input=input)))
    finally:
        client._client.close()  # it has no way of its own


def python_2(url: str, input: dict[str, object]) -> str:
    own = {"REPLICATE_API_TOKEN": "x", "REPLICATE_BASE_URL": f"{url}/v1"}
    path = {"PYTHONPATH": str(official_clients.python_2()), "REPLICATE_POLL_INTERVAL": "0.1"}
    return official_clients.run_client(
        [sys.executable, str(official_clients.HERE / "stream_2.py"), json.dumps(input)],
        **own,
        **path,
    )


def javascript(url: str, input: dict[str, object]) -> str:
    node, folder = official_clients.javascript()
    return official_clients.run_client(
        [node, str(official_clients.HERE / "stream.mjs"), url, str(folder), json.dumps(input)]
    )


class Hearing(threading.Thread):
    """A client that listens in the background."""

    def __init__(self, listen: Listen, stack: Stack, **input: object) -> None:
        super().__init__()
        self._what = listen, str(stack.http.base_url).rstrip("/"), {"do": "stream", **input}
        self._heard: str | Exception = ""

    def run(self) -> None:
        listen, url, input = self._what
        try:
            self._heard = listen(url, input)
        except Exception as error:
            self._heard = error

    def heard(self) -> str:
        """The text, once the stream has ended."""
        self.join(official_clients.SECONDS)
        if isinstance(self._heard, Exception):
            raise self._heard
        return self._heard


def asked(stack: Stack) -> str:
    """The id of the prediction that the client makes."""
    return next(iter(until("the model runs", stack.runs, 60)))


@pytest.mark.parametrize("listen", [python_1, python_2, javascript])
def test_a_listener_gets_the_text_once_over_splits_kills_and_hand_backs(
    stack: Stack, listen: Listen
) -> None:
    gate = stack.gate()
    faults = {1: "no memory", 2: "kill", 3: "wait"}
    first = stack.worker("small").ready()
    hearing = Hearing(listen, stack, text=TEXT, faults=faults, gate=str(gate))
    hearing.start()
    id = asked(stack)
    assert first.code(30) == -signal.SIGKILL
    second = stack.worker("small", GRACE_SECONDS=0.5)
    until("the second worker has it", lambda: stack.runs()[id] == 3, 60)
    until("it has streamed", lambda: len(stack.streamed(id)) > len(TEXT) / 2, 20)
    assert second.end() == 0
    assert stack.record(id).status is Status.STARTING
    stack.worker("small")
    (record,) = stack.succeeded([id], 60)
    assert (record.attempt, stack.runs()[id]) == (3, 4)
    assert json.loads(record.output or "") == TEXT
    assert hearing.heard() == TEXT
    assert stack.streamed(id) == TEXT
    assert python_stream(stack, id) == TEXT  # and who comes late gets all


def python_stream(stack: Stack, id: str) -> str:
    client = replicate.Client("x", base_url=str(stack.http.base_url).rstrip("/"))
    try:
        return "".join(map(str, client.predictions.get(id).stream()))
    finally:
        client._client.close()


def test_a_second_run_that_says_something_else_ends_the_stream_with_an_error(
    stack: Stack,
) -> None:
    gate = stack.gate()
    stack.worker("small").ready()
    faults = {"1": "no memory later", "2": "other text"}
    id = stack.submit("stream", "small", text=TEXT, faults=faults, gate=str(gate))
    with stack.http.stream("GET", f"/v1/predictions/{id}/stream") as answer:
        lines = answer.iter_lines()
        assert "event: output" in lines
        gate.touch()
        rest = "\n".join(lines)
    assert rest.count("event: error") == rest.count("event: done") == rest.count(DIFFERS) == 1
    (record,) = stack.succeeded([id])
    output = json.loads(record.output or "")
    assert output == TEXT.swapcase()
    assert stack.streamed(id) == TEXT[: len(TEXT) // 4]
    assert python_stream(stack, id) == output


def test_a_split_in_the_middle_of_two_streams_repeats_neither(stack: Stack) -> None:
    ids = [stack.submit("stream", "small", text=TEXT, faults={}) for _ in range(2)]
    ids.append(stack.submit("stream", "small", text=TEXT[::-1], faults={"1": "no memory"}))
    worker = stack.worker("small").ready()
    stack.succeeded(ids)
    assert stack.runs() == dict.fromkeys(ids, 2)
    assert {pid for _, pid, _ in stack.run_lines()} == {worker.pid}
    assert [stack.streamed(id) for id in ids] == [TEXT, TEXT, TEXT[::-1]]
