"""What every stack is to the measurement: started, asked the same questions, stopped."""

import contextlib
import json
import os
import shutil
import socket
import sys
import time
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from bench.http import build_request
from bench.models import BenchModel
from bench.target import Poll, Target
from local.processes import PROJECT, Process, StartFailed, free_port, wait_for

START_SECONDS = 120.0
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
}


class Stack:
    """One way to serve one model, running as long as the `with` block."""

    name: ClassVar[str]
    label: ClassVar[str]
    path: ClassVar[str]
    proof: ClassVar[str] = ""
    """Is in the body of every good answer."""
    poll: ClassVar[Poll | None] = None
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, model: BenchModel, folder: Path) -> None:
        self.model = model
        self.folder = folder / f"{self.name}-{model.name}"
        self.port = free_port()
        self.processes: list[Process] = []
        self.started_at = 0.0
        self._stack = ExitStack()

    @property
    def pids(self) -> list[int]:
        """The processes that belong to it; their children do too."""
        return [process.pid for process in self.processes]

    def start_servers(self, stack: ExitStack) -> None:
        """Start what runs anyway before a model is deployed; it is not part of the cold start."""

    def start_processes(self) -> None:
        """Start the processes that serve the model."""
        raise NotImplementedError

    def request_body(self, text: str) -> bytes:
        """The body of a request for one text."""
        return json.dumps({"text": text}).encode()

    def parse_answer(self, body: str) -> Any:
        """The model's answer in the body of a response."""
        return json.loads(body)

    def request_for(self, text: str) -> bytes:
        return build_request(
            "POST", self.path.format(model=self.model.name), self.request_body(text), **self.headers
        )

    def target(self, texts: list[str]) -> Target:
        messages = [self.request_for(text).decode() for text in texts]
        return Target(self.port, messages, self.proof, self.poll)

    def start_process(self, command: list[str | Path], **environment: str) -> Process:
        """Start one of its processes in the project's folder, with one thread for the model."""
        process = Process(
            [sys.executable, *command],
            log=self.folder / f"{len(self.processes)}.log",
            env={**ONE_THREAD, **environment},
            cwd=PROJECT,
        )
        self.processes.append(process)
        return process

    def logs(self) -> str:
        """The last lines of all its processes."""
        return "\n".join(f"--- {p.command[1:]}\n{p.tail(2000)}" for p in self.processes)

    def first_answer(self, text: str) -> float:
        """Seconds from the start of its processes to the first good answer.

        Raises:
            StartFailed: there was none in time.
        """
        state = wait_for(
            lambda: "answered" if self._answers(text) else "" if self._alive else "ended",
            START_SECONDS,
            every=0.02,
        )
        if state != "answered":
            raise StartFailed(f"{self.name} gave no answer\n{self.logs()}")
        return time.monotonic() - self.started_at

    @property
    def _alive(self) -> bool:
        return all(process.alive for process in self.processes)

    def _answers(self, text: str) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            status, body = exchange(self.port, self.request_for(text))
            name = self.poll.id_in(body) if self.poll else None
            while self.poll and name and self.poll.pending.encode() in body:
                time.sleep(self.poll.first_seconds)
                ask = build_request("GET", self.poll.path.format(id=name))
                status, body = exchange(self.port, ask)
            return status < 300 and self.proof.encode() in body
        return False

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            self.start_servers(self._stack)
            self.started_at = time.monotonic()
            self.start_processes()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        # Those that were started first serve the clients; all are asked to end before any is waited for.
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            process.terminate()
        self._stack.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def exchange(port: int, message: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", port), START_SECONDS) as connection:
        connection.sendall(message)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def with_path(*folders: Path) -> str:
    """A PYTHONPATH that has these folders first."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
