"""The mosec service, after examples/embedding and the performance notes of its README.

One stage, since tokenizing in a stage of its own pays only where the model runs on another device; its
default wait of 10 ms; orjson in place of json, for vectors.
"""

import os
from pathlib import Path
from typing import Any

import orjson
from mosec import Server, Worker

from bench.offline import Offline


class Inference(Worker):
    """Loads the model and answers batches."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Offline(Path(os.environ["BENCH_MODEL"]), os.environ["BENCH_TASK"])
        self.example = [{"text": "to warm up"}] * 64

    def deserialize(self, data: bytes) -> Any:
        return orjson.loads(data)

    def serialize(self, data: Any) -> bytes:
        return orjson.dumps(data)

    def forward(self, data: list[dict[str, str]]) -> list[Any]:
        return self.model.predict([item["text"] for item in data])


if __name__ == "__main__":
    server = Server()
    server.append_worker(Inference, num=1, max_batch_size=64, max_wait_time=10, timeout=60)
    server.run()
