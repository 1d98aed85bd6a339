"""What goes wrong inside a batch: one bad item, no memory, a lost device, a hang."""

import time

import pytest
from stack import BATCH, LIMIT_SECONDS, Stack

from contract.prediction import Status
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def batch_with(stack: Stack, do: str, model: str = "echo", **more: object) -> tuple[str, list[str]]:
    """One prediction that does `do` among innocents, waiting as one full batch."""
    innocents = [stack.submit(model=model, text=str(n)) for n in range(BATCH // 2)]
    bad = stack.submit(do, model, **more)
    innocents += [stack.submit(model=model, text=str(n)) for n in range(BATCH - 1 - BATCH // 2)]
    return bad, innocents


@pytest.mark.parametrize(
    ("do", "code", "sentence"),
    [
        ("raise", "model_error", "ValueError: this text is no good"),
        ("refuse", "model_error", "ValueError: this text is no good"),
        ("memory", "out_of_memory", ""),
        ("exit", "model_error", "SystemExit"),
        ("nan", "output_invalid", "NaN"),
        ("too_large", "out_of_memory", ""),
    ],
)
def test_one_bad_item_of_a_batch_fails_alone(
    stack: Stack, do: str, code: str, sentence: str
) -> None:
    bad, innocents = batch_with(stack, do)
    worker = stack.worker().ready()
    stack.succeeded(innocents)
    (record,) = stack.finished([bad])
    assert (record.status, record.error_code, record.attempt) == (Status.FAILED, code, 1)
    assert sentence in (record.error or "")
    assert (bad, worker.pid, BATCH) in stack.run_lines()
    assert {p.attempt for p in stack.records(innocents)} == {1}
    assert stack.dead() == []
    stack.succeeded([stack.submit()])
    assert worker.alive


def test_an_output_that_is_too_large_fails_alone_and_names_the_setting(stack: Stack) -> None:
    bad, innocents = batch_with(stack, "fill", "terse", bytes=999)
    worker = stack.worker("terse").ready()
    stack.succeeded(innocents)
    (record,) = stack.finished([bad])
    assert (record.error_code, record.output, record.attempt) == ("output_too_large", None, 1)
    assert (
        record.error == "the output has 1,001 bytes as JSON; the model's max_output_bytes is 1,000"
    )
    stack.succeeded([stack.submit("fill", "terse", bytes=998)])
    assert worker.alive


def test_an_output_with_nan_never_reaches_a_client(stack: Stack) -> None:
    stack.worker().ready()
    answer = stack.post("nan", headers={"prefer": "wait=10"}).json()
    assert (answer["status"], answer["output"]) == ("failed", None)
    assert answer["error_code"] == "output_invalid"


def test_a_batch_that_does_not_fit_in_memory_is_split_and_the_worker_stays(stack: Stack) -> None:
    ids = [stack.submit(model="small", text=str(n)) for n in range(BATCH)]
    worker = stack.worker("small").ready()
    records = stack.succeeded(ids)
    assert {p.attempt for p in records} == {1}
    sizes = [size for _, pid, size in stack.run_lines() if pid == worker.pid]
    assert sorted(set(sizes)) == [4, 8, 16]
    outputs = [record.output or "" for record in records]
    assert all(f'"echo":"{n}"' in output for n, output in enumerate(outputs))
    assert worker.alive


@pytest.mark.brokers("shared", "rabbitmq")
def test_a_lost_device_hands_its_batch_back_and_ends_its_worker(stack: Stack) -> None:
    bad, innocents = batch_with(stack, "lose_device")
    # Long leases: only handing back at once lets another worker have them this soon.
    first = stack.worker(LEASE_SECONDS=60)
    assert first.code() == 70
    assert {p.attempt for p in stack.records(innocents)} == {1}
    assert {p.status for p in stack.records([bad, *innocents])} == {Status.STARTING}

    for _ in range(2):  # the same prediction loses the next devices too, but alone
        again = stack.worker(LEASE_SECONDS=60)
        until("the innocents are over or it ended", lambda w=again: not w.alive, 20)
        assert again.code() == 70
    stack.worker(LEASE_SECONDS=60)
    records = stack.succeeded(innocents)
    assert max(p.attempt for p in records) == 2
    (record,) = stack.finished([bad])
    assert (record.error_code, record.attempt) == ("worker_lost", 3)
    assert stack.dead() == [bad]


# With leases longer than the limit, as they are by default with limits below 15 s.


@pytest.mark.parametrize("do", ["sleep", "hold"])
def test_a_hang_ends_as_timeout_and_another_worker_serves_on(stack: Stack, do: str) -> None:
    worker = stack.worker("brief", LEASE_SECONDS=15).ready()
    hanging = stack.submit(do, "brief", seconds=60)
    stack.running(hanging)
    (record,) = stack.finished([hanging], LIMIT_SECONDS + 5)
    assert (record.status, record.error_code, record.attempt) == (Status.FAILED, "timeout", 1)
    assert worker.code(5) not in (0, 78)
    next_one = stack.submit(model="brief")
    stack.worker("brief", LEASE_SECONDS=15)
    stack.succeeded([next_one])
    assert stack.record(hanging) == record


@pytest.mark.parametrize("do", ["sleep", "hold"])
def test_the_innocents_in_a_batch_that_hangs_succeed(stack: Stack, do: str) -> None:
    bad, innocents = batch_with(stack, do, "brief", seconds=60)
    worker = stack.worker("brief", LEASE_SECONDS=15)
    deadline = time.monotonic() + 40

    def over() -> bool:
        nonlocal worker
        if not worker.alive:
            assert worker.code() not in (0, 78)
            worker = stack.worker("brief", LEASE_SECONDS=15)
        return all(p.status.terminal for p in stack.records([bad, *innocents]))

    until("all are over", over, deadline - time.monotonic())
    (record,) = stack.records([bad])
    assert (record.status, record.error_code) == (Status.FAILED, "timeout")
    assert {(p.status, p.error_code) for p in stack.records(innocents)} == {
        (Status.SUCCEEDED, None)
    }


@pytest.mark.parametrize("do", ["sleep", "hold"])
def test_the_mate_of_a_hang_that_its_client_canceled_runs_again_and_succeeds(
    stack: Stack, do: str
) -> None:
    hangs = stack.submit(do, "brief", seconds=60)
    mate = stack.submit(model="brief", text="innocent")
    first = stack.worker("brief", LEASE_SECONDS=15)
    stack.running([hangs, mate])
    assert stack.http.post(f"/v1/predictions/{hangs}/cancel").json()["status"] == "canceled"
    assert first.code() not in (0, 78)
    stack.worker("brief", LEASE_SECONDS=15)
    (record,) = stack.succeeded([mate])
    assert record.attempt == 2
    assert stack.record(hangs).status is Status.CANCELED


@pytest.mark.parametrize("do", ["sleep", "hold"])
def test_a_hang_with_a_limit_longer_than_the_lease_ends_and_so_does_its_worker(
    stack: Stack, do: str
) -> None:
    hanging = stack.submit(do, "brief", seconds=60)
    short = {"LEASE_SECONDS": 1, "RENEW_SECONDS": 0.3}
    workers = [stack.worker("brief", **short)]

    def over() -> bool:
        if not workers[-1].alive:
            workers.append(stack.worker("brief", **short))
        return stack.record(hanging).status.terminal

    until("it is over", over, 40)
    record = stack.record(hanging)
    # Without the interpreter's lock no lease can be renewed: such a worker counts as lost.
    expected = {"sleep": ("timeout", 1), "hold": ("worker_lost", 3)}
    assert (record.error_code, record.attempt) == expected[do]
    assert workers[0].code(10) not in (0, 78)
    innocent = stack.submit(model="brief")
    stack.worker("brief", **short)
    stack.succeeded([innocent])
