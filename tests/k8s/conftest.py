"""`python -m k8s` is run in this process, with the real client, against a cluster that a test furnishes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_result import Result, Run
from fake_cluster import FakeCluster
from release_objects import add_prerequisites, add_release
from smoke_gateway import CATALOG, FakeGateway, Smoke

from k8s import __main__ as command
from k8s import smoke as module
from tests.support.fake_api_server import Handler, Server, write_kubeconfig


@pytest.fixture(scope="session")
def _server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cluster(_server: Server) -> FakeCluster:
    """A cluster with nothing in it."""
    fake = FakeCluster(url=_server.url)
    Handler.cluster = fake
    return fake


@pytest.fixture
def fit(cluster: FakeCluster) -> FakeCluster:
    """A cluster with all that the chart's defaults need."""
    add_prerequisites(cluster)
    return cluster


@pytest.fixture
def installed(fit: FakeCluster) -> FakeCluster:
    """The same with a release in which all is well: `soloist` in `ml`, of the one model `spam`."""
    add_release(fit)
    return fit


@pytest.fixture
def kubeconfig(cluster: FakeCluster, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path, cluster.url, cluster.token, "ml")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `python -m k8s` with these arguments, away from any real cluster."""
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")

    def call(*arguments: object) -> Result:
        code = command.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def check(run: Run, kubeconfig: Path, tmp_path: Path) -> Run:
    """Run the check, with values given as a dict."""

    def call(values: dict[str, Any] | None = None, *arguments: str) -> Result:
        given: list[object] = []
        if values is not None:
            file = tmp_path / "values.yaml"
            file.write_text(json.dumps(values))
            given = ["-f", file]
        return run("check", "--kubeconfig", kubeconfig, *given, *arguments)

    return call


@pytest.fixture
def release(cluster: FakeCluster) -> FakeCluster:
    """A release as far as the smoke test looks: a catalog."""
    cluster.add(
        "/api/v1/namespaces/ml/configmaps",
        "soloist-catalog",
        data={"catalog.yaml": yaml.safe_dump(CATALOG, sort_keys=False)},
    )
    return cluster


@pytest.fixture
def smoke(
    run: Run, release: FakeCluster, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> Smoke:
    """Run it with a gateway that gives these answers."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)

    def call(gateway: FakeGateway, *arguments: str) -> Result:
        release.behind["soloist-gateway:http"] = gateway
        return run("smoke", "--kubeconfig", kubeconfig, *arguments)

    return call
