"""One Soloist of real processes on free ports of the loopback, with data of its own."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import amqp
import httpx
import redis
import yaml

from contract.broker import create_app, queue_name
from contract.ledger.client import Ledger
from contract.ledger.transitions import Transition, read_dead_list, read_predictions, read_stream
from contract.prediction import Prediction, Status
from contract.settings import Settings
from local.processes import free_port
from local.rabbitmq import RabbitMQ
from local.redis import EmbeddedRedis
from local.server import Server
from tests.support.programs import START_SECONDS, Program, Worker
from tests.support.waiting import until

T = TypeVar("T")

BATCH = 16
LIMIT_SECONDS = 2.0
"""The hard limit of the model `brief`."""
FAST = {"LEASE_SECONDS": "3", "RENEW_SECONDS": "0.5", "SWEEP_SECONDS": "0.3"}

MODELS: dict[str, dict[str, Any]] = {
    "echo": {"max_batch_size": BATCH, "timeout_seconds": 60},
    "single": {"max_batch_size": 1, "timeout_seconds": 60},
    "brief": {"max_batch_size": BATCH, "timeout_seconds": LIMIT_SECONDS},
    "limited": {"max_batch_size": BATCH, "timeout_seconds": 4},
    "small": {"max_batch_size": BATCH, "options": {"fits": 4}},
    "terse": {"max_batch_size": BATCH, "max_output_bytes": 1000},
    "unloadable": {"options": {"load": "fail"}},
    "broken": {"options": {"load": "when mended"}},
    "loading": {"options": {"load": "hang"}},
    "missing": {"python": "tests.e2e.models:Nobody"},
}


class Stack:
    """Ledger, broker, gateway and keeper; workers as a test wants them.

    `shared` is one Redis for both ledger and broker, `redis` has a second one as its broker. `program` is
    another `redis-server` than the product's own.
    """

    live: ClassVar[list["Stack"]] = []

    def __init__(
        self,
        folder: Path,
        broker: str,
        rabbitmq: RabbitMQ | None = None,
        program: Path | None = None,
    ) -> None:
        self.folder = folder
        self.kind = broker
        self.store = EmbeddedRedis(folder / "ledger", program=program)
        self.broker: Server = {
            "shared": lambda: self.store,
            "redis": lambda: EmbeddedRedis(folder / "broker", program=program),
            "rabbitmq": lambda: rabbitmq,
        }[broker]()
        self.port, self.keeper_port = free_port(), free_port()
        self.runs_file = folder / "runs"
        self.env = {
            "SOLOIST_CATALOG": str(folder / "catalog.yaml"),
            "SOLOIST_REDIS_URL": self.store.url,
            "SOLOIST_BROKER_URL": self.broker.url,
            "SOLOIST_PORT": str(self.port),
            "SOLOIST_KEEPER_PORT": str(self.keeper_port),
            **{f"SOLOIST_{name}": value for name, value in FAST.items()},
        }
        self.programs: list[Program] = []
        self.gateway: Program | None = None
        self.keeper: Program | None = None
        self._gates = 0
        self._workers = 0

    # Start and end.

    def __enter__(self) -> Self:
        Stack.live.append(self)
        self._write_catalog()
        try:
            self.store.start()
            self.broker.start()
            self.ledger = Ledger(Settings(redis_url=self.store.url))
            self.http = httpx.Client(
                base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False
            )
            self.heal()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for program in self.programs:
            program.kill()
        if hasattr(self, "ledger"):
            self.ledger.close()
        if hasattr(self, "http"):
            self.http.close()
        self.store.kill()
        if self.kind == "redis":
            self.broker.kill()
        Stack.live.remove(self)

    def _write_catalog(self) -> None:
        models = {}
        for name, entry in MODELS.items():
            options = {"runs": str(self.runs_file), **entry.get("options", {})}
            python = "tests.e2e.models:Echo"
            models[name] = {"python": python, "device": "cpu", **entry, "options": options}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "catalog.yaml").write_text(yaml.safe_dump({"models": models}))

    def heal(self) -> None:
        """Whatever a test did: everything but the workers runs."""
        for part in (self.store, self.broker):
            part.resume()
            part.start()
        for name in ("gateway", "keeper"):
            program = getattr(self, name)
            if program is None or not program.alive:
                setattr(self, name, self.serve(name))
            else:
                program.resume()
        until("gateway and keeper are ready", self.ready, START_SECONDS)

    def clear(self) -> None:
        """As new: no workers, no predictions, no messages."""
        for program in self.programs:
            if program not in (self.gateway, self.keeper):
                program.kill()
        self.heal()
        self.programs = [p for p in self.programs if p.alive]
        self.store_client(lambda client: client.flushall())
        if isinstance(self.broker, RabbitMQ):
            with self.amqp() as channel:
                for model in MODELS:
                    channel.queue_declare(queue_name(model), durable=True, auto_delete=False)
                    channel.queue_purge(queue_name(model))
        elif self.kind == "redis":
            with redis.Redis.from_url(self.broker.url) as client:
                client.flushall()
        self.runs_file.unlink(missing_ok=True)

    def serve(self, name: str, **settings: object) -> Program:
        """Start a gateway or a keeper."""
        program = Program(name, ["service", name], self.folder, self._env(settings))
        self.programs.append(program)
        return program

    def worker(self, model: str = "echo", *more: str, **settings: object) -> Worker:
        """Start a worker; `settings` are named as in the environment, without the prefix."""
        self._workers += 1
        called = f"worker-{self._workers}"
        worker = Worker(
            called, model, self.folder, self._env({"WORKER_NAME": called, **settings}), *more
        )
        self.programs.append(worker)
        return worker

    def _env(self, settings: dict[str, object]) -> dict[str, str]:
        return self.env | {f"SOLOIST_{name}": str(value) for name, value in settings.items()}

    def ready(self) -> bool:
        ports = (self.port, self.keeper_port)
        with contextlib.suppress(httpx.HTTPError):
            return all(
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success
                for port in ports
            )
        return False

    # What a client does.

    def post(
        self, do: str = "echo", model: str = "echo", *, headers: Any = None, **more: Any
    ) -> httpx.Response:
        """POST a prediction whose input is `{"do": do, **more}`."""
        body = {"input": {"do": do, **more}}
        return self.http.post(f"/v1/models/local/{model}/predictions", json=body, headers=headers)

    def submit(self, do: str = "echo", model: str = "echo", **more: Any) -> str:
        """The id of a prediction that was accepted."""
        answer = self.post(do, model, **more)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def get(self, id: str) -> httpx.Response:
        return self.http.get(f"/v1/predictions/{id}")

    def gate(self) -> Path:
        """A file that is not there yet; `touch` it to let go what waits for it."""
        self._gates += 1
        return self.folder / f"gate-{self._gates}"

    # What the ledger, the broker and the models know.

    def ask(self, transition: Transition[T]) -> T:
        return self.ledger.run(transition)

    def store_client(self, act: Callable[[redis.Redis], T]) -> T:
        with redis.Redis.from_url(self.store.url, socket_timeout=5) as client:
            return act(client)

    def records(self, ids: Iterable[str]) -> list[Prediction]:
        views = self.ask(read_predictions([(id, -1) for id in ids]))
        assert all(views), "a record is gone"
        return [view.prediction for view in views if view]

    def streamed(self, id: str) -> str:
        """The text of its stream, as the ledger has it."""
        found = self.ask(read_stream(id, "local", 0))
        assert found is not None
        return "".join(text for kind, text in found.events if kind == "output")

    def record(self, id: str) -> Prediction:
        return self.records([id])[0]

    def finished(self, ids: Iterable[str], seconds: float = 20.0) -> list[Prediction]:
        """The records of these predictions, once all of them are over."""
        ids = list(ids)

        def over() -> bool:
            return all(p.status.terminal for p in self.records(ids))

        try:
            until("all are over", over, seconds)
        except AssertionError as error:
            open_ones = [p for p in self.records(ids) if not p.status.terminal]
            raise AssertionError(f"{error}; still open: {open_ones[:5]}") from None
        return self.records(ids)

    def succeeded(self, ids: Iterable[str], seconds: float = 20.0) -> list[Prediction]:
        """As `finished`, and each with an output."""
        records = self.finished(ids, seconds)
        assert {(p.status, p.error) for p in records} == {(Status.SUCCEEDED, None)}
        return records

    def dead(self, model: str = "echo") -> list[str]:
        return [p.id for p in self.ask(read_dead_list(model))]

    def runs(self) -> "Counter[str]":
        """How often the model was asked for each prediction."""
        return Counter(line[0] for line in self.run_lines())

    def running_seconds(self, id: str) -> float:
        """Since the model was asked, by the ledger's clock."""
        seconds, microseconds = self.store_client(lambda client: client.time())
        return seconds + microseconds / 1e6 - (self.record(id).started_at or 0)

    def run_lines(self) -> list[tuple[str, int, int]]:
        """(prediction id, process id, batch size) of each run, in order."""
        if not self.runs_file.exists():
            return []
        rows = (line.split() for line in self.runs_file.read_text().splitlines())
        return [(id, int(pid), int(size)) for id, pid, size in rows]

    def running(self, ids: Iterable[str] | str, seconds: float = 20.0) -> None:
        """Return when the model was asked for all of these."""
        wanted = {ids} if isinstance(ids, str) else set(ids)
        until("the model runs", lambda: wanted <= set(self.runs()), seconds)

    @contextlib.contextmanager
    def amqp(self):
        """A channel of RabbitMQ."""
        with amqp.Connection(f"127.0.0.1:{self.broker.port}") as connection:
            yield connection.channel()

    def _redis_queue(self, model: str) -> str:
        return f"{self.ledger.prefix}broker:{queue_name(model)}"

    def drop_message(self, model: str) -> bool:
        """Lose the next message that waits in the broker; False if none does."""
        if isinstance(self.broker, RabbitMQ):
            with self.amqp() as channel:
                return channel.basic_get(queue_name(model), no_ack=True) is not None
        with redis.Redis.from_url(self.broker.url) as client:
            return client.rpop(self._redis_queue(model)) is not None

    def put_message(self, model: str, body: bytes) -> None:
        """Put a message of somebody else into a model's queue."""
        settings = Settings(redis_url=self.store.url, broker_url=self.broker.url)
        with create_app(settings).connection_for_write() as connection:
            connection.Producer().publish(
                body,
                exchange="",
                routing_key=queue_name(model),
                content_type="application/json",
                content_encoding="utf-8",
            )

    def tails(self) -> list[tuple[str, str]]:
        """(name, last lines) of every process, for a failed test."""
        return [(p.name, p.tail(6000)) for p in self.programs if p.log.exists()]
