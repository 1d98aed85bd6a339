"""Passwords that the chart makes up: found again in a cluster, told of outside of one, and not made at all."""

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.objects import by_name, of_kind
from tests.charts.rendering import CHART, HELM, Object, documents, environment, render, unframed

RABBITMQ = {"broker": {"mode": "bundled"}}
NONE = {"secrets": {"generate": False}}
KINDS = {
    "v1": "Secret ServiceAccount Pod Service ConfigMap",
    "apps/v1": "Deployment StatefulSet",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "NetworkPolicy",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
    "keda.sh/v1alpha1": "ScaledObject TriggerAuthentication",
}
MINE, OTHER = "one", "two"
NAMESPACE = "/api/v1/namespaces/team"


@dataclass
class Cluster:
    """As much of an API server as Helm looks at before it renders."""

    objects: dict[str, Object] = field(default_factory=dict)

    def secret(self, name: str, *, owner: str = "", keep: bool = False, **data: str) -> None:
        annotations = {"helm.sh/resource-policy": "keep"} if keep else {}
        if owner:
            annotations["meta.helm.sh/release-name"] = owner
            annotations["meta.helm.sh/release-namespace"] = "team"
        labels = {"app.kubernetes.io/managed-by": "Helm"} if owner else {}
        self.objects[f"{NAMESPACE}/secrets/{name}"] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": "team",
                "annotations": annotations,
                "labels": labels,
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }

    def answer(self, path: str) -> Any:
        fixed: dict[str, Any] = {
            "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": GROUPS},
            f"{NAMESPACE}/serviceaccounts/default": {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": "team"},
            },
        }
        for group, kinds in KINDS.items():
            where = f"/apis/{group}" if "/" in group else f"/api/{group}"
            fixed[where] = {
                "kind": "APIResourceList",
                "groupVersion": group,
                "resources": [
                    {
                        "name": _plural(kind),
                        "namespaced": True,
                        "kind": kind,
                        "verbs": ["get", "list"],
                    }
                    for kind in kinds.split()
                ],
            }
        return fixed.get(path) or self.objects.get(path)


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


GROUPS = [
    {"name": group.split("/")[0], "versions": [version], "preferredVersion": version}
    for group in KINDS
    if "/" in group
    for version in [{"groupVersion": group, "version": group.split("/")[1]}]
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster, and a file that names it."""
    fake = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = fake.answer(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
            body = json.dumps(found or missing).encode()
            self.send_response(200 if found else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        file = tmp_path / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "we"}}],
            "clusters": [
                {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
            ],
            "users": [{"name": "we", "user": {"token": "we"}}],
        }
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        yield fake, file
        server.shutdown()
        thread.join()


def render_live(values: Any, kubeconfig: Path, helm: int) -> tuple[dict[str, Object], str]:
    """The objects by name as an install would send them, and why there are none."""
    command = [HELM[helm], "install", "soloist", CHART, "--dry-run=server", "--output", "json"]
    command += ["--disable-openapi-validation", "--namespace", "team", "--values", "-"]
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
    cluster: tuple[Cluster, Path], helm: int
) -> None:
    fake, file = cluster
    assert render_live(NONE, file, helm)[1] == (
        "secrets.generate is false, and the Secret soloist-ledger is missing: kubectl create secret generic "
        "soloist-ledger --namespace team --from-literal=password=..."
    )
    fake.secret("soloist-ledger", password=MINE)
    assert render_live(NONE, file, helm)[1] == ""
    assert (
        "--from-literal=username=... --from-literal=password=..."
        in (render_live({**NONE, **RABBITMQ}, file, helm)[1])
    )


def test_a_password_that_was_made_up_stays_over_upgrades(
    cluster: tuple[Cluster, Path], helm: int
) -> None:
    fake, file = cluster
    objects, _ = render_live(RABBITMQ, file, helm)
    assert not objects["Secret/soloist-ledger"]["metadata"].get("annotations")
    fake.secret("soloist-ledger", owner="soloist", password=MINE)
    fake.secret("soloist-broker", owner="soloist", username="soloist", password=OTHER)
    objects, _ = render_live(RABBITMQ, file, helm)
    for name, password in (("ledger", MINE), ("broker", OTHER)):
        data = objects[f"Secret/soloist-{name}"]["data"]
        assert base64.b64decode(data["password"]).decode() == password


def test_a_release_does_not_delete_the_password_that_it_made(
    cluster: tuple[Cluster, Path],
) -> None:
    fake, file = cluster
    fake.secret("soloist-ledger", owner="soloist", password=MINE)
    assert "helm.sh/resource-policy=keep" in render_live(NONE, file, 4)[1]
    fake.secret("soloist-ledger", owner="soloist", keep=True, password=MINE)
    assert render_live(NONE, file, 4)[1] == ""
