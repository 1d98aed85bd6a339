"""The usual way: FastAPI, one Celery task a request, prefork, Redis as broker and result backend."""

import json
from contextlib import ExitStack
from typing import Any, ClassVar

from bench.stacks.stack import Stack
from bench.target import Poll
from local.redis import EmbeddedRedis


class Usual(Stack):
    """The client is given an id and asks for the result until it is there."""

    name = "usual"
    label = "usual, polling"
    path = "/predict"
    proof = '"Success"'
    poll: ClassVar[Poll | None] = Poll(
        id_pattern=r'"task_id":"([^"]+)"', path="/status/{id}", pending='"Processing"'
    )

    @property
    def pids(self) -> list[int]:
        return super().pids + self._redis.pids

    def start_servers(self, stack: ExitStack) -> None:
        # As installed: no append-only file, for nothing in this stack asks for one.
        self._redis = stack.enter_context(
            EmbeddedRedis(self.folder / "redis", options={"appendonly": "no"})
        )

    def start_processes(self) -> None:
        environment = {
            "BENCH_REDIS_URL": self._redis.url,
            "BENCH_MODEL": str(self.model.folder),
            "BENCH_TASK": self.model.task,
        }
        app = "bench.served.usual:app"
        web = ["-m", "uvicorn", app, "--port", str(self.port), "--no-access-log"]
        worker = ["-m", "celery", "-A", "bench.served.usual:celery_app", "worker"]
        self.start_process([*web, "--log-level", "warning"], **environment)
        self.start_process(
            [*worker, "--pool", "prefork", "--concurrency", "1", "--loglevel", "warning"],
            **environment,
        )

    def parse_answer(self, body: str) -> Any:
        return json.loads(body)["prediction"]


class UsualWait(Usual):
    """The request itself waits for the result."""

    name = "usual-wait"
    label = "usual, get()"
    path = "/predict-and-wait"
    poll = None
