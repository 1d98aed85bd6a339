"""Passwords that the chart makes up: found again in a cluster, told of outside of one, and not made at all."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.objects import by_name, of_kind
from tests.charts.rendering import CHART, HELM, Object, documents, environment, render, unframed
from tests.k8s.api_server import ApiServer
from tests.support.fake_api_server import served

RABBITMQ = {"broker": {"mode": "bundled"}}
NONE = {"secrets": {"generate": False}}
MINE, OTHER = "one", "two"
SECRETS = "/api/v1/namespaces/team/secrets"


def add_secret(
    api: ApiServer, name: str, *, owner: str = "", keep: bool = False, **data: str
) -> None:
    """A Secret, of a release if it has an owner."""
    annotations = {"helm.sh/resource-policy": "keep"} if keep else {}
    if owner:
        annotations["meta.helm.sh/release-name"] = owner
        annotations["meta.helm.sh/release-namespace"] = "team"
    api.add(
        SECRETS,
        name,
        annotations=annotations,
        labels={"app.kubernetes.io/managed-by": "Helm"} if owner else {},
        apiVersion="v1",
        kind="Secret",
        data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[ApiServer, Path]]:
    """A cluster with an empty namespace, and a file that names it."""
    api = ApiServer()
    api.make_namespace("team")
    with served(api, tmp_path, "team") as kubeconfig:
        yield api, kubeconfig


def render_live(values: Any, kubeconfig: Path, helm: int) -> tuple[dict[str, Object], str]:
    """The objects by name as an install would send them, and why there are none."""
    command = [HELM[helm], "install", "soloist", CHART, "--dry-run=server", "--output", "json"]
    command += ["--namespace", "team", "--values", "-"]
    done = subprocess.run(
        [str(part) for part in command],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        env={**environment(), "KUBECONFIG": str(kubeconfig)},
    )
    if done.returncode:
        return {}, unframed(done.stderr)
    return by_name(documents(json.loads(done.stdout)["manifest"])), ""


def test_two_renders_are_equal_when_no_password_is_made_up(helm: int) -> None:
    values = {**NONE, **RABBITMQ}
    once, again = render(values, helm=helm), render({**values, "global": {}}, helm=helm)
    assert once == again
    assert of_kind(once, "Secret") == []


def test_the_pods_take_the_password_from_the_secret_that_must_be_there() -> None:
    text = json.dumps(render({**NONE, **RABBITMQ}))
    for name in ("soloist-ledger", "soloist-broker"):
        assert f'"secretKeyRef": {{"key": "password", "name": "{name}"}}' in text or (
            f'"secretKeyRef": {{"name": "{name}", "key": "password"}}' in text
        )


def test_a_password_that_is_made_up_outside_of_a_cluster_says_so() -> None:
    for secret in of_kind(render(RABBITMQ), "Secret"):
        (told,) = secret["metadata"]["annotations"].values()
        assert "another one in each render" in told
        assert "secrets.generate" in told


def test_a_missing_secret_is_named_with_the_command_that_makes_it(
    cluster: tuple[ApiServer, Path], helm: int
) -> None:
    fake, file = cluster
    assert render_live(NONE, file, helm)[1] == (
        "secrets.generate is false, and the Secret soloist-ledger is missing: kubectl create secret generic "
        "soloist-ledger --namespace team --from-literal=password=..."
    )
    add_secret(fake, "soloist-ledger", password=MINE)
    assert render_live(NONE, file, helm)[1] == ""
    assert (
        "--from-literal=username=... --from-literal=password=..."
        in (render_live({**NONE, **RABBITMQ}, file, helm)[1])
    )


def test_a_password_that_was_made_up_stays_over_upgrades(
    cluster: tuple[ApiServer, Path], helm: int
) -> None:
    fake, file = cluster
    objects, _ = render_live(RABBITMQ, file, helm)
    assert not objects["Secret/soloist-ledger"]["metadata"].get("annotations")
    add_secret(fake, "soloist-ledger", owner="soloist", password=MINE)
    add_secret(fake, "soloist-broker", owner="soloist", username="soloist", password=OTHER)
    objects, _ = render_live(RABBITMQ, file, helm)
    for name, password in (("ledger", MINE), ("broker", OTHER)):
        data = objects[f"Secret/soloist-{name}"]["data"]
        assert base64.b64decode(data["password"]).decode() == password


def test_a_release_does_not_delete_the_password_that_it_made(
    cluster: tuple[ApiServer, Path],
) -> None:
    fake, file = cluster
    add_secret(fake, "soloist-ledger", owner="soloist", password=MINE)
    assert "helm.sh/resource-policy=keep" in render_live(NONE, file, 4)[1]
    add_secret(fake, "soloist-ledger", owner="soloist", keep=True, password=MINE)
    assert render_live(NONE, file, 4)[1] == ""
