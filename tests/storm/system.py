"""A whole Soloist of real processes with a proxy between every two, and a supervisor that starts again what ended."""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

from contract.errors import StartRefused
from contract.ledger.client import Ledger
from contract.settings import Settings
from local.processes import PROJECT, StartFailed, free_port
from local.rabbitmq import RabbitMQ
from local.redis import EmbeddedRedis
from local.server import Server
from tests.storm.faults import STOP, Fault, FaultEvent
from tests.storm.managed import ManagedProcess, ProcessExit
from tests.storm.proxy import LinkState, Network
from tests.support.programs import Program
from tests.support.waiting import until

MOST_ATTEMPTS = 3
SETTINGS = {
    "LEASE_SECONDS": 4,
    "RENEW_SECONDS": 0.5,
    "SWEEP_SECONDS": 0.5,
    "MAX_ATTEMPTS": MOST_ATTEMPTS,
    "GRACE_SECONDS": 5,
    "LOG_FORMAT": "json",
}
MODELS: dict[str, dict[str, Any]] = {
    "wide": {"max_batch_size": 4, "max_queue": 60},
    "narrow": {"max_batch_size": 1, "max_queue": 20},
}
WORKERS = {"worker-1": "wide", "worker-2": "wide", "worker-3": "narrow"}
START_SECONDS = 90.0
AGAIN_SECONDS = 0.3
"""How long after its end a process is started again."""


@dataclass
class System:
    """Ledger, broker, two gateways, keeper and workers. Used by the thread that made it.

    `kind` of broker is `redis`, `rabbitmq` or `shared`: the ledger's Redis. `source` holds the packages that are
    run, `env` is added to the environment of a process, by its name, `store` is the ledger if it is a special one.
    """

    folder: Path
    kind: str
    source: Path = PROJECT
    workers: dict[str, str] = field(default_factory=lambda: dict(WORKERS))
    gateways: int = 2
    env: dict[str, dict[str, str]] = field(default_factory=dict)
    store: Server | None = None
    network: Network = field(default_factory=Network)
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    fault_events: list[FaultEvent] = field(default_factory=list)
    exits: list[ProcessExit] = field(default_factory=list)
    killed: dict[int, float] = field(default_factory=dict)
    """When the processes that were killed, or killed themselves, ended: by process id."""

    @property
    def runs_file(self) -> Path:
        return self.folder / "runs.jsonl"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._starter = ThreadPoolExecutor(2, thread_name_prefix="starter")
        self._starting: dict[str, Future[None]] = {}
        self._stack = contextlib.ExitStack()
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.program:
                process.program.kill()
        for future in self._starting.values():
            with contextlib.suppress(Exception):
                future.result(60)
        for store in getattr(self, "stores", {}).values():
            store.resume()
            store.kill()
        self._stack.close()
        self._starter.shutdown()

    # Building.

    def _build(self) -> None:
        self._write_catalog()
        ledger = self.store or EmbeddedRedis(self.folder / "ledger")
        self.stores: dict[str, Server] = {"ledger": ledger}
        if self.kind != "shared":
            kind = {"redis": EmbeddedRedis, "rabbitmq": RabbitMQ}[self.kind]
            self.stores["broker"] = kind(self.folder / "broker")
        for name in self.stores:
            self._start_store(name)
        for future in self._starting.values():
            future.result(START_SECONDS)
        self._stack.enter_context(self.network)
        self.ledger = Ledger(Settings(redis_url=ledger.url))
        self._stack.callback(self.ledger.close)
        for number in range(1, self.gateways + 1):
            self._add(f"gateway-{number}", ["service", "gateway"], "PORT")
        self._add("keeper", ["service", "keeper"], "KEEPER_PORT")
        for name, model in self.workers.items():
            self._add(name, ["worker", "--model", model], "WORKER_PORT")
        self.tick()

    def _write_catalog(self) -> None:
        entry = {
            "python": "tests.storm.logged_model:LoggedModel",
            "device": "cpu",
            "timeout_seconds": 30,
            "options": {"runs": str(self.runs_file)},
        }
        models = {name: entry | more for name, more in MODELS.items()}
        (self.folder / "catalog.yaml").write_text(yaml.safe_dump({"models": models}))

    def _add(self, name: str, arguments: list[str], port_setting: str) -> None:
        """A process, with links of its own to ledger and broker, and for a gateway one from its clients."""
        port = free_port()
        ledger = self.stores["ledger"]
        broker = self.stores.get("broker", ledger)
        to_ledger = self.network.link(f"{name}-ledger", ledger.port)
        to_broker = self.network.link(f"{name}-broker", broker.port)
        if name.startswith("gateway"):
            self.network.link(f"client-{name}", port)
        amqp = f"amqp://guest:guest@127.0.0.1:{to_broker}//"
        settings = {
            **SETTINGS,
            "CATALOG": self.folder / "catalog.yaml",
            "REDIS_URL": f"redis://127.0.0.1:{to_ledger}/0",
            "BROKER_URL": amqp if self.kind == "rabbitmq" else f"redis://127.0.0.1:{to_broker}/0",
            port_setting: port,
            **({"WORKER_NAME": name} if name in self.workers else {}),
        }
        env = {f"SOLOIST_{key}": str(value) for key, value in settings.items()}
        more = self.env.get(name, {})
        path = ":".join(filter(None, (more.get("PYTHONPATH"), str(self.source), str(PROJECT))))
        env = {**env, **more, "PYTHONPATH": path}
        self.processes[name] = ManagedProcess(name, arguments, env, port)

    def client_ports(self) -> dict[str, int]:
        """The ports by gateway at which clients find it."""
        return {
            name.removeprefix("client-"): link.port
            for name, link in self.network.links.items()
            if name.startswith("client-")
        }

    def _start_store(self, name: str) -> None:
        """Start it in a thread, and go on meanwhile."""
        self._starting[name] = self._starter.submit(self.stores[name].start)

    # Supervising.

    def tick(self) -> None:
        """Start again what has ended, unless a fault keeps it down."""
        now = time.monotonic()
        for process in self.processes.values():
            if process.program is not None and not process.program.alive and not process.start_at:
                self._note_end(process, now)
            if not process.alive and not process.down and now >= process.start_at:
                process.program = Program(
                    process.name, process.arguments, self.folder, process.env, self.source
                )
                process.start_at, process.asked = 0.0, ""
        for name, store in self.stores.items():
            starting = self._starting.get(name)
            if starting is not None and starting.done():
                del self._starting[name]
                # It may end as it begins, on a full disk; then it is tried again.
                with contextlib.suppress(StartFailed, StartRefused):
                    starting.result()
            elif starting is None and not store.alive and name not in self._down:
                self._start_store(name)
            if name not in self._starting and store.alive:
                self._note_back(name)

    @property
    def _down(self) -> set[str]:
        """Stores that a fault keeps down."""
        return {s.fault.target for s in self.fault_events if not s.lifted and s.fault.kind != STOP}

    def _note_back(self, name: str) -> None:
        for event in self.fault_events:
            if event.fault.target == name and event.lifted and event.healed is None:
                event.healed = time.monotonic()

    def _note_end(self, process: ManagedProcess, now: float) -> None:
        assert process.program is not None
        process.start_at = now + AGAIN_SECONDS
        self.killed.setdefault(process.program.pid, now)
        self.exits.append(ProcessExit(process.name, process.program.code(1), now, process.asked))
        process.program.kill()  # what is left of it

    # Faults.

    def inject(self, fault: Fault) -> FaultEvent:
        """Begin a fault."""
        event = FaultEvent(fault, time.monotonic())
        self.fault_events.append(event)
        if fault.network:
            self.network.set_state(fault.target, LinkState(fault.kind))
        elif fault.target in self.stores:
            self._inject_into_store(fault)
        else:
            self._inject_into_process(self.processes[fault.target], fault.kind)
        return event

    def _inject_into_store(self, fault: Fault) -> None:
        store = self.stores[fault.target]
        if fault.target in self._starting:
            return  # it is down as it is
        match fault.kind:
            case "kill":
                store.kill()
            case "stop":
                store.pause()
            case "terminate":
                self._starting[fault.target] = self._starter.submit(store.stop)

    def _inject_into_process(self, process: ManagedProcess, kind: str) -> None:
        program = process.program
        if kind != STOP:
            process.down = True
        if program is None or not program.alive:
            return
        if kind != STOP:
            process.asked = kind
        match kind:
            case "kill":
                program.kill()
                self.killed.setdefault(program.pid, time.monotonic())
            case "stop":
                program.pause()
            case "terminate":
                program.ask_to_end()

    def heal(self, event: FaultEvent) -> None:
        """End a fault."""
        fault = event.fault
        if fault.network:
            self.network.set_state(fault.target, LinkState.CLEAR, reset=fault.reset)
        elif fault.target in self.stores:
            if fault.kind == STOP:
                self.stores[fault.target].resume()
        else:
            process = self.processes[fault.target]
            process.down = False
            if fault.kind == STOP and process.program:
                process.program.resume()
        event.lifted = True
        if fault.target not in self.stores or fault.kind == STOP:
            event.healed = time.monotonic()
        self.tick()

    def heal_all(self) -> None:
        """End all faults, and return when ledger and broker are there."""
        for event in self.fault_events:
            if not event.lifted:
                self.heal(event)

        def back() -> bool:
            self.tick()
            return not self._starting and all(store.alive for store in self.stores.values())

        until("ledger and broker are back", back, 2 * START_SECONDS)

    # Asking.

    def unready(self) -> list[str]:
        """The processes that are not ready."""
        return [process.name for process in self.processes.values() if not process.ready()]

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when all processes are ready; a failure that names those that are not."""

        def all_ready() -> bool:
            self.tick()
            return not self.unready()

        try:
            until("all are ready", all_ready, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.unready()}\n{self.tails()}") from None

    def sizes(self) -> dict[str, tuple[int, int]]:
        """(threads, connections) of each live process."""
        found = {}
        for process in self.processes.values():
            with contextlib.suppress(psutil.Error):
                if process.program and process.alive:
                    process = psutil.Process(process.program.pid)
                    open_ones = [
                        c for c in process.net_connections("tcp") if c.status == "ESTABLISHED"
                    ]
                    found[process.name] = (process.num_threads(), len(open_ones))
        return found

    def tails(self, size: int = 1500) -> str:
        """The last lines of every process."""
        parts = []
        for process in self.processes.values():
            if process.program:
                parts.append(f"--- {process.program.name}\n{process.program.tail(size)}")
        return "\n".join(parts)

    def targets(self) -> tuple[list[str], list[str], list[str]]:
        """The links, the processes and the stores that a schedule may hit."""
        return sorted(self.network.links), sorted(self.processes), sorted(self.stores)
