"""The promises to clients: one prediction a key, cancel and deadline at any stage, streams that resume."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from stack import Stack

from contract.prediction import Status
from tests.support.waiting import until

pytestmark = pytest.mark.slow
BOTH = pytest.mark.brokers("shared", "rabbitmq")


@BOTH
def test_without_a_worker_predictions_wait_and_start_when_one_comes(stack: Stack) -> None:
    ids = [stack.submit(text=str(n)) for n in range(5)]
    positions = [stack.get(id).json()["queue_position"] for id in ids]
    assert positions == [1, 2, 3, 4, 5]
    stack.worker()
    stack.succeeded(ids)


def test_50_concurrent_puts_of_one_id_are_one_prediction_and_one_run(stack: Stack) -> None:
    stack.worker().ready()
    body = {"version": "local/echo", "input": {"text": "same"}}

    def put(_: int) -> httpx.Response:
        return stack.http.put("/v1/predictions/mine", json=body)

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(put, range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert {answer.json()["id"] for answer in answers} == {"mine"}
    stack.succeeded(["mine"])
    assert put(0).json()["status"] == "succeeded"
    other = stack.http.put(
        "/v1/predictions/mine", json={"version": "local/echo", "input": {"text": "other"}}
    )
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert stack.runs() == {"mine": 1}
    assert len(stack.http.get("/v1/predictions").json()["results"]) == 1


def test_one_idempotency_key_is_one_prediction(stack: Stack) -> None:
    stack.worker().ready()
    key = {"idempotency-key": "order-7"}
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: stack.post(text="a", headers=key), range(20)))
    (id,) = {answer.json()["id"] for answer in answers}
    stack.succeeded([id])
    assert stack.runs() == {id: 1}
    conflict = stack.post(text="b", headers=key)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")


def test_a_gateway_killed_at_any_moment_leaves_no_orphan_and_no_double(stack: Stack) -> None:
    """A proxy would show each moment; many kills under load meet them all."""
    stack.worker().ready()
    answered: dict[str, str] = {}
    for round_ in range(3):
        keys = [f"round-{round_}-{n}" for n in range(40)]

        def ask(key: str) -> None:
            with httpx.Client(base_url=stack.http.base_url, trust_env=False) as http:
                for _ in range(100):
                    try:
                        answer = http.post(
                            "/v1/models/local/echo/predictions",
                            json={"input": {"do": "echo", "text": key}},
                            headers={"idempotency-key": key},
                        )
                    except httpx.TransportError:
                        time.sleep(0.1)
                        continue
                    if answer.is_success:
                        id = answer.json()["id"]
                        assert answered.setdefault(key, id) == id
                        return
                    time.sleep(0.1)

        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(ask, key) for key in keys]
            until("half are asked", lambda k=keys: sum(x in answered for x in k) > 15, 20)
            stack.gateway.kill()
            stack.heal()
            for one in asked:
                one.result()
        for key in keys:  # asked again, by whoever missed the answer
            assert (
                stack.post(text=key, headers={"idempotency-key": key}).json()["id"]
                == (answered[key])
            )
    records = stack.succeeded(answered.values(), 30)
    assert len(answered) == 120
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys(answered.values(), 1)


@BOTH
def test_what_a_killed_gateway_recorded_without_a_wakeup_is_run(stack: Stack) -> None:
    id = stack.submit(text="recorded")
    stack.gateway.kill()
    until("its message is gone", lambda: not stack.drop_message("echo"), 5)
    stack.heal()
    stack.worker()
    stack.succeeded([id], 30)
    assert stack.runs() == {id: 1}


def cancel(stack: Stack, id: str) -> dict[str, Any]:
    answer = stack.http.post(f"/v1/predictions/{id}/cancel")
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_queued_prediction_that_is_canceled_never_runs(stack: Stack) -> None:
    ids = [stack.submit(text=str(n)) for n in range(3)]
    assert cancel(stack, ids[1])["status"] == "canceled"
    stack.worker()
    stack.succeeded([ids[0], ids[2]])
    assert set(stack.runs()) == {ids[0], ids[2]}
    assert stack.get(ids[1]).json()["status"] == "canceled"


def test_a_running_prediction_that_cooperates_stops_soon_after_its_cancel(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    id = stack.submit("wait", gate=str(gate))
    stack.running(id)
    assert cancel(stack, id)["status"] == "canceled"
    until("the worker is free", lambda: worker.state() == "idle", 5)
    stack.succeeded([stack.submit()])
    record = stack.record(id)
    assert (record.status, record.output) == (Status.CANCELED, None)
    assert stack.runs()[id] == 1


def test_a_cancel_stands_against_a_running_prediction_that_does_not_cooperate(
    stack: Stack,
) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(2)]
    stack.running(ids)
    assert cancel(stack, ids[0])["status"] == "canceled"
    gate.touch()
    stack.finished(ids)
    until("the worker is free", lambda: worker.state() == "idle", 10)
    first, second = stack.records(ids)
    assert (first.status, first.output) == (Status.CANCELED, None)
    assert second.status is Status.SUCCEEDED


def test_a_cancel_of_what_is_over_changes_nothing(stack: Stack) -> None:
    stack.worker().ready()
    for id in (stack.submit(), stack.submit("refuse")):
        (before,) = stack.finished([id])
        assert cancel(stack, id)["status"] == before.status
        assert cancel(stack, id)["status"] == before.status
        assert stack.record(id) == before


def test_a_queued_prediction_past_its_deadline_ends_without_a_worker(stack: Stack) -> None:
    id = stack.submit(headers={"cancel-after": "1s"})
    (record,) = stack.finished([id], 5)
    assert (record.status, record.error_code) == (Status.CANCELED, "deadline_exceeded")
    stack.worker().ready()
    stack.succeeded([stack.submit()])
    assert id not in stack.runs()


def test_a_running_prediction_past_its_deadline_is_stopped(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    id = stack.submit("wait", gate=str(gate), headers={"cancel-after": "1s"})
    stack.running(id)
    (record,) = stack.finished([id], 5)
    assert (record.status, record.error_code) == (Status.CANCELED, "deadline_exceeded")
    until("the worker is free", lambda: worker.state() == "idle", 5)
    assert stack.record(id) == record


def test_a_deadline_that_is_kept_changes_nothing(stack: Stack) -> None:
    stack.worker().ready()
    id = stack.submit(headers={"cancel-after": "1s"})
    stack.succeeded([id])
    late = stack.submit("sleep", seconds=1.5)
    stack.succeeded([late])
    assert stack.record(id).status is Status.SUCCEEDED


def events(stack: Stack, id: str, last: str | None = None) -> Iterator[tuple[str, str, str]]:
    """(name, id, data) of each event of a stream."""
    headers = {"last-event-id": last} if last else {}
    with stack.http.stream("GET", f"/v1/predictions/{id}/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield fields["event"], fields["id"], fields["data"]
                fields = {}


@BOTH
def test_a_stream_brings_the_pieces_in_order_resumes_and_ends_with_done(stack: Stack) -> None:
    gate = stack.gate()
    stack.worker().ready()
    pieces = [f"piece{n}" for n in range(6)]
    id = stack.submit("stream", pieces=pieces, hold_at=3, gate=str(gate))
    first = []
    stream = events(stack, id)
    for event in stream:
        first.append(event)
        if event[0] == "output" and event[2] == "piece2":
            break
    stream.close()
    gate.touch()
    rest = list(events(stack, id, last=first[-1][1]))
    everything = [*first, *rest]
    assert [data for name, _, data in everything if name == "output"] == pieces
    assert [int(number) for _, number, _ in everything] == list(range(1, len(everything) + 1))
    assert everything[-1][0] == "done"
    assert json.loads(everything[-1][2]) == {}
    assert list(events(stack, id)) == everything  # and once more from the start
    body = stack.get(id).json()
    assert (body["output"], body["progress"]) == ("".join(pieces), 1.0)
    assert body["logs"].splitlines() == [f"piece {n}" for n in range(6)]


def test_a_stream_goes_on_when_another_worker_starts_again(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    pieces = [f"piece{n}" for n in range(4)]
    id = stack.submit("stream", pieces=pieces, hold_at=2, gate=str(gate))
    heard = []
    for event in events(stack, id):
        heard.append(event)
        if event[2] == "piece1":
            worker.kill()
            gate.touch()
            stack.worker()
    assert [data for name, _, data in heard if name == "output"] == pieces
    assert heard[-1][0] == "done"


def test_a_failed_prediction_streams_its_error_before_done(stack: Stack) -> None:
    stack.worker().ready()
    id = stack.submit("refuse")
    names = [name for name, _, _ in events(stack, id)]
    assert names == ["error", "done"]
    assert stack.record(id).status is Status.FAILED


@BOTH
def test_a_waiting_request_gets_its_output(stack: Stack) -> None:
    stack.worker().ready()
    answer = stack.post(text="now", headers={"prefer": "wait=10"})
    body = answer.json()
    assert (answer.status_code, body["status"], body["output"]["echo"]) == (201, "succeeded", "now")
