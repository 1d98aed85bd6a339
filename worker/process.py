"""The life of a worker process: device, model, Celery, end."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from celery.app.trace import setup_worker_optimizations

from contract import __version__
from contract.broker import create_app, model_queue
from contract.catalog import ModelSpec, load_catalog
from contract.errors import EXIT_REFUSED, StartRefused
from contract.hosts import Hosts
from contract.settings import Settings, load_settings
from contract.telemetry.logs import set_up_logging, start_facts
from worker import drain, metrics, start_log
from worker.device import Device, choose_device
from worker.fingerprint import compute_fingerprint
from worker.gpu import watch_gpu
from worker.health import Health, serve_health
from worker.heartbeat import Heartbeat
from worker.pools import choose_loading
from worker.task import Predict

logger = logging.getLogger(__name__)

MOST_LOAD_SECONDS = 86400.0


def serve_model(model: str, pool: str, concurrency: int) -> int:
    """Serve one model until SIGTERM; the process's exit code.

    Raises:
        StartRefused: settings, catalog, device, ledger or model do not allow it.
    """
    settings, spec = _load_configuration(model)
    device = choose_device(spec.device)
    version = spec.version(compute_fingerprint(spec))
    health = Health(facts={"model": spec.name, "device": device.name or device.torch_name})
    _export_metrics(spec, version, device, health)
    http = serve_health(health, settings.host, settings.worker_port, Hosts(settings))
    facts = {
        **health.facts,
        "model_version": version,
        "port": http.server_port,
        "pool": pool,
        **start_facts(settings),
    }
    logger.info("starting", extra=facts)

    app = _create_app(settings, spec, health)
    heartbeat = Heartbeat(settings, spec.name, version, device, health)
    task = Predict(settings, spec, version, device.torch_name, health)
    app.register_task(task)

    def ready() -> None:
        heartbeat.loaded = start_log.log_start(spec, version, device, task.model)
        health.enter_phase("ready")

    loading = choose_loading(pool, concurrency, settings, task, heartbeat, health, ready)
    loading.load()
    health.enter_phase("connecting")

    controller = _create_controller(app, settings, spec, pool, concurrency, loading.on_connected)
    loading.before_first_message()
    controller.start()
    code = loading.end(controller.exitcode)
    if code != EXIT_REFUSED:
        logger.info("ended")
    return code


def fetch_to_cache(model: str) -> int:
    """Download the model into the local cache, for workers that load it from there; the exit code.

    Raises:
        StartRefused: settings, catalog, model or hub do not allow it.
    """
    # Nothing waits for an end in good order, and the next fetch sweeps up after this one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    _, spec = _load_configuration(model)
    from worker.models.files import fetching

    fetching.fetch_model(spec)
    return 0


def _load_configuration(model: str) -> tuple[Settings, ModelSpec]:
    settings = load_settings()
    set_up_logging(settings)
    catalog = load_catalog(settings.catalog)
    if model not in catalog:
        raise StartRefused(f"the catalog has no model {model!r}; it has {', '.join(catalog)}")
    return settings, catalog[model]


def _export_metrics(spec: ModelSpec, version: str, device: Device, health: Health) -> None:
    metrics.INFO.labels(
        model=spec.name,
        revision=spec.revision or "",
        model_version=version,
        device=device.torch_name,
        gpu_uuid=device.uuid,
        gpu_name=device.name,
        dtype=spec.dtype,
        version=__version__,
    ).set(1)
    metrics.export_state(lambda: health.state)
    metrics.DRAINING.set_function(drain.draining)
    metrics.DRAIN_SECONDS.set_function(drain.drain_seconds)
    if device.uuid:
        watch_gpu(device.uuid)
    if device.torch_name == "cpu" and spec.device == "auto":
        logger.info("no GPU is visible: this model runs on the CPU", extra={"model": spec.name})


def _create_app(settings: Settings, spec: ModelSpec, health: Health) -> Any:
    """Celery as a worker uses it."""
    app = create_app(settings)
    app.whereabouts, app.health = settings.whereabouts("broker"), health
    app.set_current()
    app.conf.update(
        worker_consumer="worker.consumer:SoloConsumer",
        worker_enable_prefetch_count_reduction=False,
        worker_disable_rate_limits=True,
        # Prefork kills a replaced child that is not up by then, and its children load the model.
        worker_proc_alive_timeout=MOST_LOAD_SECONDS,
        task_queues=[model_queue(spec.name)],
    )
    return app


def _create_controller(
    app: Any,
    settings: Settings,
    spec: ModelSpec,
    pool: str,
    concurrency: int,
    on_connected: Callable[[], None],
) -> Any:
    hostname = f"{spec.name}@{settings.worker_name}"
    setup_worker_optimizations(app, hostname)
    return app.WorkController(
        hostname=hostname,
        pool=pool,
        # Celery sizes its prefetch by the concurrency, which it takes from the CPU count if not told.
        concurrency=concurrency,
        loglevel=logging.getLevelName(settings.log_level.upper()),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        ready_callback=lambda consumer: on_connected(),
    )
