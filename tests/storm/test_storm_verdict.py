"""Each broken promise is found by its name, in a story in which nothing else is wrong."""

import json
from collections.abc import Callable

import pytest

from contract.prediction import Prediction, Status
from tests.storm.evidence import Evidence, Run
from tests.storm.faults import Fault, FaultEvent
from tests.storm.history import History, Intent, Observation, Request, StreamReading
from tests.storm.logged_model import output_of
from tests.storm.managed import ProcessExit
from tests.storm.verdict import judge


def story(n: int = 1, **input: object) -> Evidence:
    """One intent that was accepted as `a`, ran once and succeeded; nothing is wrong with it."""
    input = {"n": n, "do": "echo", **input}
    history = History(intents={n: Intent(n, "wide", input)})
    create = Request("create", "gateway-1", 10.0, n, "a", answered=10.1, status=201)
    last_read = Request("final", "gateway-1", 20.0, id="a", answered=20.1, status=200)
    history.requests = [create, last_read]
    history.observations = [
        Observation("a", 20.0, 20.1, "succeeded", output_of(input), None, 1, "t1", "final")
    ]
    record = Prediction(
        "a",
        "wide",
        input=json.dumps(input),
        output=json.dumps(output_of(input)),
        status=Status.SUCCEEDED,
        attempt=1,
    )
    run = Run("a", n, pid=5, batch="b", begun=10.2, again=False, ended=10.3)
    return Evidence(
        history,
        {"a": record},
        [run],
        fault_events=[],
        exits=[],
        killed={},
        healed=15.0,
        max_attempts=3,
        patience_seconds=30.0,
    )


def vanish(e: Evidence) -> None:
    del e.records["a"]


def hang(e: Evidence) -> None:
    e.records["a"].status = Status.PROCESSING


def miss(e: Evidence) -> None:
    e.history.requests.append(Request("get", "g", 12.0, id="a", answered=12.1, status=404))


def change(e: Evidence) -> None:
    e.history.observations.append(
        Observation("a", 12, 12.1, "canceled", None, None, 1, "t0", "get")
    )


def revive(e: Evidence) -> None:
    e.history.observations.append(
        Observation("a", 21.0, 21.1, "processing", None, None, 2, None, "get")
    )


def falsify(e: Evidence) -> None:
    e.records["a"].output = '{"n":2}'


def show_another(e: Evidence) -> None:
    e.history.observations[0].output = {"n": 2}


def blame(e: Evidence) -> None:
    record = e.records["a"]
    record.status, record.output, record.error_code = Status.FAILED, None, "timeout"
    e.history.observations.clear()


def repeat_stream(e: Evidence) -> None:
    input = {"n": 1, "do": "stream"}
    text = output_of(input)
    e.history.intents[1].input = input
    e.records["a"].input, e.records["a"].output = json.dumps(input), json.dumps(text)
    e.history.observations.clear()
    e.history.stream_readings.append(StreamReading("a", 1, text[:9] + text, done=True))


def never_end_a_stream(e: Evidence) -> None:
    e.history.stream_readings.append(StreamReading("a", 1))


def twin(e: Evidence) -> None:
    e.records["b"] = Prediction("b", "wide", input=e.records["a"].input, status=Status.CANCELED)
    e.history.intents[1].canceled = True


def start_often(e: Evidence) -> None:
    e.runs += [Run("a", 1, pid, "b", 11.0, again=False, ended=11.1) for pid in (6, 7, 8)]


def refuse(e: Evidence) -> None:
    e.history.requests[0].status = 503
    e.history.requests[0].id = None


def unsure(e: Evidence) -> None:
    e.history.requests[0].status = 504
    e.history.requests.append(Request("final", "g", 20.0, id="a", answered=20.1, status=404))


def fail(e: Evidence) -> None:
    e.history.requests.append(
        Request("list", "g", 12.0, answered=12.1, status=500, code="internal_error")
    )


def be_bare(e: Evidence) -> None:
    e.history.requests.append(
        Request("list", "g", 12.0, answered=12.1, status=503, trouble="no problem document: ''")
    )


def dawdle(e: Evidence) -> None:
    e.history.requests[0].answered = 13.6


def sleep_on(e: Evidence) -> None:
    e.idle_waits["wide"] = 31.0


def stay_away(e: Evidence) -> None:
    e.unready.append("keeper")


def be_ready_and_refuse(e: Evidence) -> None:
    e.canaries.append(Request("create", "g", 16.0, 1, "a", answered=16.1, status=503))


def end_badly(e: Evidence) -> None:
    e.exits.append(ProcessExit("worker-1", 1, 12.0, "terminate"))


def end_by_itself(e: Evidence) -> None:
    e.exits.append(ProcessExit("gateway-1", 0, 12.0, ""))


def come_back_late(e: Evidence) -> None:
    e.runs[0].ended = None
    e.killed[5] = 10.5
    e.runs.append(Run("a", 1, 6, "c", 60.0, again=False, ended=60.1))
    e.fault_events.append(FaultEvent(Fault(1, 5, "cut", "keeper-ledger"), 12.0, 17.0))


def leak(e: Evidence) -> None:
    e.sizes = ({"keeper": (10, 3)}, {"keeper": (40, 3)})


def leave(e: Evidence) -> None:
    e.residue["running wide"] = 1


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (vanish, "lost"),
        (hang, "lost"),
        (miss, "lost"),
        (change, "doubled"),
        (revive, "doubled"),
        (falsify, "wrong_output"),
        (show_another, "wrong_output"),
        (blame, "wrong_output"),
        (repeat_stream, "wrong_stream"),
        (never_end_a_stream, "wrong_stream"),
        (twin, "duplicated"),
        (start_often, "attempts_exceeded"),
        (refuse, "refused_ran"),
        (unsure, "unknown_unresolved"),
        (fail, "server_error"),
        (be_bare, "server_error"),
        (dawdle, "late_answer"),
        (sleep_on, "lost_wake_up"),
        (stay_away, "not_ready"),
        (be_ready_and_refuse, "not_ready"),
        (end_badly, "bad_exit"),
        (end_by_itself, "bad_exit"),
        (come_back_late, "dead_worker_slow"),
        (leak, "grown"),
        (leave, "residue"),
    ],
)
def test_each_broken_promise_is_found_by_its_name(
    spoil: Callable[[Evidence], None], name: str
) -> None:
    evidence = story()
    assert judge(evidence) == []
    spoil(evidence)
    assert {violation.name for violation in judge(evidence)} == {name}


def test_what_was_hurt_is_excused_and_a_split_is_no_other_start() -> None:
    evidence = story()
    evidence.history.requests[0].answered = 18.0
    evidence.fault_events.append(FaultEvent(Fault(1, 5, "stop", "gateway-1"), 12.0, 17.0))
    evidence.runs += [Run("a", 1, 5, b, 11.0, again=True, ended=11.1) for b in "cde"]
    assert judge(evidence) == []
