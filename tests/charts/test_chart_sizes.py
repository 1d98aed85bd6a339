"""What the pods ask for is what their processes use."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.processes import free_port
from local.redis import EmbeddedRedis
from tests.charts.objects import MIB, amount, asked, by_name, pod
from tests.charts.rendering import render
from tests.support.programs import Program, Worker
from tests.support.waiting import until


def test_an_idle_trial_asks_for_half_a_cpu_and_about_a_gibibyte() -> None:
    assert asked(render({}), "cpu") <= 0.5
    assert asked(render({}), "memory") <= 1100 * MIB


def test_a_gateway_is_scaled_by_what_it_uses_whatever_it_asks_for() -> None:
    for request in ("50m", "2"):
        resources = {"requests": {"cpu": request}}
        objects = render({"gateway": {"hpa": {"enabled": True}, "resources": resources}})
        (hpa,) = [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
        (metric,) = hpa["spec"]["metrics"]
        assert metric["resource"]["target"] == {"type": "AverageValue", "averageValue": "500m"}


def memory(program: Program) -> tuple[float, float]:
    """(bytes of its own, bytes with the files that it has mapped)."""
    text = Path(f"/proc/{program.pid}/smaps_rollup").read_text()
    found = {key: int(kib) * 1024 for key, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
    return found["Anonymous"], found["Rss"]


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[dict[str, Program]]:
    """The processes of the chart's own defaults, after one prediction."""
    catalog = tmp_path / "catalog.yaml"
    config = by_name(render({}))["ConfigMap/soloist-worker-minilm"]
    catalog.write_text(config["data"]["catalog.yaml"], "utf-8")
    port, keeper_port = free_port(), free_port()
    with EmbeddedRedis(tmp_path / "ledger") as store:
        env = {
            "SOLOIST_CATALOG": str(catalog),
            "SOLOIST_REDIS_URL": store.url,
            "SOLOIST_PORT": str(port),
            "SOLOIST_KEEPER_PORT": str(keeper_port),
        }
        programs = {
            "gateway": Program("gateway", ["service", "gateway"], tmp_path, env),
            "keeper": Program("keeper", ["service", "keeper"], tmp_path, env),
            "worker": Worker("worker", "minilm", tmp_path, env).ready(),
        }
        try:
            with httpx.Client(trust_env=False, timeout=60) as http:
                for name, where in (("gateway", port), ("keeper", keeper_port)):
                    url = f"http://127.0.0.1:{where}/readyz"
                    until(f"the {name} is ready", lambda u=url: _answers(http, u), 60)  # type: ignore[misc]
                url = f"http://127.0.0.1:{port}/v1/models/local/minilm/predictions"
                headers = {"Prefer": "wait", "Content-Type": "application/json"}
                body = json.dumps({"input": {"text": "a quick brown fox"}})
                assert http.post(url, content=body, headers=headers).json()["status"] == "succeeded"
            yield programs
        finally:
            for program in programs.values():
                program.terminate(20)


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_the_processes_of_a_trial_fit_what_their_pods_ask_for(trial: dict[str, Program]) -> None:
    objects = render({})
    for name, program in trial.items():
        container = pod(objects, name).container(name)
        request = amount(container["resources"]["requests"]["memory"])
        own, mapped = memory(program)
        assert own <= request <= 2 * mapped, (name, own // MIB, mapped // MIB)
