"""Which processes make up a Soloist on one machine, and with which settings each of them starts."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from contract.catalog import Catalog
from contract.gpus import VISIBLE, list_gpus
from contract.settings import Settings
from local.processes import StartFailed, can_listen, free_port

REQUIRED = {"fastapi": "gateway", "uvicorn": "gateway", "torch": "worker", "transformers": "worker"}


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What one process is started with: `python -m` its arguments, with `environment` and its port in `port_variable`."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    port_variable: str
    port: int = 0
    """0: a free one, chosen anew at each start."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The processes of one `soloist up`."""

    gateway: ProcessSpec
    keeper: ProcessSpec
    workers: list[ProcessSpec]
    on_cpu: list[str]
    """Names of workers that find no GPU left, on a machine that has some."""


def plan_topology(
    settings: Settings, catalog: Catalog, ledger_url: str | None, workers_per_model: int | None
) -> Topology:
    """The gateway, the keeper and the workers.

    Args:
        ledger_url: the embedded ledger; None where the settings name one.
        workers_per_model: None: one, and one more on each further GPU.

    Raises:
        StartFailed: a part is not installed, or a port is taken.
    """
    _check_installed()
    port = settings.port or free_port()
    if not can_listen(settings.host, port):
        raise StartFailed(f"port {port} is taken; choose another with --port")
    shared = _shared_environment(settings, port, ledger_url)
    gateway = ProcessSpec("gateway", ("service", "gateway"), shared, "SOLOIST_PORT", port)
    keeper = ProcessSpec(
        "keeper", ("service", "keeper"), shared, "SOLOIST_KEEPER_PORT", _keeper_port(settings)
    )
    gpus = len(list_gpus())
    counts = worker_counts(catalog, gpus, workers_per_model)
    without_gpu = workers_without_gpu(catalog, gpus, counts)
    workers = [
        _worker_spec(model, name, shared, cpu=n > count - without_gpu[model])
        for model, count in counts.items()
        for n in range(1, count + 1)
        for name in [model if count == 1 else f"{model}-{n}"]
    ]
    on_cpu = [w.name for w in workers if gpus and w.environment.get(VISIBLE) == ""]
    return Topology(gateway, keeper, workers, on_cpu)


def _shared_environment(settings: Settings, port: int, ledger_url: str | None) -> Mapping[str, str]:
    """What all processes start with."""
    return {
        **os.environ,
        "SOLOIST_CATALOG": str(settings.catalog.resolve()),
        "SOLOIST_PORT": str(port),
        "SOLOIST_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
        **({"SOLOIST_REDIS_URL": ledger_url} if ledger_url else {}),
    }


def _keeper_port(settings: Settings) -> int:
    """The port that is set, or any (0) where its default is taken."""
    port = settings.keeper_port
    if not port or can_listen(settings.host, port):
        return port
    if "keeper_port" in settings.model_fields_set:
        raise StartFailed(f"the keeper's port {port} is taken; set SOLOIST_KEEPER_PORT to another")
    return 0


def _worker_spec(model: str, name: str, shared: Mapping[str, str], *, cpu: bool) -> ProcessSpec:
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    environment = {**shared, "SOLOIST_WORKER_NAME": f"{host}-{name}-{os.getpid()}"}
    if cpu:
        environment[VISIBLE] = ""
    return ProcessSpec(name, ("worker", "--model", model), environment, "SOLOIST_WORKER_PORT")


def workers_without_gpu(catalog: Catalog, gpus: int, counts: Mapping[str, int]) -> dict[str, int]:
    """How many workers of each model must do without a GPU because others hold them all.

    Models with `device: cuda` come first. All are 0 on a machine without a GPU.
    """
    left = gpus
    found = dict.fromkeys(catalog, 0)
    for device in ("cuda", "auto"):
        for name, spec in catalog.items():
            if spec.device == device:
                served = min(left, counts[name])
                left -= served
                if gpus and device == "auto":
                    found[name] = counts[name] - served
    return found


def worker_counts(catalog: Catalog, gpus: int, per_model: int | None) -> dict[str, int]:
    """How many workers each model gets: GPUs beyond one a model go to the models in turn."""
    counts = dict.fromkeys(catalog, per_model or 1)
    takers = [name for name, spec in catalog.items() if spec.device != "cpu"]
    if per_model is None and takers:
        for spare in range(max(0, gpus - len(takers))):
            counts[takers[spare % len(takers)]] += 1
    return counts


def _check_installed() -> None:
    missing = sorted({extra for package, extra in REQUIRED.items() if find_spec(package) is None})
    if missing:
        extras = ",".join(missing)
        raise StartFailed(
            f"parts are missing on this machine; run: pip install 'soloist[{extras}]'"
        )
