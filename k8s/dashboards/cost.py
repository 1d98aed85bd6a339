"""The cost: what an hour, an idle hour and a thousand predictions cost."""

from k8s.dashboards.board import Board, Row
from k8s.dashboards.panels import query, row_query, stat, table, timeseries
from k8s.dashboards.queries import cost, done, hours, spent

NO_PRICE = "Set cost_per_hour in the catalog"


NOW = Row(
    "In one look",
    stat(
        "An hour costs",
        "All workers that are there now, starting ones included, by the catalog's cost_per_hour.",
        "currencyUSD",
        query(f"sum({cost()})"),
        bad="it does not fall after the work has gone.",
        empty=NO_PRICE,
        decimals=2,
    ),
    stat(
        "In this time range",
        "What the workers cost from the beginning to the end of the time range above.",
        "currencyUSD",
        query(f"sum({spent('$__range')})", instant=True, range=False),
        bad="more than was planned.",
        empty=NO_PRICE,
        decimals=2,
    ),
    stat(
        "Idle share",
        "The share of worker-hours in this time range in which a worker was ready and had nothing to do.",
        "percentunit",
        query(
            f"sum({hours('$__range', 'ready')}) / sum({hours('$__range')})",
            instant=True,
            range=False,
        ),
        bad="over 50 %: lower scaling.min or cooldownSeconds, or put models together.",
        steps=((None, "green"), (0.5, "orange"), (0.8, "red")),
        empty="No worker ran",
        max=1,
    ),
    stat(
        "1000 predictions cost",
        "What the workers cost in this time range, for each thousand predictions that succeeded.",
        "currencyUSD",
        query(
            f"1000 * sum({spent('$__range')}) / (sum({done('$__range')}) > 0)",
            instant=True,
            range=False,
        ),
        bad="it rises while the load is the same: batches are smaller, or workers idle.",
        empty="No price, or no predictions",
        decimals=4,
    ),
    stat(
        "Worker-hours",
        "Hours of all workers in this time range; needs no price.",
        "h",
        query(f"sum({hours('$__range')})", instant=True, range=False),
        bad="more than was planned.",
        empty="No worker ran",
        decimals=1,
    ),
    stat(
        "Predictions",
        "Predictions that succeeded in this time range.",
        "locale",
        query(f"sum({done('$__range')})", instant=True, range=False),
        bad="nothing; it is what the money is for.",
        empty="No predictions",
        decimals=0,
    ),
)

COURSE = Row(
    "Over time",
    timeseries(
        "Cost by model",
        "What the workers of each model cost an hour.",
        "currencyUSD",
        query(cost(), "{{model}}"),
        bad="a model that nobody uses costs something.",
        empty=NO_PRICE,
        stacked=True,
        size=(12, 8),
    ),
    timeseries(
        "Cost by what workers do",
        "What busy, idle and starting workers cost an hour.",
        "currencyUSD",
        *(
            query(f"sum({cost(state)})", name)
            for state, name in (("busy", "busy"), ("ready", "idle"), ("starting", "starting"))
        ),
        bad="idle has the most for hours.",
        colors={"busy": "green", "idle": "orange", "starting": "blue"},
        empty=NO_PRICE,
        stacked=True,
        size=(12, 8),
    ),
    timeseries(
        "1000 predictions cost, by model",
        "Over the last hour, for each thousand predictions that succeeded.",
        "currencyUSD",
        query(f"1000 * {spent('1h')} / on (model) ({done('1h')} > 0)", "{{model}}"),
        bad="it rises while the load is the same.",
        empty="No price, or no predictions",
        size=(8, 8),
    ),
    timeseries(
        "Idle share, by model",
        "The share of worker-hours in the last hour in which a worker had nothing to do.",
        "percentunit",
        query(f"{hours('1h', 'ready')} / ({hours('1h')} > 0)", "{{model}}"),
        bad="near 100 % for hours.",
        empty="No worker ran",
        max=1,
        size=(8, 8),
    ),
    timeseries(
        "Predictions for each worker-hour",
        "Over the last hour; needs no price.",
        "short",
        query(f"{done('1h')} / on (model) ({hours('1h')} > 0)", "{{model}}"),
        bad="it falls while the load is the same.",
        empty="No worker ran",
        size=(8, 8),
    ),
)

MODELS = Row(
    "Model by model",
    table(
        "Models in this time range",
        "Worker-hours, what they cost, what was idle, and what came out.",
        row_query(hours("$__range")),
        row_query(f"{hours('$__range', 'ready')} / ({hours('$__range')} > 0)"),
        row_query(spent("$__range")),
        row_query(f"round({done('$__range')})"),
        row_query(f"1000 * {spent('$__range')} / on (model) ({done('$__range')} > 0)"),
        bad="a model with much idle and few predictions.",
        columns={
            "model": "Model",
            "Value #A": "Worker-hours",
            "Value #B": "Idle",
            "Value #C": "Cost",
            "Value #D": "Predictions",
            "Value #E": "Cost of 1000",
        },
        units={
            "Worker-hours": "h",
            "Idle": "percentunit",
            "Cost": "currencyUSD",
            "Predictions": "locale",
            "Cost of 1000": "currencyUSD",
        },
        empty="No worker ran",
    ),
)

COSTS = Board(
    "soloist-cost",
    "Cost",
    "What an hour, an idle hour and a thousand predictions cost.",
    (NOW, COURSE, MODELS),
)
