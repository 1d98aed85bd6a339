"""The gateway: rate, errors and duration, and what it needs of ledger and broker."""

from k8s.dashboards.board import Board, Row
from k8s.dashboards.panels import UP, heatmap, query, stat, timeline, timeseries

REQUESTS = "rate(soloist_http_requests_total{<ours>}[$__rate_interval])"


def duration(share: float, by: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate(soloist_http_request_seconds_bucket{{<ours>}}[$__rate_interval])))"


def ledger(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate(soloist_ledger_seconds_bucket{{<ours>}}[$__rate_interval])))"


def of_gateways(metric: str) -> str:
    """A metric that every process has, of gateways only."""
    return f"{metric} and on (instance, pod) soloist_http_requests_in_progress{{<ours>}}"


NOW = Row(
    "Now",
    stat(
        "Requests",
        "HTTP requests answered in a second, probes included.",
        "reqps",
        query(f"sum({REQUESTS})"),
        bad="0 while callers say that they call: look at ingress and Service.",
        empty="No requests",
        size=(6, 5),
    ),
    stat(
        "Errors of ours",
        "The share of answers with 5xx.",
        "percentunit",
        query(
            '(sum(rate(soloist_http_requests_total{<ours>, status=~"5.."}[$__rate_interval])) or vector(0)) / clamp_min(sum(rate(soloist_http_requests_total{<ours>}[$__rate_interval])), 1e-9)'
        ),
        bad="more than 0.1 %. 503 says that the ledger was away or full, 500 is a fault of ours and is in the log.",
        steps=((None, "green"), (0.001, "orange"), (0.01, "red")),
        empty="No requests",
        size=(6, 5),
        decimals=2,
    ),
    stat(
        "95 of 100 answers within",
        "Seconds to the end of the answer, over all routes. Requests that wait for their prediction (Prefer: wait) take as long as that does.",
        "s",
        query(duration(0.95)),
        bad="it rises while the routes that wait for nothing (GET) rise too: then it is the gateway or the ledger.",
        empty="No requests",
        size=(6, 5),
    ),
    stat(
        "Requests under way",
        "Requests being answered, over all pods: those that wait, streams, and the rest.",
        "short",
        query("sum(soloist_http_requests_in_progress{<ours>})"),
        bad="it only grows: answers do not come.",
        empty="No gateway is seen",
        size=(6, 5),
    ),
)

RED = Row(
    "Rate, errors, duration",
    timeseries(
        "Rate by route",
        "Requests a second, by method and route.",
        "reqps",
        query(
            "sum by (method, route) (rate(soloist_http_requests_total{<ours>}[$__rate_interval]))",
            "{{method}} {{route}}",
        ),
        bad="GETs many times the POSTs: clients poll where they could wait.",
        empty="No requests",
    ),
    timeseries(
        "Answers by status",
        "Requests a second, by HTTP status.",
        "reqps",
        query(
            "sum by (status) (rate(soloist_http_requests_total{<ours>}[$__rate_interval]))",
            "{{status}}",
        ),
        bad="5xx is ours; 429 says that a queue is full; 408, 413, 415 and 422 are the clients'.",
        empty="No requests",
        stacked=True,
    ),
    timeseries(
        "Duration by route",
        "Seconds within which 95 of 100 answers were at their end.",
        "s",
        query(duration(0.95, ", route"), "{{route}}"),
        bad="routes that read (GET) over 0.1 s.",
        empty="No requests",
    ),
    timeseries(
        "Duration",
        "Seconds to the end of the answer, over all routes.",
        "s",
        query(duration(0.5), "half"),
        query(duration(0.95), "95 of 100"),
        query(duration(0.99), "99 of 100"),
        bad="all three rise together.",
        empty="No requests",
    ),
    heatmap(
        "Durations",
        "How many answers took how long; the stronger the colour, the more.",
        "s",
        query(
            "sum by (le) (increase(soloist_http_request_seconds_bucket{<ours>}[$__rate_interval]))"
        ),
        bad="a second band far above the first.",
        empty="No requests",
    ),
    timeseries(
        "Under way, by pod",
        "Requests being answered by each gateway.",
        "short",
        query("soloist_http_requests_in_progress{<ours>}", "{{pod}} {{instance}}"),
        bad="one pod has nearly all: connections stick to it.",
        empty="No gateway is seen",
    ),
)

INTAKE = Row(
    "Predictions that come in",
    timeseries(
        "Accepted by model",
        "Predictions a second that were recorded and thereby promised.",
        "cps",
        query(
            "sum by (model) (rate(soloist_predictions_submitted_total{<model>}[$__rate_interval]))",
            "{{model}}",
        ),
        bad="0 for a model that is called: see the refusals beside.",
        empty="No predictions came in",
    ),
    timeseries(
        "Refused, by reason",
        "Requests a second that were refused, or left unknown, by the code of docs/errors.md.",
        "cps",
        query(
            "sum by (reason) (rate(soloist_predictions_rejected_total{<ours>}[$__rate_interval]))",
            "{{reason}}",
        ),
        bad="queue_full: more workers or a larger max_queue; ledger_unavailable, ledger_full, "
        "outcome_unknown, internal_error: ours.",
        empty="Nothing was refused",
        stacked=True,
    ),
    heatmap(
        "Recorded at once",
        "How many predictions went to the ledger in one call; under load they gather by themselves.",
        "short",
        query(
            "sum by (le) (increase(soloist_predictions_created_at_once_bucket{<ours>}[$__rate_interval]))"
        ),
        bad="nothing; large numbers are how a burst stays cheap.",
        empty="No predictions came in",
    ),
)

STORES = Row(
    "Ledger and broker, as the gateway sees them",
    timeseries(
        "Seconds to record",
        "How long the ledger takes to record what came in at once.",
        "s",
        query(ledger(0.5), "half"),
        query(ledger(0.95), "95 of 100"),
        query(ledger(0.99), "99 of 100"),
        bad="over 0.05 s: the ledger's disk (appendfsync) or network is slow.",
        steps=((None, "green"), (0.05, "orange"), (1, "red")),
        empty="No predictions came in",
        size=(6, 8),
    ),
    timeline(
        "Reachable",
        "Whether the last call to the ledger, and the last message to the broker, got through.",
        query("min(soloist_ledger_up{<ours>})", "ledger"),
        query("min(soloist_broker_up{<ours>})", "broker"),
        bad="red. Without the ledger callers get 503 and 504; without the broker predictions are accepted and wait.",
        words=UP,
        empty="No gateway is seen",
        size=(6, 8),
    ),
    timeseries(
        "Errors of the ledger",
        "Calls to the ledger a second that failed, by reason.",
        "cps",
        query(
            "sum by (reason) (rate(soloist_ledger_errors_total{<ours>}[$__rate_interval]))",
            "{{reason}}",
        ),
        bad="anything that stays.",
        empty="No errors",
        size=(6, 8),
        stacked=True,
    ),
    timeseries(
        "Messages to the broker",
        "Wake-ups a second, by outcome.",
        "cps",
        query(
            "sum by (outcome) (rate(soloist_broker_publishes_total{<ours>}[$__rate_interval]))",
            "{{outcome}}",
        ),
        bad="any outcome but ok; the keeper sends lost ones again.",
        empty="No messages were sent",
        size=(6, 8),
        stacked=True,
    ),
)

PROCESSES = Row(
    "Processes",
    timeseries(
        "CPU",
        "Cores that each gateway uses. It is one process with one event loop.",
        "short",
        query(
            of_gateways("rate(process_cpu_seconds_total{<ours>}[$__rate_interval])"),
            "{{pod}} {{instance}}",
        ),
        bad="near 1: add replicas.",
        steps=((None, "green"), (0.9, "red")),
        empty="No gateway is seen",
        size=(12, 8),
    ),
    timeseries(
        "Memory",
        "Resident memory of each gateway.",
        "bytes",
        query(of_gateways("process_resident_memory_bytes{<ours>}"), "{{pod}} {{instance}}"),
        bad="it only grows, or comes near the limit of its container.",
        empty="No gateway is seen",
        size=(12, 8),
    ),
)

GATEWAY = Board(
    "soloist-gateway",
    "Gateway",
    "HTTP in, prediction out: rate, errors, duration, and the gateway's view of ledger and broker.",
    (NOW, RED, INTAKE, STORES, PROCESSES),
)
