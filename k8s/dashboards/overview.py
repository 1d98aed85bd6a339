"""The overview: five questions first, then what is wrong, then why."""

from k8s.dashboards.board import Board, Row, choice
from k8s.dashboards.cluster import REPLICAS
from k8s.dashboards.panels import query, row_query, stat, table, timeseries
from k8s.dashboards.queries import ANSWERED, BUSY, WANTED, cost, waited, workers

QUESTIONS = Row(
    "Five questions",
    stat(
        "Is it answering?",
        "The share of HTTP requests that were answered without an error of ours (5xx). Refusals that a client can mend (4xx) count as answered.",
        "percentunit",
        query(ANSWERED, "of requests are answered"),
        bad="anything under 99.9 %; then look at Errors below and at the gateway's dashboard.",
        steps=((None, "red"), (0.99, "orange"), (0.999, "green")),
        empty="No gateway is seen",
        size=(5, 6),
        max=1,
        decimals=2,
    ),
    stat(
        "How long do people wait?",
        "From acceptance to outcome, for predictions that a request waited for, cold starts included; and the age of the oldest prediction in a queue.",
        "s",
        query(waited(0.95), "95 of 100 wait no longer"),
        query("max(soloist_queue_oldest_seconds{<model>})", "the oldest in a queue"),
        bad="the oldest one grows steadily: nobody takes it.",
        steps=((None, "green"), (60, "orange"), (900, "red")),
        empty="Nobody waits",
        size=(5, 6),
    ),
    stat(
        "Is it scaling?",
        "Workers that the work asks for (what waits and runs, divided by what one worker should have), and those there are.",
        "short",
        query(f"sum({WANTED})", "workers wanted"),
        query(f"sum({workers('ready|busy')})", "ready"),
        query(f"sum({workers('starting')})", "starting"),
        bad="more wanted than ready for longer than a start takes, and none starting. A model at its maximum wants more than it gets: see the queue's dashboard.",
        empty="No keeper is seen",
        size=(5, 6),
    ),
    stat(
        "Are GPUs busy?",
        "The share of their time that workers spend on batches. A worker that loads or waits is not busy.",
        "percentunit",
        query(f"avg({BUSY})", "of the time they compute"),
        bad="near 0 % for hours while it costs money; near 100 % while a queue grows.",
        empty="No worker runs",
        size=(5, 6),
        max=1,
    ),
    stat(
        "What does it cost?",
        "What all workers cost an hour, and what the idle ones of them do, by the catalog's cost_per_hour.",
        "currencyUSD",
        query(f"sum({cost()})", "an hour"),
        query(f"sum({cost('ready')})", "of it idle"),
        bad="idle cost that stays for hours: lower scaling.min or scaling.cooldownSeconds.",
        empty="Set cost_per_hour in the catalog",
        size=(4, 6),
        decimals=2,
    ),
)

WRONG = Row(
    "What is wrong",
    table(
        "Alerts that fire",
        "Every alert of Soloist's rules that fires now, and for how long its condition has held; those of other models than the chosen are left out. Its runbook is docs/runbooks/<name>.md.",
        row_query("""
            sort_desc(max by (severity, alertname, model, sli, component, pod) (
              (time() - ALERTS_FOR_STATE{<ours>, model=~"$model|", alertname=~"Soloist.+"})
                and ignoring (alertstate) ALERTS{<ours>, alertname=~"Soloist.+", alertstate="firing"}
            ))
        """),
        bad="any line with page.",
        columns={
            "severity": "Severity",
            "alertname": "Alert",
            "model": "Model",
            "sli": "Promise",
            "component": "Component",
            "pod": "Pod",
            "Value": "Since",
        },
        units={"Since": "s"},
        empty="No alert fires (or the rules are not loaded: docs/observability.md)",
        size=(24, 6),
    ),
)

PROMISES = Row(
    "Promises",
    timeseries(
        "Error budget burn",
        "How many times too fast the budget of broken promises was spent in the last hour. requests: 5xx; predictions: worker_lost and timeout; latency: warm predictions that took longer than the bound above, of which 5 % may.",
        "suffix: x",
        query(
            '(sum(rate(soloist_http_requests_total{<ours>, status=~"5.."}[1h])) or vector(0)) / sum(rate(soloist_http_requests_total{<ours>}[1h])) / (1 - $objective)',
            "requests",
        ),
        query(
            """sum(max by (model, code) (rate(soloist_predictions_failed_total{<model>, code=~"worker_lost|timeout|too_many_hand_backs"}[1h])))
               / sum(max by (model, outcome) (rate(soloist_predictions_finished_total{<model>, outcome!="canceled"}[1h]))) / (1 - $objective)""",
            "predictions",
        ),
        query(
            """(1 - sum(rate(soloist_prediction_seconds_bucket{<model>, cold="false", le=~"$within|$within.0"}[1h]))
               / sum(rate(soloist_prediction_seconds_count{<model>, cold="false"}[1h]))) / 0.05""",
            "latency",
        ),
        bad="over 1 the objective will be missed, over 14.4 the budget of a month is gone in two days.",
        steps=((None, "green"), (1, "orange"), (14.4, "red")),
        empty="No requests in the last hour",
    ),
    timeseries(
        "How long people wait",
        "Seconds from acceptance to outcome, for predictions that a request waited for.",
        "s",
        query(waited(0.5), "half"),
        query(waited(0.95), "95 of 100"),
        query(waited(0.99), "99 of 100"),
        bad="a step that stays; with cold starts the upper lines jump and come back.",
        empty="Nobody waited for an answer",
    ),
    timeseries(
        "Errors",
        "What callers saw go wrong: answers with 5xx, refusals at the door by their code, and predictions that failed, by their code (docs/errors.md).",
        "cps",
        query(
            'sum by (status) (rate(soloist_http_requests_total{<ours>, status=~"5.."}[$__rate_interval]))',
            "HTTP {{status}}",
        ),
        query(
            "sum by (reason) (rate(soloist_predictions_rejected_total{<ours>}[$__rate_interval]))",
            "refused: {{reason}}",
        ),
        query(
            "sum by (code) (max by (model, code) (rate(soloist_predictions_failed_total{<model>}[$__rate_interval])))",
            "failed: {{code}}",
        ),
        bad="5xx, worker_lost and timeout are ours; queue_full says that a limit is reached; the others are the callers' or the models'.",
        empty="No errors",
        stacked=True,
    ),
)

WORK = Row(
    "Work",
    timeseries(
        "Accepted and finished",
        "Predictions a second that came in and that reached an outcome, counted in the ledger.",
        "cps",
        query(
            "sum(max by (model) (rate(soloist_predictions_accepted_total{<model>}[$__rate_interval])))",
            "accepted",
        ),
        query(
            "sum by (outcome) (max by (model, outcome) (rate(soloist_predictions_finished_total{<model>}[$__rate_interval])))",
            "{{outcome}}",
        ),
        bad="accepted stays above the outcomes: the queue grows.",
        colors={"accepted": "blue", "succeeded": "green", "failed": "red", "canceled": "yellow"},
    ),
    timeseries(
        "What waits",
        "Predictions in each model's queue.",
        "short",
        query(
            'max by (model) (soloist_queue_depth{<model>, state="queued"})',
            "{{model}}",
        ),
        bad="it only grows. Short hills are what a queue is for.",
        stacked=True,
    ),
    timeseries(
        "The oldest that waits",
        "Age of the oldest prediction in each queue.",
        "s",
        query("max by (model) (soloist_queue_oldest_seconds{<model>})", "{{model}}"),
        bad="a straight line upwards: nothing is taken from that queue.",
        steps=((None, "green"), (900, "red")),
    ),
    timeseries(
        "Workers",
        "Workers that the work asks for, and those that are ready, busy ones included.",
        "short",
        query(f"sum({WANTED})", "wanted"),
        query(f"sum({workers('ready|busy')})", "ready"),
        query(f"sum({workers('starting')})", "starting"),
        bad="wanted stays above ready.",
        colors={"wanted": "blue", "ready": "green", "starting": "orange"},
        decimals=0,
    ),
    timeseries(
        "Busy share",
        "The share of their time that the workers of a model spend on batches.",
        "percentunit",
        query(f"avg by (model) ({BUSY})", "{{model}}"),
        bad="near 0 % for hours on a model that is kept warm.",
        empty="No worker runs",
        max=1,
    ),
    timeseries(
        "Cost",
        "What the workers of each model cost an hour, by the catalog's cost_per_hour.",
        "currencyUSD",
        query(cost(), "{{model}}"),
        bad="it does not fall after the work has gone.",
        empty="Set cost_per_hour in the catalog",
        stacked=True,
    ),
)

OVERVIEW = Board(
    "soloist-overview",
    "Overview",
    "Start here: is it answering, how long do people wait, is it scaling, are GPUs busy, what does it cost?",
    (QUESTIONS, WRONG, PROMISES, WORK, REPLICAS),
    (
        choice("objective", "Objective", ("0.9", "0.95", "0.99", "0.995", "0.999"), "0.995"),
        choice("within", "Within seconds", ("0.5", "1", "2.5", "5", "10", "30", "60"), "10"),
    ),
)
