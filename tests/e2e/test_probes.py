"""What watches a worker gets its answers while a batch computes."""

import statistics
import time

import httpx
import pytest
from stack import Stack

from tests.support.waiting import until

pytestmark = pytest.mark.slow

BATCH_SECONDS = 20.0
PATHS = ("/livez", "/readyz", "/metrics")


def test_probes_answer_while_a_batch_computes_for_20_seconds(stack: Stack) -> None:
    worker = stack.worker().ready()
    assert worker.state() == "idle"
    id = stack.submit("compute", seconds=BATCH_SECONDS)
    stack.running(id)
    seconds: dict[str, list[float]] = {path: [] for path in PATHS}
    with httpx.Client(base_url=f"http://127.0.0.1:{worker.port}", trust_env=False) as http:
        deadline = time.monotonic() + BATCH_SECONDS - 3
        while time.monotonic() < deadline:
            for path, times in seconds.items():
                started = time.monotonic()
                answer = http.get(path, headers={"connection": "close"})
                times.append(time.monotonic() - started)
                assert answer.status_code == 200
                if path == "/readyz":
                    assert answer.json()["state"] == "busy"
                if path == "/metrics":
                    assert "soloist_worker_busy 1.0" in answer.text
            time.sleep(0.05)
    for path, times in seconds.items():
        assert len(times) > 20, path
        assert statistics.median(times) < 0.2, path
        assert max(times) < 2, path
    stack.succeeded([id], 30)
    until("it is idle again", lambda: worker.state() == "idle", 10)


def test_a_worker_past_its_limit_does_not_claim_to_be_alive(stack: Stack) -> None:
    worker = stack.worker("brief").ready()
    id = stack.submit("sleep", "brief", seconds=30)
    stack.running(id)
    # Its watchdog ends it, so the probe fails, in whichever way.
    until("it ends", lambda: not worker.alive, 10)
    assert worker.probe("/livez") == {}


def test_a_worker_whose_ledger_is_away_stays_alive_and_ready(stack: Stack) -> None:
    worker = stack.worker().ready()
    stack.store.pause()
    until("the gateway notices", lambda: stack.http.get("/readyz").status_code == 503, 10)
    assert worker.probe("/livez") == {"alive": True}
    assert worker.state() == "idle"
