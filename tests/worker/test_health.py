"""The probes answer whatever the main thread does."""

import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from contract.hosts import Hosts
from contract.settings import Settings
from worker import health as health_module
from worker import metrics
from worker.health import MOST_CONNECTIONS, PHASES, Health, serve_health


def probe(health: Health, path: str) -> tuple[int, dict[str, Any]]:
    status, content_type, body = health.answer_probe(path)
    assert content_type == "application/json"
    return status, orjson.loads(body)


@pytest.fixture
def served() -> Iterator[tuple[Health, int]]:
    health = Health(facts={"model": "m"})
    server = serve_health(health, "127.0.0.1", 0, Hosts(Settings()))
    yield health, server.server_port
    server.shutdown()
    server.server_close()


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("phase", PHASES[:-1])
def test_a_worker_that_loads_is_alive_and_not_ready(phase: str) -> None:
    health = Health(facts={"model": "m"})
    health.enter_phase(phase)
    assert probe(health, "/livez") == (200, {"alive": True})
    status, body = probe(health, "/readyz")
    assert (status, body["state"], body["phase"]) == (503, "loading", phase)
    assert body["model"] == "m"


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_has_started_once_its_model_is_loaded_whatever_it_waits_for(phase: str) -> None:
    health = Health(waits_for="the broker does not answer")
    health.enter_phase(phase)
    loaded = phase in ("connecting", "ready")
    assert probe(health, "/startupz") == (200 if loaded else 503, {"loaded": loaded})
    assert probe(health, "/readyz")[1]["detail"] == "the broker does not answer"


def test_progress_grows_with_each_phase_up_to_one() -> None:
    health = Health()
    seen = []
    for phase in PHASES:
        health.enter_phase(phase)
        seen.append(probe(health, "/readyz")[1]["progress"])
    assert seen == sorted(set(seen))
    assert (seen[0], seen[-1]) == (0, 1)


def test_a_busy_worker_stays_ready() -> None:
    health = Health(busy=lambda: True)
    health.enter_phase("ready")
    status, body = probe(health, "/readyz")
    assert (status, body["state"]) == (200, "busy")
    health.busy = lambda: False
    assert probe(health, "/readyz")[1]["state"] == "idle"


def test_a_batch_past_its_hard_limit_fails_liveness_alone() -> None:
    health = Health(alive=lambda: False, busy=lambda: True)
    health.enter_phase("ready")
    assert probe(health, "/livez") == (503, {"alive": False})
    assert probe(health, "/readyz")[0] == 200


def test_a_phase_tells_how_long_it_lasts() -> None:
    health = Health()
    health.since -= 12.5
    assert probe(health, "/readyz")[1]["phase_seconds"] == pytest.approx(12.5, abs=1)
    health.enter_phase("loading")
    assert probe(health, "/readyz")[1]["phase_seconds"] < 12.5, "it counts anew"


def test_probes_answer_while_the_main_thread_computes(served: tuple[Health, int]) -> None:
    health, port = served
    health.enter_phase("ready")
    answers: list[int] = []

    def ask() -> None:
        for path in ("/livez", "/readyz?verbose=1", "/metrics"):
            answers.append(get(port, path)[0])

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        sum(range(1000))
    assert answers == [200, 200, 200]


def test_metrics_are_served_in_prometheus_text(served: tuple[Health, int]) -> None:
    metrics.PREDICTIONS.labels("succeeded").inc()
    status, body = get(served[1], "/metrics")
    assert status == 200
    assert b'soloist_worker_predictions_total{outcome="succeeded"}' in body


def test_an_unknown_path_is_not_found(served: tuple[Health, int]) -> None:
    assert get(served[1], "/")[0] == 404


def test_probes_do_not_write_log_lines(
    served: tuple[Health, int], capfd: pytest.CaptureFixture[str]
) -> None:
    get(served[1], "/livez")
    assert capfd.readouterr() == ("", "")


def test_silent_sockets_pile_up_no_threads_and_lock_no_probe_out(
    served: tuple[Health, int],
) -> None:
    port = served[1]
    before = threading.active_count()
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    try:
        assert get(port, "/livez")[0] == 200
        assert crowd[0].recv(1) == b""  # the oldest were let go
        assert threading.active_count() - before <= MOST_CONNECTIONS + 2
    finally:
        for one in crowd:
            one.close()


def test_a_prober_that_falls_silent_is_let_go(
    served: tuple[Health, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "READ_SECONDS", 0.2)
    server = serve_health(Health(), "127.0.0.1", 0, Hosts(Settings()))
    try:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as silent:
            silent.sendall(b"GET /livez HTTP/1.1\r\nHost: loc")
            assert silent.recv(1) == b""
    finally:
        server.shutdown()
        server.server_close()


def test_a_name_that_is_not_ours_learns_nothing(served: tuple[Health, int]) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        status, body = get(served[1], path, host="evil.example")
        assert status == 421
        assert b"soloist" not in body
