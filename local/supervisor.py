"""Supervises the processes of `soloist up`: each is started again when it ends."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import httpx

from contract.errors import EXIT_REFUSED, StartRefused
from local.log_stream import LogStream, message_of
from local.parent_watch import ParentWatch
from local.processes import StartFailed, free_port
from local.run_file import local_url
from local.topology import ProcessSpec

PROBE_SECONDS = 0.2
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
MOST_FAILED_STARTS = 5
MOST_LINE_BYTES = 1024 * 1024


class SupervisedProcess:
    """One process of the topology."""

    def __init__(
        self,
        spec: ProcessSpec,
        host: str,
        stream: LogStream,
        grace_seconds: float,
        started: Callable[[int], None] = lambda pid: None,
        changed: Callable[["SupervisedProcess"], None] = lambda process: None,
    ) -> None:
        """`started` is called with each process id, `changed` at each new phase before it is ready."""
        self.name = spec.name
        self.ready = asyncio.Event()
        self.phase = "starting"
        self.progress = 0.0
        self.clean = True
        """False once it had to be killed."""
        self._spec = spec
        self._host = host
        self._stream = stream
        self._grace_seconds = grace_seconds
        self._started = started
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._last_line = ""
        self._ending = asyncio.Event()
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def supervise(self) -> None:
        """Run it, again and again, until `ask_to_end` or `kill`.

        Raises:
            StartRefused: it refuses to start.
            StartFailed: it ends each time before it is ready.
        """
        failures = 0
        while not self._ending.is_set():
            code = await self._run_once()
            if self._ending.is_set():
                return
            refused = code == EXIT_REFUSED
            failures = 1 if self.ready.is_set() and not refused else failures + 1
            if (refused and not self.ready.is_set()) or failures > MOST_FAILED_STARTS:
                error = StartRefused if refused else StartFailed
                raise error(f"{self.name}: {self._end_reason(code)}")
            self.ready.clear()
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
            self._stream.write_sentence(
                f"{self.name} ended ({describe_exit(code)}); it starts again in {pause:g} s",
                "yellow",
            )
            self._restarts += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)

    def ask_to_end(self) -> None:
        """Let it finish what it does and end; `supervise` then returns."""
        self._ending.set()
        self._signal("terminate")

    def kill(self) -> None:
        self._ending.set()
        self.clean = self.clean and self.pid is None
        self._signal("kill")

    def _signal(self, how: str) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                getattr(self._process, how)()

    async def _run_once(self) -> int:
        """From its start to its end; the exit code, negative for the signal that ended it."""
        port = self._spec.port or free_port()
        self.phase, self.progress = "starting", 0.0
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *self._spec.arguments,
            env={**self._spec.environment, self._spec.port_variable: str(port)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end them in the right order
        )
        watch = ParentWatch(self._process.pid, self._grace_seconds)
        self._started(self._process.pid)
        output = asyncio.create_task(self._pass_on_output())
        readiness = asyncio.create_task(self._await_readiness(local_url(self._host, port)))
        try:
            if self._ending.is_set():  # asked to end while it was being started
                self._signal("terminate")
            code = await self._process.wait()
            with contextlib.suppress(TimeoutError):  # a grandchild may hold the pipe open
                await asyncio.wait_for(output, 2.0)
            return code
        finally:
            readiness.cancel()
            output.cancel()
            watch.dismiss()

    async def _pass_on_output(self) -> None:
        """Pass its lines on."""
        assert self._process is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        rest = b""
        while chunk := await self._process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._pass_on_line(line)
        self._pass_on_line(rest)

    def _pass_on_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self._last_line = text
            # A line that cannot be shown must not end the output: the process would hang on a full pipe.
            with contextlib.suppress(Exception):
                self._stream.write_line(self.name, text)

    async def _await_readiness(self, url: str) -> None:
        """Poll its probe until it is ready."""
        async with httpx.AsyncClient(base_url=url, timeout=2.0, trust_env=False) as client:
            while True:
                with contextlib.suppress(Exception):  # whatever it says, it is asked again
                    answer = await client.get("/readyz")
                    if answer.is_success:
                        break
                    self._note_state(answer.json())
                await asyncio.sleep(PROBE_SECONDS)
        self.phase, self.progress = "ready", 1.0
        self.ready.set()
        if self._restarts:
            self._stream.write_sentence(f"{self.name} is ready again", "green")

    def _note_state(self, state: Any) -> None:
        if isinstance(state, dict):
            before = self.phase
            self.phase = str(state.get("phase") or state.get("state") or "loading")
            if self.phase != before:
                self._changed(self)
            progress = state.get("progress")
            if isinstance(progress, int | float):
                self.progress = min(max(float(progress), 0.0), 1.0)

    def _end_reason(self, code: int) -> str:
        said = re.sub(r"^soloist[ \w]*: ", "", message_of(self._last_line))
        if code == EXIT_REFUSED and said:
            return said
        return f"{describe_exit(code)}: {said}".rstrip(": ")


def describe_exit(code: int) -> str:
    """An exit code in words; negative is the signal that ended the process."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
