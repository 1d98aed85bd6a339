"""The life of a worker process: device, model, Celery, end."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import Value
from threading import Thread
from typing import Any

from celery.app.trace import setup_worker_optimizations
from celery.signals import setup_logging, worker_process_init

from contract import __version__
from contract.broker import create_app, model_queue
from contract.catalog import ModelSpec, load_catalog
from contract.errors import EXIT_REFUSED, StartRefused
from contract.hosts import Hosts
from contract.settings import Settings, load_settings
from contract.telemetry.logs import set_up_logging, start_facts
from worker import drain, metrics, start_failure, start_log
from worker.device import Device, choose_device
from worker.fingerprint import compute_fingerprint
from worker.gpu import watch_gpu
from worker.health import Health, serve_health
from worker.heartbeat import Heartbeat
from worker.task import Predict

logger = logging.getLogger(__name__)

MOST_LOAD_SECONDS = 86400.0


def serve_model(model: str, pool: str, concurrency: int) -> int:
    """Serve one model until SIGTERM; the process's exit code.

    Raises:
        StartRefused: settings, catalog, device, ledger or model do not allow it.
    """
    settings, spec = _begin(model)
    device = choose_device(spec.device)
    version = spec.version(compute_fingerprint(spec))
    _tell(spec, version, device)
    health = Health(facts={"model": spec.name, "device": device.name or device.torch_name})
    _show(health, device)
    http = serve_health(health, settings.host, settings.worker_port, Hosts(settings))
    facts = {
        **health.facts,
        "model_version": version,
        "port": http.server_port,
        "pool": pool,
        **start_facts(settings),
    }
    logger.info("starting", extra=facts)

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
    heartbeat = Heartbeat(settings, spec.name, version, device, health)
    task = Predict(settings, spec, version, device.torch_name, health)
    app.register_task(task)

    def ready() -> None:
        heartbeat.loaded = start_log.log_start(spec, version, device, task.model)
        health.enter_phase("ready")

    if pool == "prefork":
        loaded = _load_in_children(
            task, heartbeat, ready, settings.worker_name, health, concurrency
        )
    else:
        drain.end_by_exception()
        with heartbeat.starting(settings.worker_name):
            task.load()
        drain.finish_batch_first(settings.grace_seconds, task.hand_all_back, heartbeat.beat_now)
    health.enter_phase("connecting")

    hostname = f"{spec.name}@{settings.worker_name}"
    setup_worker_optimizations(app, hostname)
    controller = app.WorkController(
        hostname=hostname,
        pool=pool,
        # Celery sizes its prefetch by the concurrency, which it takes from the CPU count if not told.
        concurrency=concurrency,
        loglevel=logging.getLevelName(settings.log_level.upper()),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        ready_callback=lambda consumer: None if pool == "prefork" else _connected(health, ready),
    )
    if pool == "prefork":
        drain.finish_batch_first(
            settings.grace_seconds,
            lambda: os._exit(EXIT_REFUSED if loaded.value < 0 else 0),
            # Celery would wait for children that wait for their model or for the ledger, and have no batch.
            lambda: None if loaded.value else os._exit(0),
        )
    controller.start()
    if pool == "prefork" and loaded.value < 0:
        return EXIT_REFUSED
    if pool != "prefork":
        task.close()
    logger.info("ended")
    return int(controller.exitcode or 0)


def fetch_to_cache(model: str) -> int:
    """Download the model into the local cache, for workers that load it from there; the exit code.

    Raises:
        StartRefused: settings, catalog, model or hub do not allow it.
    """
    # Nothing waits for an end in good order, and the next fetch sweeps up after this one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    _, spec = _begin(model)
    from worker.models.files import fetching

    fetching.fetch_model(spec)
    return 0


def _begin(model: str) -> tuple[Settings, ModelSpec]:
    settings = load_settings()
    set_up_logging(settings)
    catalog = load_catalog(settings.catalog)
    if model not in catalog:
        raise StartRefused(f"the catalog has no model {model!r}; it has {', '.join(catalog)}")
    return settings, catalog[model]


def _tell(spec: ModelSpec, version: str, device: Device) -> None:
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
    if device.torch_name == "cpu" and spec.device == "auto":
        logger.info("no GPU is visible: this model runs on the CPU", extra={"model": spec.name})


def _show(health: Health, device: Device) -> None:
    metrics.export_state(lambda: health.state)
    metrics.DRAINING.set_function(drain.draining)
    metrics.DRAIN_SECONDS.set_function(drain.drain_seconds)
    if device.uuid:
        watch_gpu(device.uuid)


def _connected(health: Health, ready: Callable[[], None]) -> None:
    start_log.note_seconds("connect", time.monotonic() - health.since)
    ready()


def _load_in_children(
    task: Predict,
    heartbeat: Heartbeat,
    ready: Callable[[], None],
    worker: str,
    health: Health,
    concurrency: int,
) -> Any:
    """Load in every child after the fork: a torch that was used before a fork hangs after it."""
    import billiard.pool
    import billiard.util

    loaded = Value("i", 0)
    # At its end a child may wait for 30 s until its parent has read a result that nobody needs.
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
    # What it says of a child goes to our log, as a line of JSON like all others.
    billiard.util.get_logger().propagate = True
    # As long as nobody listens, Celery sets up logging of its own in the children, and drops our lines.
    setup_logging.connect(lambda **_: None, weak=False)

    @worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
    def load(**kwargs: Any) -> None:
        try:
            name = f"{worker}-{os.getpid()}"
            task.set_worker_name(name)
            heartbeat.start(name)
            task.load()
            ready()  # this child's own; the parent's waits for all
        except BaseException as error:
            # Celery would swallow it, and this child would live on without a model.
            heartbeat.stop(records_failure=isinstance(error, StartRefused))
            if isinstance(error, StartRefused):
                start_failure.record_start_failure(health.facts["model"], error, name)
            with loaded.get_lock():
                first, loaded.value = loaded.value >= 0, -(2**30)
            if first:
                print(f"soloist worker: {error}", file=sys.stderr, flush=True)
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(EXIT_REFUSED)
        with loaded.get_lock():
            loaded.value += 1

    def watch() -> None:
        while 0 <= loaded.value < concurrency:
            time.sleep(0.1)
        if loaded.value > 0:
            health.enter_phase("ready")

    Thread(target=watch, name="children", daemon=True).start()
    return loaded
