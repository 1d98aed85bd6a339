"""Why a container ended, in its own words: from its log while the kubelet has it, then from the pod's status."""

import json
from collections.abc import Iterator
from typing import Any

from k8s.cluster import Cluster, Denied, Unanswered
from local.log_stream import message_of

GONE = (
    "unable to retrieve container logs",
    "failed to try resolving symlinks",
)
"""With these words, and not always with an error, the kubelet says that a container's log is no more."""


def what_it_said(cluster: Cluster, pod: str, container: dict[str, Any]) -> str:
    """The last thing that an ended container said; its exit code's reason where nothing is left of it.

    Args:
        container: its entry in the pod's status.
    """
    ended = ended_of(container)
    said = _last_line(str(ended.get("message") or ""))
    if said:
        return said
    path, name = cluster.path_of(f"pods/{pod}/log"), container["name"]
    why = "is empty"
    for previous in _previous(container):
        query = {"container": name, "tailLines": "1", "previous": previous}
        try:
            text = cluster.read_text(path, query)
        except Denied as refused:
            why = f"cannot be read: {refused}"
            continue
        except Unanswered:
            why = "is gone"
            continue
        if text.startswith(GONE):
            why = "is gone"
        elif text.strip():
            return _last_line(text)
    return f"(its log {why})"


def ended_of(container: dict[str, Any]) -> dict[str, Any]:
    """How a container ended: now, or before it was started again."""
    last = container.get("lastState") or {}
    return (container.get("state") or {}).get("terminated") or last.get("terminated") or {}


def is_running(container: dict[str, Any]) -> bool:
    return "running" in (container.get("state") or {})


def log_command(namespace: str, pod: str, container: dict[str, Any]) -> str:
    """The kubectl command that shows the log of the run that ended."""
    previous = " --previous" if is_running(container) else ""
    return f"kubectl -n {namespace} logs {pod} -c {container['name']}{previous}"


def _previous(container: dict[str, Any]) -> Iterator[str]:
    """Which logs may hold the end. While a container waits for its next run the current one is the one that ended,
    and the one before may be gone, as init containers' are; once it runs, the current one is another run's.
    """
    if not is_running(container):
        yield "false"
    yield "true"


def _last_line(text: str) -> str:
    """A log's last line; its message with its error, if it is JSON as ours are."""
    line = next((line for line in reversed(text.strip().splitlines()) if line.strip()), "").strip()
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    more = fields.get("error") or fields.get("reason") if isinstance(fields, dict) else None
    return f"{message_of(line)}: {more}" if isinstance(more, str) else message_of(line)
