"""LitServe: FastAPI before a process that batches, joined by ZeroMQ."""

import json
from typing import Any

from bench.packages import FOLDER, install
from bench.stacks.stack import Stack, with_path
from local.processes import PROJECT


class LitServe(Stack):
    """Batches of up to 64."""

    name = "litserve"
    label = "LitServe"
    path = "/predict"

    def start_processes(self) -> None:
        install()
        self.start_process(
            ["-m", "bench.served.litserve"],
            PYTHONPATH=with_path(PROJECT, FOLDER),
            BENCH_PORT=str(self.port),
            BENCH_MODEL=str(self.model.folder),
            BENCH_TASK=self.model.task,
        )

    def parse_answer(self, body: str) -> Any:
        return json.loads(body)["output"]
