"""The queue and scaling: what waits, how fast it goes, and what makes the number of workers."""

from k8s.dashboards.board import Board, Row
from k8s.dashboards.cluster import HPAS, KEDA
from k8s.dashboards.panels import UP, bars, query, stat, timeline, timeseries
from k8s.dashboards.queries import QUEUED, RUNNING, WANTED, in_ledger, queue_seconds, workers

NOW = Row(
    "Now",
    stat(
        "Waiting",
        "Predictions that wait for a worker.",
        "short",
        query(f"sum({QUEUED})"),
        bad="it only grows.",
        empty="No keeper is seen",
    ),
    stat(
        "Running",
        "Predictions that a worker has under its lease.",
        "short",
        query(f"sum({RUNNING})"),
        bad="0 while others wait.",
        empty="No keeper is seen",
    ),
    stat(
        "The oldest waits since",
        "Age of the oldest prediction in any queue.",
        "s",
        query("max(soloist_queue_oldest_seconds{<model>})"),
        bad="longer than a cold start takes.",
        steps=((None, "green"), (300, "orange"), (900, "red")),
        empty="Nothing waits",
    ),
    stat(
        "All done in",
        "Estimate of when the longest queue is empty, at the speed of the last minutes.",
        "s",
        query("max(soloist_queue_drain_seconds{<model>})"),
        bad="longer than callers wait.",
        empty="Nothing waits",
    ),
    stat(
        "Dead predictions",
        "Predictions that lost their worker each time they were started. `soloist dead` shows them, and replays them.",
        "short",
        query("sum(max by (model) (soloist_dead_predictions{<model>}))"),
        bad="more than 0: some input kills its worker.",
        steps=((None, "green"), (1, "orange")),
        empty="No keeper is seen",
    ),
    stat(
        "The ledger's memory",
        "The share of the ledger's maxmemory that is used, or reserved for predictions that were accepted.",
        "percentunit",
        query(
            "(max(soloist_ledger_memory_bytes{<ours>}) + max(soloist_ledger_memory_reserved_bytes{<ours>}))"
            " / (max(soloist_ledger_memory_limit_bytes{<ours>}) > 0)"
        ),
        bad="over 85 %; from 100 % on new predictions get 503.",
        steps=((None, "green"), (0.7, "orange"), (0.85, "red")),
        empty="No maxmemory is set",
        max=1,
    ),
)

QUEUE = Row(
    "The queue",
    timeseries(
        "Depth",
        "Predictions that wait and that run, over the chosen models.",
        "short",
        query(f"sum({QUEUED})", "waiting"),
        query(f"sum({RUNNING})", "running"),
        bad="waiting only grows. Short hills are what a queue is for.",
        colors={"waiting": "orange", "running": "green"},
        stacked=True,
    ),
    timeseries(
        "In and out",
        "Predictions a second that were accepted, and that reached an outcome.",
        "cps",
        query(f"sum({in_ledger('soloist_predictions_accepted_total', 'model')})", "accepted"),
        query(
            f"sum({in_ledger('soloist_predictions_finished_total', 'model, outcome')})", "finished"
        ),
        bad="accepted stays above finished.",
        colors={"accepted": "blue", "finished": "green"},
    ),
    timeseries(
        "Age of the oldest",
        "How long the oldest prediction of each queue has waited.",
        "s",
        query("max by (model) (soloist_queue_oldest_seconds{<model>})", "{{model}}"),
        bad="a straight line upwards: nothing is taken from that queue.",
        steps=((None, "green"), (900, "red")),
    ),
    bars(
        "Fill",
        "What waits, as a share of the model's max_queue.",
        "percentunit",
        query(
            f"{QUEUED} / on (model) max by (model) (soloist_queue_limit{{<model>}})", "{{model}}"
        ),
        bad="at 100 % callers get 429.",
        steps=((None, "green"), (0.7, "orange"), (0.9, "red")),
        empty="No keeper is seen",
    ),
    timeseries(
        "Time until all is done",
        "Estimate for each queue, at the speed of its last minutes.",
        "s",
        query("max by (model) (soloist_queue_drain_seconds{<model>})", "{{model}}"),
        bad="it grows although workers were added.",
        empty="Nothing waits",
    ),
    timeseries(
        "Wait for a worker",
        "Seconds from acceptance to the claim by a worker.",
        "s",
        query(queue_seconds(0.5), "half"),
        query(queue_seconds(0.95), "95 of 100"),
        bad="far above the time that a batch takes.",
        empty="No prediction was claimed",
    ),
)

SCALING = Row(
    "Scaling, by our own count",
    timeseries(
        "Workers wanted and ready",
        "Wanted: what waits and runs, but at least what the busy workers stand for, divided by what one worker should have. No limit is applied.",
        "short",
        query(WANTED, "{{model}} wanted"),
        query(f"sum by (model) ({workers('ready|busy')})", "{{model}} ready"),
        bad="wanted above ready for longer than a start takes, below the maximum.",
        empty="No keeper is seen",
        decimals=0,
    ),
    timeseries(
        "Workers by state",
        "Starting: the model is not loaded yet. Ready: idle. Busy: a batch is under way.",
        "short",
        query(f"sum by (state) ({workers()})", "{{state}}"),
        bad="starting for minutes; ready for hours.",
        colors={"starting": "orange", "ready": "blue", "busy": "green"},
        empty="No keeper is seen",
        stacked=True,
        decimals=0,
    ),
    timeseries(
        "What KEDA is given to scale by",
        "max(queued + running, busy * target): the number by which KEDA and its HPA scale.",
        "short",
        query("max by (model) (soloist_scaling_wanted{<model>})", "{{model}}"),
        bad="it is high, and the number of workers stands still.",
        empty="No keeper is seen",
    ),
)

TROUBLE = Row(
    "What went wrong",
    timeseries(
        "Leases taken back",
        "Predictions a second that were given back because their worker said nothing for 15 s: killed, frozen, cut off.",
        "cps",
        query(in_ledger("soloist_leases_taken_back_total", "model"), "{{model}}"),
        bad="again and again for one model: see its workers' memory and log.",
        empty="No lease was taken back",
        size=(6, 8),
    ),
    timeseries(
        "Handed back",
        "Predictions a second that a worker gave back itself. drain: its grace period ended first; device_lost, timeout: it had to end.",
        "cps",
        query(
            f"sum by (reason) ({in_ledger('soloist_predictions_handed_back_total', 'model, reason')})",
            "{{reason}}",
        ),
        bad="drain: terminationGracePeriodSeconds is too short for the batches.",
        empty="Nothing was handed back",
        size=(6, 8),
    ),
    timeseries(
        "Failed, by code",
        "Predictions a second that failed, by the code of docs/errors.md.",
        "cps",
        query(
            f"sum by (code) ({in_ledger('soloist_predictions_failed_total', 'model, code')})",
            "{{code}}",
        ),
        bad="worker_lost, timeout and too_many_hand_backs are ours, out_of_memory and model_error the model's.",
        empty="Nothing failed",
        size=(6, 8),
        stacked=True,
    ),
    timeseries(
        "Sent again, and ended by the keeper",
        "Messages that the keeper sent in place of lost ones, and predictions that it ended because their deadline or their model's limit had passed.",
        "cps",
        query(
            f"sum({in_ledger('soloist_wakeups_repeated_total', 'model')})",
            "sent again",
        ),
        query(
            "sum by (reason) (rate(soloist_predictions_expired_total{<ours>}[$__rate_interval]))",
            "ended: {{reason}}",
        ),
        bad="sent again all the time: the broker loses messages.",
        empty="Nothing to mend",
        size=(6, 8),
    ),
)

KEEPER = Row(
    "Keeper and ledger",
    timeseries(
        "A sweep takes",
        "Seconds of the keeper's look at the whole ledger.",
        "s",
        *(
            query(
                f"histogram_quantile({share}, sum by (le) (rate(soloist_keeper_sweep_seconds_bucket{{<ours>}}[$__rate_interval])))",
                name,
            )
            for share, name in ((0.5, "half"), (0.95, "95 of 100"))
        ),
        bad="over 1 s, or a gap: without sweeps leases are given back late.",
        empty="No keeper is seen",
        size=(5, 8),
    ),
    timeline(
        "The keeper reaches",
        "Whether ledger, broker and Kubernetes answered it last time.",
        query("min(soloist_keeper_ledger_up{<ours>})", "ledger"),
        query("min(soloist_keeper_broker_up{<ours>})", "broker"),
        query("min(soloist_keeper_kubernetes_up{<ours>})", "Kubernetes"),
        bad="red. Kubernetes: busy workers are not spared when scaling in.",
        words=UP,
        empty="No keeper is seen",
        size=(4, 8),
    ),
    timeseries(
        "Memory of the ledger",
        "What the ledger uses; its maxmemory where one is set, and how much of that new predictions may fill.",
        "bytes",
        query("max(soloist_ledger_memory_bytes{<ours>})", "used"),
        query(
            "(max(soloist_ledger_memory_limit_bytes{<ours>}) > 0) - max(soloist_ledger_memory_reserved_bytes{<ours>})",
            "for new predictions",
        ),
        query("max(soloist_ledger_memory_limit_bytes{<ours>}) > 0", "maxmemory"),
        bad="used meets what new predictions may fill: they get 503.",
        empty="No keeper is seen",
        size=(5, 8),
    ),
    timeseries(
        "Records",
        "Keys in the ledger: a few for each prediction, until its retention is over.",
        "short",
        query("max(soloist_ledger_keys{<ours>})", "keys"),
        bad="it only grows: retention is too long, or nothing is deleted.",
        empty="No keeper is seen",
        size=(5, 8),
    ),
    timeseries(
        "Deleted, and marks on pods",
        "Records deleted a second after their retention, and busy workers marked for Kubernetes a second.",
        "cps",
        query("sum(rate(soloist_predictions_pruned_total{<ours>}[$__rate_interval]))", "deleted"),
        query(
            "sum by (outcome) (rate(soloist_pod_patches_total{<ours>}[$__rate_interval]))",
            "marks: {{outcome}}",
        ),
        bad="marks with an outcome other than ok: see the keeper's log.",
        empty="No keeper is seen",
        size=(5, 8),
    ),
)

QUEUE_AND_SCALING = Board(
    "soloist-queue",
    "Queue and scaling",
    "What waits, how fast it goes, and what makes the number of workers.",
    (NOW, QUEUE, SCALING, TROUBLE, KEEPER, HPAS, KEDA),
)
