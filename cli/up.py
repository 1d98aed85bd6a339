"""`soloist up`: the whole of Soloist on one machine, with nothing else to install."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import GatewayClient
from cli.console import Failure, shorten
from contract.catalog import Catalog, load_catalog
from contract.errors import StartRefused
from contract.examples import example
from contract.settings import Settings, load_settings
from local.log_stream import LogStream
from local.redis import EmbeddedRedis
from local.run_file import RunningSoloist, local_url, remove_run_file, write_run_file
from local.supervisor import SupervisedProcess
from local.topology import plan_topology

LEDGER_POLL_SECONDS = 0.5
SLACK_SECONDS = 10.0
"""How much longer than its grace a process may take to end."""


def up(
    catalog: Annotated[
        Path | None, typer.Option(help="The models; SOLOIST_CATALOG if not given.")
    ] = None,
    workers_per_model: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="One, and one more on each further GPU, if not given."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The gateway's port; 0 takes any.")
    ] = None,
) -> None:
    """Run the gateway, the keeper, a worker for each model and, unless SOLOIST_REDIS_URL is set, a ledger.

    Ctrl-C lets the workers finish what they run; a second one kills.
    """
    settings = load_settings()
    given = {"catalog": catalog, "port": port}
    if any(value is not None for value in given.values()):
        fields = {name: getattr(settings, name) for name in settings.model_fields_set}
        settings = Settings(**fields | {name: v for name, v in given.items() if v is not None})
    try:
        models = load_catalog(settings.catalog)
    except StartRefused as refused:
        if catalog is None and not settings.catalog.exists():
            raise StartRefused(f"{refused.detail}; name one with --catalog FILE") from None
        raise
    ledger = None
    if "redis_url" not in settings.model_fields_set:
        if settings.ledger_replicas:
            raise StartRefused(
                "the embedded Redis has no replica, so that nothing could be accepted: "
                "set SOLOIST_REDIS_URL, or SOLOIST_LEDGER_REPLICAS to 0"
            )
        ledger = EmbeddedRedis(settings.state_dir)
    raise typer.Exit(asyncio.run(Up(settings, models, ledger, workers_per_model).serve()))


class Up:
    """One `soloist up`, from the ledger's start to its end."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        ledger: EmbeddedRedis | None,
        workers_per_model: int | None,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._ledger = ledger
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        if ledger:
            ledger.start()
        try:
            topology = plan_topology(
                settings, catalog, ledger.url if ledger else None, workers_per_model
            )
        except BaseException:
            if ledger:
                ledger.stop()
            raise
        wants_json = settings.log_format == "json"
        as_json = wants_json or (settings.log_format == "auto" and not sys.stdout.isatty())
        specs = [topology.gateway, topology.keeper, *topology.workers]
        self._stream = LogStream((spec.name for spec in specs), as_json=as_json)
        self._on_cpu = topology.on_cpu
        self._url = local_url(settings.host, topology.gateway.port)
        self._gateway, self._keeper, *self._workers = (
            SupervisedProcess(
                spec,
                settings.host,
                self._stream,
                self._grace_seconds,
                self._end_ledger_after,
                self._write_phase,
            )
            for spec in specs
        )
        self._tasks: dict[SupervisedProcess, asyncio.Task[None]] = {}

    @property
    def _processes(self) -> list[SupervisedProcess]:
        return [self._gateway, self._keeper, *self._workers]

    @property
    def _grace_seconds(self) -> float:
        return self._settings.grace_seconds + SLACK_SECONDS

    async def serve(self) -> int:
        """Serve until a signal comes or something fails for good; the exit code.

        Raises:
            StartRefused, StartFailed: a process cannot be started.
        """
        try:
            with self._signals():
                write_run_file(self._settings, self._running())
                failure = await self._run_processes()
                await self._drain()
        finally:
            remove_run_file(self._settings)
            if self._ledger:
                self._ledger.stop()
        if failure:
            raise failure
        if self._kill.is_set():
            return 130
        return 0 if all(process.clean for process in self._processes) else 1

    def _running(self) -> RunningSoloist:
        ledger = self._ledger.url if self._ledger else self._settings.ledger
        return RunningSoloist(os.getpid(), self._url, ledger, str(self._settings.catalog.resolve()))

    def _end_ledger_after(self, pid: int) -> None:
        if self._ledger:
            self._ledger.end_after(pid)

    async def _run_processes(self) -> BaseException | None:
        """Run the processes until it is time to stop; why, if it is a failure."""
        self._tasks = {
            process: asyncio.create_task(process.supervise()) for process in self._processes
        }
        welcome = asyncio.create_task(self._welcome())
        ends = [
            *self._tasks.values(),
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self._keep_ledger()),
        ]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (welcome, *ends[len(self._tasks) :]):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await welcome
        return next((error for task in done if (error := task.exception())), None)

    async def _welcome(self) -> None:
        """Show how far the processes are; then where they answer, and a first answer."""
        self._stream.write_sentence(
            f"starting {len(self._workers)} worker(s), the gateway and the keeper"
        )
        if self._on_cpu:
            names = ", ".join(self._on_cpu)
            self._stream.write_sentence(
                f"more models than GPUs: {names} will run on the CPU", "yellow"
            )
        await self._show_loading(self._processes)
        self._stream.write_sentence(
            f"Soloist answers at {self._url} (its API: {self._url}/docs)", "bold green"
        )
        for spec in self._catalog.values():
            sample = example(spec.inputs)
            if sample is not None:
                self._stream.write_sentence(f"\n{curl_command(self._url, spec.id, sample)}")
                self._stream.write_sentence(await self._first_answer(spec.id, sample), "cyan")
                break
        self._stream.write_sentence(
            "\nCtrl-C ends it; what still waits then is kept for the next start", "dim"
        )

    async def _show_loading(self, processes: Sequence[SupervisedProcess]) -> None:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[phase]}"),
            TimeElapsedColumn(),
            console=self._stream.console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._shows_bars,
        ) as progress:
            bars = {
                process: progress.add_task(process.name, total=1.0, phase=process.phase)
                for process in self._workers
            }
            while not all(process.ready.is_set() for process in processes):
                for process, bar in bars.items():
                    progress.update(bar, completed=process.progress, phase=process.phase)
                await asyncio.sleep(0.1)

    @property
    def _shows_bars(self) -> bool:
        return self._stream.console.is_terminal and not self._stream.as_json

    def _write_phase(self, process: SupervisedProcess) -> None:
        """Where no bars can be drawn, each phase is a line."""
        if not self._shows_bars and process in self._workers:
            self._stream.write_sentence(f"{process.name}: {process.phase}")

    async def _first_answer(self, model: str, sample: dict[str, object]) -> str:
        try:
            async with GatewayClient(self._url) as gateway:
                prediction = await gateway.create_prediction(
                    model, sample, key=os.urandom(16).hex(), wait=60
                )
        except Failure as failure:
            return f"the first call failed: {failure.sentence}"
        if prediction.get("status") == "succeeded":
            return shorten(prediction.get("output"))
        return f"the first prediction is {prediction.get('status')}: {prediction.get('error')}"

    async def _keep_ledger(self) -> None:
        """Start the embedded ledger again when it ends: its data is on the disk.

        Raises:
            StartRefused: it cannot be started any more.
        """
        while True:
            await asyncio.sleep(LEDGER_POLL_SECONDS)
            if self._ledger and not self._ledger.alive:
                self._stream.write_sentence("the embedded ledger ended; it starts again", "yellow")
                self._ledger.kill()
                await asyncio.to_thread(self._ledger.start)
                for process in self._processes:
                    if process.pid is not None:
                        self._ledger.end_after(process.pid)
                self._stream.write_sentence("the embedded ledger answers again, with its data")

    async def _drain(self) -> None:
        """End the workers first, so that all they finish is still recorded and answered."""
        self._stream.write_sentence(
            "ending: the workers finish what they run (Ctrl-C again kills)", "dim"
        )
        for processes in (self._workers, [self._keeper], [self._gateway]):
            for process in processes:
                process.ask_to_end()
            await self._wait_for(processes)

    async def _wait_for(self, processes: Sequence[SupervisedProcess]) -> None:
        """Wait until these have ended; kill them after their grace, and all of them on a second signal."""
        ended = asyncio.gather(
            *(self._tasks[process] for process in processes), return_exceptions=True
        )
        killed = asyncio.ensure_future(self._kill.wait())
        waits: list[asyncio.Future[Any]] = [ended, killed]
        await asyncio.wait(waits, timeout=self._grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if not ended.done():
            for process in self._processes if self._kill.is_set() else processes:
                process.kill()
            await ended

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal drains, the second kills."""
        loop = asyncio.get_running_loop()

        def receive(number: int, frame: object) -> None:
            event = self._kill if self._stop.is_set() else self._stop
            loop.call_soon_threadsafe(event.set)

        names = ("SIGINT", "SIGTERM", "SIGHUP")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def curl_command(url: str, public_id: str, input: dict[str, Any]) -> str:
    """One prediction for a shell to ask for; it waits for the answer."""
    body = shlex.quote(json.dumps({"input": input}, ensure_ascii=False))
    return (
        f"curl {url}/v1/models/{public_id}/predictions "
        f"-H 'Content-Type: application/json' -H 'Prefer: wait' -d {body}"
    )
