"""What panels ask of Prometheus, and the short forms of what many of them ask."""

from typing import Any

Query = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SHORT = {
    # What several dashboards ask for; the keeper's series by `max`: while two keepers run for a moment,
    # both say the same.
    "<answered>": """
        1 - (sum(rate(soloist_http_requests_total{<ours>, status=~"5.."}[$__rate_interval])) or vector(0))
          / clamp_min(sum(rate(soloist_http_requests_total{<ours>}[$__rate_interval])), 1e-9)
    """,
    "<busy>": "rate(soloist_worker_busy_seconds_total{<ours>}[$__rate_interval]) * <info>",
    "<queued>": 'max by (model) (soloist_queue_depth{<model>, state="queued"})',
    "<running>": 'max by (model) (soloist_queue_depth{<model>, state="running"})',
    "<wanted>": "max by (model) (ceil(soloist_scaling_wanted{<model>} / soloist_scaling_target{<model>}))",
    "<price>": "on (model) max by (model) (soloist_gpu_cost_per_hour{<model>})",
    # Which series a query is about. A person who reads a dashboard's JSON sees them in full.
    "<model>": '<ours>, model=~"$model"',
    "<deployment>": '<ours>, deployment=~".+-worker-$model"',
    "<hpa>": '<ours>, horizontalpodautoscaler=~"keda-hpa-.+-worker-$model"',
    "<pod>": '<ours>, pod=~".+-worker-$model-[^-]+-[^-]+"',
    # Prometheus renames KEDA's `namespace`, unless it is told to honour labels.
    "<keda>": 'exported_namespace=~"$namespace|", scaledObject=~".+-worker-$model"',
    # A worker's own series do not say its model: one series of the same process does.
    "<info>": 'on (instance, pod) group_left (model) soloist_worker_info{<ours>, model=~"$model"}',
    "<ours>": 'namespace=~"$namespace"',
}


def spelled(expr: str) -> str:
    """PromQL with everything of SHORT in full and without line breaks."""
    for short, full in SHORT.items():
        expr = expr.replace(short, full)
    return " ".join(expr.split())


def query(expr: str, legend: str = "", **more: Any) -> Query:
    """What Prometheus is asked; `legend` names the series."""
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": spelled(expr),
        "format": "time_series",
        "instant": False,
        "legendFormat": legend or "__auto",
        "range": True,
        **more,
    }


def row_query(expr: str) -> Query:
    """One that fills rows of a table."""
    return query(expr, format="table", instant=True, range=False)
