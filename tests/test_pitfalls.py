"""The traps of Celery's solo pool on GPUs and of KEDA that we know of, and where each is proven to be none here.

Celery's were reproduced with Celery 5.7, kombu 5.7, py-amqp 5.4 and redis-py 8.1 without the remedy.
"""

import ast
import asyncio
import re
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from contract.broker import create_app
from contract.ledger.client import CONNECTIONS, AsyncLedger, Ledger
from contract.ledger.keys import PER_MODEL
from contract.ledger.transitions import read_models
from contract.settings import Settings

ROOT = Path(__file__).parents[1]

MESSAGES = "e2e/test_messages.py::"
ACK = "e2e/test_acknowledging.py::"
KILLED = "e2e/test_worker_killed.py::"
ENDED = "e2e/test_worker_ended.py::"
BAD = "e2e/test_bad_runs.py::"
BROKER = "contract/test_broker.py::"
BATCH = "worker/test_batch.py::"
CONSUMER = "worker/test_consumer.py::"
COMMAND = "worker/test_command_line.py::"
DRAIN = "worker/test_drain.py::"
LEASES = "worker/test_leases.py::"
POOLS = "worker/test_pools.py::"
WORKER_PROCESS = "worker/test_worker_process.py::"
TORCH_ERRORS = "worker/models/test_torch_errors.py::"
KEDA = "charts/test_chart_keda.py::"
LIVE = "charts/test_chart_live.py::"
HERE = "test_pitfalls.py::"

PITFALLS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "solo on RabbitMQ parks the acknowledgement in its loop: seconds between two messages",
        (
            ACK + "test_messages_one_by_one_are_taken_without_a_stall",
            ACK + "test_a_backlog_of_messages_is_taken_without_a_stall",
        ),
    ),
    2: (
        "solo sends no AMQP heartbeats while it computes, and runs a long batch for ever",
        (
            MESSAGES + "test_a_batch_longer_than_the_heartbeat_runs_once_on_one_connection",
            CONSUMER + "test_heartbeats_go_out_while_the_main_thread_computes",
        ),
    ),
    3: (
        "an early acknowledgement is not early in solo",
        (
            ACK + "test_a_message_is_acknowledged_before_its_batch_is_done",
            CONSUMER + "test_a_message_is_acknowledged_before_its_batch_computes",
        ),
    ),
    4: (
        "a worker killed between two commands to Redis loses the message",
        (
            KILLED + "test_killing_idle_workers_loses_nothing",
            KILLED + "test_an_idle_worker_frozen_and_then_killed_loses_nothing",
        ),
    ),
    5: (
        "Redis gives a lost worker's message back after an hour",
        (KILLED + "test_with_the_default_lease_another_worker_has_them_within_30_seconds",),
    ),
    6: (
        "RabbitMQ's consumer_timeout closes the channel of a long task",
        (
            ACK + "test_a_message_is_acknowledged_before_its_batch_is_done",
            HERE + "test_a_channel_that_rabbitmq_closes_is_opened_again",
        ),
    ),
    7: (
        "REMAP_SIGTERM and the soft shutdown fail the running task and acknowledge it",
        (
            WORKER_PROCESS + "test_what_celery_would_make_of_sigterm_changes_nothing",
            HERE + "test_celerys_soft_shutdown_is_off",
        ),
    ),
    8: (
        "SIGTERM runs every prefetched message first",
        (ENDED + "test_sigterm_lets_a_worker_finish_its_batch_and_take_no_more",),
    ),
    9: (
        "solo sizes its prefetch by the cores",
        (
            WORKER_PROCESS + "test_what_a_worker_takes_does_not_depend_on_the_cores",
            ACK + "test_a_busy_worker_holds_no_message_that_another_could_answer",
        ),
    ),
    10: (
        "a task that kills its process loops for ever",
        (KILLED + "test_a_poison_stops_after_three_workers_and_its_batch_mates_succeed",),
    ),
    11: (
        "MemoryError or sys.exit in a task kills the worker, again and again",
        (
            BATCH + "test_what_would_end_the_process_is_an_error_of_its_item",
            BAD + "test_one_bad_item_of_a_batch_fails_alone",
        ),
    ),
    12: (
        "ETA, countdown and retry lose messages on Redis and block a worker on RabbitMQ",
        (HERE + "test_no_message_waits_for_its_time_in_a_worker",),
    ),
    13: (
        "a result backend that is away makes a worker run its task in a hot loop",
        (
            BROKER + "test_the_app_takes_json_only_and_keeps_no_results",
            "e2e/test_ledger_away.py::test_a_worker_keeps_its_result_until_the_ledger_is_back",
        ),
    ),
    14: (
        "publishing to a frozen broker blocks for ever",
        (
            BROKER + "test_who_sends_wakeups_does_not_wait_for_a_frozen_broker",
            BROKER + "test_who_sends_wakeups_does_not_wait_for_a_frozen_rabbitmq",
        ),
    ),
    15: (
        "RabbitMQ drops what is published to a deleted queue, in spite of confirms",
        (
            BROKER + "test_a_queue_that_was_deleted_in_rabbitmq_is_declared_again",
            "e2e/test_broker_away.py::test_a_deleted_queue_is_declared_again",
        ),
    ),
    16: (
        "a result backend in Redis subscribes a channel for each result",
        (BROKER + "test_the_app_takes_json_only_and_keeps_no_results",),
    ),
    17: (
        "ping, revoke and time limits do nothing while solo computes",
        (
            WORKER_PROCESS + "test_probes_answer_while_a_batch_computes",
            LEASES + "test_a_cancel_reaches_a_running_item_through_the_ledger",
            BAD + "test_a_hang_ends_as_timeout_and_another_worker_serves_on",
        ),
    ),
    18: (
        "what a signal handler raises is swallowed: a worker lives on without a model",
        (
            COMMAND + "test_a_class_that_cannot_be_made_or_loaded_is_refused",
            POOLS + "test_a_prefork_child_that_cannot_load_ends_the_whole_worker_with_78",
        ),
    ),
    19: (
        "Celery says ready, or takes messages, before the model is loaded",
        (
            WORKER_PROCESS + "test_the_model_is_loaded_before_the_broker_is_asked_for_anything",
            COMMAND + "test_a_broker_that_is_away_does_not_hide_a_model_that_cannot_load",
            POOLS + "test_prefork_is_ready_only_when_every_child_has_loaded",
        ),
    ),
    20: (
        "torch that was used before a fork hangs after it",
        (POOLS + "test_prefork_children_load_after_the_fork_and_torch_does_not_hang",),
    ),
    21: (
        "SIGTERM during the start is lost",
        (
            ENDED + "test_sigterm_before_the_model_is_loaded_ends_a_worker_at_once",
            DRAIN + "test_listening_is_the_first_thing_that_the_command_does",
        ),
    ),
    22: (
        "redis-py waits 5 s by default, and raises on one connection too many",
        (
            HERE + "test_every_wait_for_redis_has_a_limit_of_ours",
            HERE + "test_more_callers_than_connections_wait_for_their_turn",
            HERE + "test_more_coroutines_than_connections_wait_for_their_turn",
        ),
    ),
    23: (
        "NaN is written as NaN, which is no JSON; numpy and torch values do not encode",
        (
            "worker/models/test_output_json.py::test_nan_and_infinity_never_become_null",
            "worker/models/test_output_json.py::test_outputs_become_json",
            BAD + "test_an_output_with_nan_never_reaches_a_client",
        ),
    ),
    24: (
        "models share kombu's hash of unacknowledged messages; priorities become further keys",
        (HERE + "test_nobody_counts_what_the_broker_keeps_inside",),
    ),
    25: (
        "celery-batches loses a batch for one bad item, and knows no Celery 5.7",
        (
            BATCH + "test_one_bad_item_among_sixteen_fails_alone",
            HERE + "test_the_dependencies_are_the_ones_that_work",
        ),
    ),
    26: (
        "kombu alone lacks what its Redis transport imports",
        (HERE + "test_the_dependencies_are_the_ones_that_work",),
    ),
    27: (
        "out of memory can be mended; a lost device fails every later call in milliseconds",
        (
            TORCH_ERRORS + "test_a_sticky_error_means_that_the_device_is_lost",
            BATCH + "test_too_little_memory_splits_the_batch_until_it_fits",
            BATCH + "test_a_lost_device_in_an_outputs_place_is_a_lost_device",
            BAD + "test_a_lost_device_hands_its_batch_back_and_ends_its_worker",
        ),
    ),
}

OF_KEDA: dict[str, tuple[str, ...]] = {
    "several triggers are not added up, and a name with a - cannot stand in a formula": (
        KEDA + "test_names_of_triggers_are_such_that_a_formula_can_use_them",
        KEDA + "test_the_formula_uses_every_trigger_and_nothing_else",
        LIVE + "test_what_waits_wakes_as_many_workers_as_it_fills",
    ),
    "a fallback to 0 deletes busy workers, and one beside a target that is no integer is ignored": (
        KEDA + "test_the_target_is_an_integer_or_the_fallback_would_be_ignored",
        KEDA + "test_a_blind_keda_takes_no_worker_away",
    ),
    "1 -> 0 deletes a worker that is busy, unless what runs counts": (
        LIVE + "test_a_busy_worker_is_kept_whatever_the_size_of_its_batch",
        LIVE + "test_what_a_killed_worker_held_counts_all_the_time",
    ),
    "N -> n deletes busy workers, unless each counts for as much as the target": (
        KEDA + "test_busy_workers_count_as_much_as_a_worker_does",
        LIVE + "test_two_busy_workers_are_both_kept_for_one_prediction_each",
    ),
    "a ReplicaSet deletes pods that are not ready before it looks at the cost of deletion": (
        KEDA + "test_a_busy_worker_stays_ready_for_a_minute_of_silence",
        WORKER_PROCESS + "test_probes_answer_while_a_batch_computes",
    ),
    "without `replicas` the first pod is deleted at once, with them an upgrade undoes the scaling": (
        KEDA + "test_a_fresh_worker_is_not_deleted_at_once",
        KEDA + "test_who_scales_a_deployment_is_the_only_one_who_counts_its_replicas",
    ),
    "a rollout that surges waits for ever where every GPU is taken": (
        KEDA + "test_a_rollout_needs_no_gpu_that_is_not_there",
    ),
    "KEDA looks names up in its own namespace, and calls the HPA keda-hpa-..., in 63 characters": (
        KEDA + "test_keda_can_look_up_the_ledger_from_its_own_namespace",
        KEDA + "test_names_of_hpas_fit_where_keda_puts_its_own_word_before_ours",
    ),
}


def test_all_27_pitfalls_are_in_the_table() -> None:
    assert list(PITFALLS) == list(range(1, 28))


@pytest.mark.parametrize(
    "tests",
    [*(tests for _, tests in PITFALLS.values()), *OF_KEDA.values()],
    ids=[*map(str, PITFALLS), *OF_KEDA],
)
def test_each_pitfall_is_covered_by_tests_that_exist(tests: tuple[str, ...]) -> None:
    assert tests
    for test in tests:
        file, name = test.split("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, test


def ours() -> Iterator[tuple[Path, ast.Module]]:
    """Every module that runs beside a broker."""
    for room in ("contract", "service", "worker"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_a_channel_that_rabbitmq_closes_is_opened_again(settings: Settings) -> None:
    assert create_app(settings).conf.broker_channel_error_retry is True


def test_celerys_soft_shutdown_is_off(settings: Settings) -> None:
    assert create_app(settings).conf.worker_soft_shutdown_timeout == 0


def test_no_message_waits_for_its_time_in_a_worker() -> None:
    delays = {"eta", "countdown", "expires", "retry_backoff", "default_retry_delay"}
    senders = {"apply_async", "delay", "send_task", "autoretry_for", "add_periodic_task"}
    for path, tree in ours():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword):
                assert node.arg not in delays | {"autoretry_for"}, f"{path}:{node.value.lineno}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in senders, f"{path}:{node.lineno}"


def test_every_wait_for_redis_has_a_limit_of_ours(settings: Settings) -> None:
    settings = settings.model_copy(update={"ledger_timeout_seconds": 0.7})
    for ledger in (Ledger(settings), AsyncLedger(settings)):
        pool = ledger.redis.connection_pool
        assert type(pool).__name__ == "BlockingConnectionPool"
        assert (pool.timeout, pool.max_connections) == (0.7, CONNECTIONS)
        for limit in ("socket_timeout", "socket_connect_timeout"):
            assert pool.connection_kwargs[limit] == 0.7


def connections(ledger: Ledger) -> int:
    """How many connections this ledger holds."""
    return len(ledger.redis.connection_pool._connections)


def test_more_callers_than_connections_wait_for_their_turn(ledger: Ledger) -> None:
    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(lambda _: ledger.run(read_models(["m"])), range(400)))
    assert len(answers) == 400
    assert connections(ledger) <= CONNECTIONS


def test_more_coroutines_than_connections_wait_for_their_turn(settings: Settings) -> None:
    async def ask() -> int:
        ledger = AsyncLedger(settings)
        try:
            answers = await asyncio.gather(*(ledger.run(read_models(["m"])) for _ in range(400)))
        finally:
            await ledger.close()
        return len(answers)

    assert asyncio.run(ask()) == 400


def test_nobody_counts_what_the_broker_keeps_inside(settings: Settings) -> None:
    # Scaling reads these, which are per model and the same for both brokers.
    assert {PER_MODEL[kind].partition(":")[0] for kind in ("queued", "running", "busy")} == {"zset"}
    # One key a queue: priorities are the ledger's.
    assert create_app(settings).conf.broker_transport_options["priority_steps"] == [0]
    for room in ("contract", "service", "worker", "charts", "k8s"):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".lua", ".yaml", ".yml", ".tpl", ".json"):
                assert "unacked" not in path.read_text(encoding="utf-8"), path


def test_the_dependencies_are_the_ones_that_work() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=~;! ]", line)[0] for line in everything}
    assert "celery[redis]" in names
    assert not {"celery", "celery-batches", "kombu", "kombu[redis]", "flower"} & names
    (celery,) = [line for line in everything if line.startswith("celery")]
    # Our consumer changes three points of this version's; the next one is to be looked at first.
    assert "<5.8" in celery
