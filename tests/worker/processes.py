"""Workers of real processes on the session's Redis, without gateway and keeper."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import yaml

from contract.broker import Notifier
from contract.ledger.client import Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import create, read_predictions
from contract.prediction import Prediction, Status, new_id
from contract.settings import Settings
from local.processes import free_port
from tests.e2e.stack import Program, Worker
from tests.support.waiting import until


class WorkerProcess(Worker):
    """A worker of the model `m`."""

    def __init__(self, program: str, folder: Path, env: dict[str, str], *more: str) -> None:
        self.called, self.port = "w1", free_port()
        env = {"SOLOIST_WORKER_PORT": str(self.port), **env}
        Program.__init__(self, "w1", [program, "--model", "m", *more], folder, env)

    def page(self, path: str) -> str:
        """What it answers on its port for probes."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, trust_env=False).text

    def kill_alone(self) -> None:
        """SIGKILL to it and not to its children."""
        self._child.kill()
        self._child.wait(10)


class WorkerProcesses:
    """A ledger and a notifier of a test's own, and the workers that it starts."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.loads = folder / "loads"
        self.ledger = Ledger(settings)
        self._notifier = Notifier(settings)
        self._settings = settings
        self._workers: list[WorkerProcess] = []

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._notifier.close()
        self.ledger.close()

    def worker(
        self,
        model: str,
        *more: str,
        options: dict[str, Any] | None = None,
        entry: dict[str, Any] | None = None,
        program: str = "worker",
        **settings: object,
    ) -> "WorkerProcess":
        """Start a worker of `tests.worker.process_models:<model>`, in batches of one; `entry` is more of its entry."""
        entry = {
            "python": f"tests.worker.process_models:{model}",
            "device": "cpu",
            "max_batch_size": 1,
            "options": {"loads": str(self.loads), **(options or {})},
            **(entry or {}),
        }
        catalog = self.folder / "catalog.yaml"
        catalog.write_text(yaml.safe_dump({"models": {"m": entry}}))
        told = {
            "CATALOG": catalog,
            "REDIS_URL": self._settings.ledger,
            "BROKER_URL": self._settings.broker,
            "PREFIX": self._settings.prefix,
            "WORKER_NAME": "w1",
            **settings,
        }
        env = {f"SOLOIST_{name}": str(value) for name, value in told.items()}
        worker = WorkerProcess(program, self.folder, env, *more)
        self._workers.append(worker)
        return worker

    def submit(self, **given: Any) -> str:
        """Accept a prediction and wake a worker; its id."""
        prediction = Prediction(id=new_id(), model="m", input=json.dumps(given))
        creation = self.ledger.run(create([NewPrediction(prediction, 1000, 1)]))
        self._notifier.send_wakeups("m", creation.wakeups.get("m", []))
        return prediction.id

    def answers(self, ids: Iterable[str], seconds: float = 40.0) -> list[Any]:
        """Their outputs, once all have succeeded."""
        ids = list(ids)

        def over() -> list[Prediction]:
            views = self.ledger.run(read_predictions([(id, -1) for id in ids]))
            records = [view.prediction for view in views if view]
            return records if all(p.status.terminal for p in records) else []

        records = until("all are over", over, seconds)
        assert {(p.status, p.error) for p in records} == {(Status.SUCCEEDED, None)}
        return [json.loads(p.output or "") for p in records]

    def loaded_by(self) -> list[int]:
        """The process of each load."""
        return [int(line) for line in self.loads.read_text().split()] if self.loads.exists() else []

    def members(self, kind: str) -> list[str]:
        """Who is in a sorted set of the model."""
        return [m.decode() for m in self.ledger.redis.zrange(self.ledger.key(kind, "m"), 0, -1)]


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def imports(pid: int, library: str) -> bool:
    """Whether a process has a library's native code loaded."""
    return library in Path(f"/proc/{pid}/maps").read_text()
