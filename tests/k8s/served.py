"""A fake API server on a port of its own, and the kubeconfig that names it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.k8s.fake_cluster import FakeCluster, Handler, Server


@contextmanager
def served(cluster: FakeCluster, folder: Path, namespace: str = "default") -> Iterator[Path]:
    """``with served(cluster, folder) as kubeconfig``: it answers there; `namespace` is the context's."""
    handler = type("Its", (Handler,), {"cluster": cluster})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        cluster.url = f"http://127.0.0.1:{server.server_port}"
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(kubeconfig(cluster, namespace)), encoding="utf-8")
        file.chmod(0o600)  # Helm warns of one that others can read
        try:
            yield file
        finally:
            server.shutdown()
            thread.join()


def kubeconfig(cluster: FakeCluster, namespace: str) -> dict[str, object]:
    context = {"cluster": "fake", "user": "we", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": context}],
        "clusters": [{"name": "fake", "cluster": {"server": cluster.url}}],
        "users": [{"name": "we", "user": {"token": cluster.token}}],
    }
