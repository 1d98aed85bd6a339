"""PromQL that several dashboards share.

The keeper's series are taken by `max`: while two keepers run for a moment, both say the same.
"""

ANSWERED = """
    1 - (sum(rate(soloist_http_requests_total{<ours>, status=~"5.."}[$__rate_interval])) or vector(0))
      / clamp_min(sum(rate(soloist_http_requests_total{<ours>}[$__rate_interval])), 1e-9)
"""
BUSY = "rate(soloist_worker_busy_seconds_total{<ours>}[$__rate_interval]) * <info>"
QUEUED = 'max by (model) (soloist_queue_depth{<model>, state="queued"})'
RUNNING = 'max by (model) (soloist_queue_depth{<model>, state="running"})'
WANTED = "max by (model) (ceil(soloist_scaling_wanted{<model>} / soloist_scaling_target{<model>}))"
PRICE = "on (model) max by (model) (soloist_gpu_cost_per_hour{<model>})"


# --- the keeper's -----------------------------------------------------------------------------------


def workers(states: str = ".+") -> str:
    """The number of workers of each model, by state."""
    return f'max by (model, state) (soloist_workers{{<model>, state=~"{states}"}})'


def in_ledger(counter: str, by: str) -> str:
    """How fast a counter of the ledger grows."""
    return f"max by ({by}) (rate({counter}{{<model>}}[$__rate_interval]))"


def cost(states: str = ".+") -> str:
    """What the workers of each model cost an hour."""
    return f"sum by (model) ({workers(states)}) * {PRICE}"


def hours(over: str, states: str = ".+") -> str:
    """Worker-hours of each model: a sample each minute is a sixtieth of an hour for each worker."""
    return f"sum_over_time((sum by (model) ({workers(states)}))[{over}:1m]) / 60"


def spent(over: str) -> str:
    """What the workers of each model cost in a time."""
    return f"{hours(over)} * {PRICE}"


def done(over: str) -> str:
    """Predictions of each model that succeeded in a time."""
    return f'max by (model) (increase(soloist_predictions_finished_total{{<model>, outcome="succeeded"}}[{over}]))'


# --- the gateway's ----------------------------------------------------------------------------------


def waited(share: float) -> str:
    """Within how many seconds this share of predictions had its outcome."""
    return f"histogram_quantile({share}, sum by (le) (rate(soloist_prediction_seconds_bucket{{<model>}}[$__rate_interval])))"


# --- a worker's, with its model ---------------------------------------------------------------------


def rate(series: str) -> str:
    """How fast a counter grows."""
    return f"rate({series}{{<ours>}}[$__rate_interval]) * <info>"


def grown(counter: str) -> str:
    """By how much a counter grew in an hour."""
    return f"increase({counter}{{<ours>}}[1h]) * <info>"


def quantile(share: float, histogram: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate(f'{histogram}_bucket')}))"


def queue_seconds(share: float) -> str:
    """Within how many seconds this share of predictions was claimed."""
    return (
        f"histogram_quantile({share}, sum by (le) ({rate('soloist_worker_queue_seconds_bucket')}))"
    )


def gpu(metric: str, by: str) -> str:
    """What a worker says of its device."""
    return f"max by ({by}) ({metric} * <info>)"


def of_gpu(metric: str) -> str:
    """What dcgm-exporter says of our workers' devices."""
    return f"""
        max by (UUID, model) (
          label_replace(soloist_worker_info{{<model>}}, "UUID", "$1", "gpu_uuid", "(.+)")
            * on (UUID) group_left () max by (UUID) ({metric})
        )
    """
