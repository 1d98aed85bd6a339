"""What becomes of pods while a test looks elsewhere: who was deleted, and when."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from suite_namespace import PASSING, Object, ready

LOOK_SECONDS = 0.5


@dataclass
class Seen:
    """One pod. `deleted_at` is in Unix seconds; None while it is wanted."""

    name: str
    annotations: dict[str, str]
    deleted_at: float | None = None


class PodHistory:
    """``with PodHistory(look) as history``: looks again and again until the end of the block."""

    def __init__(self, look: Callable[[], list[Object]]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod history")
        self._fault: Exception | None = None
        self.pods: dict[str, Seen] = {}
        """By uid."""
        self.most_ready = 0
        self.looks = 0

    def __enter__(self) -> "PodHistory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault  # what it does not know it cannot tell

    @property
    def deletions(self) -> list[tuple[str, float]]:
        """(pod, instant) of each deletion."""
        return [(p.name, p.deleted_at) for p in self.pods.values() if p.deleted_at is not None]

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_SECONDS):
                with contextlib.suppress(*PASSING):
                    self.note(self._look(), time.time())
        except Exception as error:
            self._fault = error

    def note(self, pods: list[Object], now: float) -> None:
        """Take in what there is at this instant."""
        there = {}
        for pod in pods:
            about = pod["metadata"]
            there[about["uid"]] = seen = Seen(about["name"], about.get("annotations") or {})
            seen.deleted_at = deleted_at(pod)
        for uid, seen in self.pods.items():
            if uid not in there and seen.deleted_at is None:
                seen.deleted_at = now  # it went between two looks
        self.pods.update(there)
        self.most_ready = max(self.most_ready, sum(map(ready, pods)))
        self.looks += 1


def deleted_at(pod: Object) -> float | None:
    """When a pod was asked to go: its deletionTimestamp is when it must have gone."""
    stamp = pod["metadata"].get("deletionTimestamp")
    if stamp is None:
        return None
    grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
    return datetime.fromisoformat(stamp).timestamp() - grace
