"""The LitServe service, after tests/perf_test/bert/server.py of its repository.

`fast_queue` as its documentation recommends above 100 requests a second; one API process for one core.
"""

import os
from pathlib import Path
from typing import Any

import litserve as ls

from bench.offline import Offline


class Inference(ls.LitAPI):
    """Loads the model and answers batches."""

    def setup(self, device: str) -> None:
        self.model = Offline(Path(os.environ["BENCH_MODEL"]), os.environ["BENCH_TASK"])

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def predict(self, texts: list[str]) -> list[Any]:
        return self.model.predict(texts)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"output": output}


if __name__ == "__main__":
    api = Inference(max_batch_size=64, batch_timeout=0.01)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
