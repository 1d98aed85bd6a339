"""The proof: dashboards and rules on a real Prometheus that looks at real processes while much goes wrong."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.observability.boards import BOARDS, asked_for_variables, panels
from tests.observability.exported import exported
from tests.observability.live.bad_day import LEDGER_BYTES, MAX_ATTEMPTS, THRESHOLDS, BadDay, Told
from tests.observability.live.grafana import View, numbers
from tests.observability.live.prometheus import Prometheus
from tests.observability.live.surroundings import NAMESPACE
from tests.observability.test_rules import rules
from tests.support.external_tools import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHOUT_DATA = {
    "Deleted, and marks on pods B": "marks are set on pods, and there is no Kubernetes API here",
}
"""Queries that find nothing in this run, and why."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadDay]:
    if not Prometheus.installed():
        missing("Prometheus is not installed: make prometheus")
    script = BadDay(tmp_path_factory.mktemp("day") / "it", rules(thresholds=THRESHOLDS))
    try:
        script.run()
        yield script
    except BaseException:
        for name, text in script.scene.tails():
            print(f"--- {name}\n{text}")
        raise
    finally:
        script.close()


@pytest.fixture(scope="module")
def told(day: BadDay) -> Told:
    return day.told


@pytest.fixture(scope="module")
def prometheus(day: BadDay) -> Prometheus:
    return day.scene.prometheus


def view(board: dict[str, Any], told: Told, **more: Any) -> View:
    return View(board, told.started, told.ended, NAMESPACE, **more)


def holds_data(prometheus: Prometheus, expr: str, told: Told) -> bool:
    found = prometheus.query_range(expr, told.started, told.ended, 1)
    return any(math.isfinite(number) for number in numbers(found))


# --- every query ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_shows_data(name: str, day: BadDay) -> None:
    opened = view(BOARDS[name], day.told)
    asked = {
        f"{panel['title']} {target['refId']}": opened.ask(day.scene.prometheus, target)
        for panel in panels(BOARDS[name])
        for target in panel["targets"]
    }

    empty = {where for where, found in asked.items() if not any(map(math.isfinite, numbers(found)))}
    assert empty == WITHOUT_DATA.keys() & asked.keys()


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_of_one_model_shows_no_other(name: str, day: BadDay) -> None:
    opened = view(BOARDS[name], day.told, model="small")
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            found = opened.ask(day.scene.prometheus, target)
            assert {each["metric"].get("model", "small") for each in found} <= {"small"}, panel[
                "title"
            ]


@pytest.mark.parametrize("name", BOARDS)
def test_every_mark_is_set(name: str, day: BadDay) -> None:
    opened = view(BOARDS[name], day.told)
    for mark in BOARDS[name]["annotations"]["list"]:
        if "expr" in mark:
            assert holds_data(day.scene.prometheus, opened.filled(mark["expr"]), day.told), mark


def test_the_variables_have_their_values(day: BadDay) -> None:
    for where, expr in asked_for_variables():
        found = day.scene.prometheus.label_values(
            where.rpartition("$")[2], expr.replace("$namespace", NAMESPACE)
        )
        wanted = {"namespace": [NAMESPACE], "model": sorted(day.told.outcomes)}
        assert found == wanted[where.rpartition("$")[2]]


# --- every rule -------------------------------------------------------------------------------------


def test_prometheus_is_content_with_every_rule(prometheus: Prometheus) -> None:
    written = [rule for group in rules(thresholds=THRESHOLDS) for rule in group["rules"]]
    found = prometheus.rules()

    assert len(found) == len(written)
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []
    assert "level=error" not in prometheus.said


def test_every_rule_finds_its_data(day: BadDay) -> None:
    empty = [
        rule["name"]
        for rule in day.scene.prometheus.rules()
        if not holds_data(day.scene.prometheus, rule["query"], day.told)
    ]

    assert empty == []


def test_alerts_that_need_no_patience_fire_and_so_does_the_one_of_work_that_nobody_takes(
    day: BadDay,
) -> None:
    prometheus, told = day.scene.prometheus, day.told
    firing = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[5m]))'
    fired = set(prometheus.numbers(firing, "alertname"))
    at_once = {
        rule["name"]
        for rule in prometheus.rules()
        if rule["type"] == "alerting" and not rule["duration"]
    }

    assert fired >= at_once | {"SoloistStuckAtZero"}
    (table,) = (p for p in panels(BOARDS["soloist-overview"]) if p["title"] == "Alerts that fire")
    shown = view(BOARDS["soloist-overview"], told).ask(prometheus, table["targets"][0])
    assert "SoloistStuckAtZero" in {each["metric"]["alertname"] for each in shown}


# --- the numbers, beside the client's own -------------------------------------------------------------


def by_model(prometheus: Prometheus, expr: str) -> dict[str, float]:
    found = prometheus.numbers(f"max by (model) ({expr})", "model")
    return {model: value for model, value in found.items() if value}


def test_what_was_accepted_is_counted_exactly(prometheus: Prometheus, told: Told) -> None:
    accepted = {model: len(ids) for model, ids in told.accepted.items()}

    assert by_model(prometheus, "soloist_predictions_accepted_total") == accepted
    assert by_model(prometheus, "soloist_predictions_submitted_total") == accepted


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "canceled"])
def test_outcomes_are_counted_exactly(outcome: str, prometheus: Prometheus, told: Told) -> None:
    expected = {model: found[outcome] for model, found in told.outcomes.items() if found[outcome]}

    assert expected, "it happened at all"
    counted = f'soloist_predictions_finished_total{{outcome="{outcome}"}}'
    assert by_model(prometheus, counted) == expected


def test_failures_are_counted_exactly_by_code(prometheus: Prometheus, told: Told) -> None:
    counted = {
        (each["metric"]["model"], each["metric"]["code"]): float(each["value"][1])
        for each in prometheus.query("soloist_predictions_failed_total > 0")
    }

    expected = {
        (model, code): n for model, codes in told.codes.items() for code, n in codes.items()
    }
    assert counted == expected
    assert {code for _, code in expected} == {
        "model_error",
        "out_of_memory",
        "output_invalid",
        "timeout",
        "worker_lost",
    }


def test_refusals_are_counted_exactly_by_code(prometheus: Prometheus, told: Told) -> None:
    counted = prometheus.numbers("sum by (reason) (soloist_predictions_rejected_total)", "reason")

    assert counted == told.refused
    assert told.refused["queue_full"] == 4


def test_answers_are_counted_exactly_by_status(
    prometheus: Prometheus, day: BadDay, told: Told
) -> None:
    ours = 'sum by (status) (soloist_http_requests_total{route=~"/v1/.+"})'
    counted = prometheus.numbers(ours, "status")
    expected: dict[str, int] = {}
    for (_, status), n in day.scene.answers.items():
        expected[str(status)] = expected.get(str(status), 0) + n

    assert counted == expected
    assert expected["429"] == 4
    assert expected["503"] >= 2


def test_those_who_waited_are_counted_exactly_cold_and_warm(
    prometheus: Prometheus, told: Told
) -> None:
    counted = {
        f"{each['metric']['model']} {'cold' if each['metric']['cold'] == 'true' else 'warm'}": float(
            each["value"][1]
        )
        for each in prometheus.query("soloist_prediction_seconds_count > 0")
    }

    assert counted == told.waited
    assert counted["echo cold"] == 3


def test_a_queue_that_stands_still_has_its_exact_depth_and_age(told: Told) -> None:
    prometheus_says, clock = told.frozen_ages

    assert told.frozen_depth == 6
    assert prometheus_says == pytest.approx(clock, abs=3), "a look and a sweep are a second apart"


def test_what_still_waits_is_what_nobody_takes(prometheus: Prometheus, told: Told) -> None:
    waiting = {model: found["starting"] for model, found in told.outcomes.items()}

    expected = {model: n for model, n in waiting.items() if n}
    assert by_model(prometheus, 'soloist_queue_depth{state="queued"}') == expected
    assert by_model(prometheus, 'soloist_queue_depth{state="running"}') == {}
    assert expected == {"cold": 4}


def test_lost_and_dead_predictions_are_counted_exactly(prometheus: Prometheus) -> None:
    taken_back = by_model(prometheus, "soloist_leases_taken_back_total")

    assert by_model(prometheus, "soloist_dead_predictions") == {"frail": 1}
    assert taken_back == {"frail": MAX_ATTEMPTS, "echo": 1}
    handed_back = 'soloist_predictions_handed_back_total{reason="drain"}'
    assert by_model(prometheus, handed_back) == {"small": 1}
    expired = 'sum(soloist_predictions_expired_total{reason="deadline"})'
    assert prometheus.number(expired) == 2


def test_the_batches_of_a_worker_hold_the_predictions_that_it_ran(day: BadDay) -> None:
    pid = day.scene.pods[day.survivor].pid
    ran = {id for id, process, _ in day.scene.run_lines() if process == pid}

    sizes = f'sum(soloist_worker_batch_size_sum{{pod="{day.survivor}"}})'
    assert day.scene.prometheus.number(sizes) == len(ran)


def test_the_ledgers_memory_is_what_redis_says(day: BadDay) -> None:
    used = day.scene.store_client(lambda client: client.info("memory")["used_memory"])

    assert day.scene.prometheus.number("max(soloist_ledger_memory_limit_bytes)") == LEDGER_BYTES
    assert day.scene.prometheus.number("max(soloist_ledger_memory_bytes)") == pytest.approx(
        used, rel=0.2
    )


def test_the_panel_that_counts_predictions_of_a_time_range_is_right(
    prometheus: Prometheus, told: Told
) -> None:
    board = BOARDS["soloist-cost"]
    (panel,) = (p for p in panels(board) if p["title"] == "Predictions")
    (shown,) = numbers(view(board, told).ask(prometheus, panel["targets"][0]))

    # increase() reckons with what it did not see before the first and after the last look.
    succeeded = sum(found["succeeded"] for found in told.outcomes.values())
    assert shown == pytest.approx(succeeded, rel=0.15)


def test_the_stand_in_for_nvml_says_what_workers_export(day: BadDay) -> None:
    known = exported()
    for series in day.scene.cluster.nvml():
        assert series.labels.keys() - {"namespace", "pod", "instance"} == known[series.name]


def test_kedas_number_stands_beside_our_own(prometheus: Prometheus) -> None:
    keda = prometheus.numbers('keda_scaler_metrics_value{triggerIndex="0"}', "scaledObject")

    ours = {re.sub("^soloist-worker-", "", name): value for name, value in keda.items()}
    assert ours["cold"] == 4
