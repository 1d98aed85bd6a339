"""Objects as typed clients send them: in Kubernetes' Protocol Buffers, read into what JSON would hold.

Source: k8s.io/apimachinery/pkg/runtime/generated.proto, k8s.io/api/core/v1/generated.proto
"""

import base64
from typing import Any

from tests.cluster.protobuf_wire import messages, texts

MAGIC = b"k8s\x00"


def typed(body: bytes) -> dict[str, Any]:
    """A Secret or a ConfigMap, as Helm keeps a release in, or a Namespace, as kubectl makes it."""
    assert body.startswith(MAGIC)
    envelope = body[len(MAGIC) :]
    (about,), (raw,) = messages(envelope, 1), messages(envelope, 2)
    (kind,), (metadata,) = texts(about, 2), messages(raw, 1)
    assert kind in ("Secret", "ConfigMap", "Namespace"), kind
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": texts(metadata, 1)[0],
            "labels": _map(metadata, 11),
            "annotations": _map(metadata, 12),
        },
    }
    if kind == "Namespace":
        return made
    if kind == "ConfigMap":
        return made | {"data": _map(raw, 2)}
    pairs = (_pair(entry) for entry in messages(raw, 2))
    data = {key.decode(): base64.b64encode(value).decode() for key, value in pairs}
    return made | {"type": next(iter(texts(raw, 3)), "Opaque"), "data": data}


def _map(message: bytes, number: int) -> dict[str, str]:
    pairs = (_pair(entry) for entry in messages(message, number))
    return {key.decode(): value.decode() for key, value in pairs}


def _pair(entry: bytes) -> tuple[bytes, bytes]:
    """Key and value of an entry of a map; either is left out when it is empty."""
    return (*messages(entry, 1), b"")[0], (*messages(entry, 2), b"")[0]
