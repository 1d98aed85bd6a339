"""What watches a worker gets its answers while a batch computes."""

import time

import httpx
import pytest
from stack import Stack

from tests.support.waiting import until

pytestmark = pytest.mark.slow

BATCH_SECONDS = 20.0
PATIENCE_SECONDS = 2.0
"""How long who probes waits for an answer."""
PATHS = ("/livez", "/readyz", "/metrics")


def test_probes_answer_while_a_batch_computes_for_20_seconds(stack: Stack) -> None:
    worker = stack.worker().ready()
    assert worker.state() == "idle"
    id = stack.submit("compute", seconds=BATCH_SECONDS)
    stack.running(id)
    answered = dict.fromkeys(PATHS, 0)
    url = f"http://127.0.0.1:{worker.port}"
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as http:
        deadline = time.monotonic() + BATCH_SECONDS - 3
        while time.monotonic() < deadline:
            for path in PATHS:
                answer = http.get(path, headers={"connection": "close"})
                answered[path] += 1
                assert answer.status_code == 200
                if path == "/readyz":
                    assert answer.json()["state"] == "busy"
                if path == "/metrics":
                    assert "soloist_worker_busy 1.0" in answer.text
            time.sleep(0.05)
    assert min(answered.values()) > 20
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
