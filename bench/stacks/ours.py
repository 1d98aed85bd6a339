"""Soloist: gateway, keeper and workers as processes, with an embedded Redis and, if asked, RabbitMQ."""

import contextlib
import json
import os
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import yaml

from bench.http import build_request
from bench.models import BenchModel
from bench.stacks.stack import Stack, exchange
from local.processes import free_port
from local.rabbitmq import RabbitMQ
from local.redis import EmbeddedRedis


class Ours(Stack):
    """Redis is the ledger and the broker. `pools`: one worker process for each, or the default one."""

    name = "ours-redis"
    label = "Soloist on Redis"
    path = "/v1/models/local/{model}/predictions"
    proof = '"succeeded"'
    headers: ClassVar[dict[str, str]] = {"Prefer": "wait=60"}

    def __init__(
        self, model: BenchModel, folder: Path, pools: list[tuple[str, int]] | None = None
    ) -> None:
        super().__init__(model, folder)
        self.pools = pools
        self.worker_ports: list[int] = []
        self._broker: RabbitMQ | None = None

    @property
    def pids(self) -> list[int]:
        return [*super().pids, *self._redis.pids, *(self._broker.pids if self._broker else [])]

    def start_servers(self, stack: ExitStack) -> None:
        self._redis = stack.enter_context(EmbeddedRedis(self.folder / "redis"))

    def start_processes(self) -> None:
        catalog = self.folder / "catalog.yaml"
        entry = {"source": self.model.source, "task": self.model.task, "max_batch_size": 64}
        catalog.write_text(yaml.safe_dump({"models": {self.model.name: entry}}))
        environment = {
            "SOLOIST_REDIS_URL": self._redis.url,
            "SOLOIST_CATALOG": str(catalog),
            "SOLOIST_PORT": str(self.port),
            # The others do not log every request either.
            "SOLOIST_LOG_LEVEL": os.environ.get("SOLOIST_LOG_LEVEL", "warning"),
        }
        if self._broker:
            environment["SOLOIST_BROKER_URL"] = self._broker.url
        self.start_process(["-m", "service", "gateway"], **environment)
        self.start_process(
            ["-m", "service", "keeper"], **environment, SOLOIST_KEEPER_PORT=str(free_port())
        )
        for pool in self.pools or [None]:
            flags = ["--pool", pool[0], "--concurrency", str(pool[1])] if pool else []
            self.worker_ports.append(free_port())
            self.start_process(
                ["-m", "worker", "--model", self.model.name, *flags],
                **environment,
                SOLOIST_WORKER_PORT=str(self.worker_ports[-1]),
                SOLOIST_WORKER_NAME=f"bench-{len(self.processes)}",
            )

    def workers_ready(self) -> bool:
        """Whether every worker has loaded its model."""
        with contextlib.suppress(OSError, HTTPException):
            answers = [
                exchange(port, build_request("GET", "/readyz")) for port in self.worker_ports
            ]
            return all(status == 200 for status, _ in answers)
        return False

    def request_body(self, text: str) -> bytes:
        return json.dumps({"input": {"text": text}}).encode()

    def parse_answer(self, body: str) -> Any:
        return json.loads(body)["output"]


class OursOnRabbitMQ(Ours):
    """Redis is the ledger, RabbitMQ the broker."""

    name = "ours-rabbitmq"
    label = "Soloist on RabbitMQ"

    def start_servers(self, stack: ExitStack) -> None:
        super().start_servers(stack)
        self._broker = stack.enter_context(RabbitMQ(self.folder / "rabbitmq"))
