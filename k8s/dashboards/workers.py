"""Workers and their devices: what they do, how they start, what goes wrong, how hot it gets."""

from k8s.dashboards.board import Board, Row
from k8s.dashboards.cluster import DCGM
from k8s.dashboards.panels import bars, heatmap, query, row_query, stat, table, timeline, timeseries
from k8s.dashboards.queries import BUSY, gpu, grown, quantile, rate, workers

NONE_RUNS = "No worker runs"
NO_GPU = "No worker with a GPU runs"


NOW = Row(
    "Now",
    stat(
        "Workers",
        "Workers by state; starting ones have not loaded their model yet.",
        "short",
        query(f"sum({workers('busy')})", "busy"),
        query(f"sum({workers('ready')})", "idle"),
        query(f"sum({workers('starting')})", "starting"),
        bad="starting for minutes.",
        empty="No keeper is seen",
        size=(8, 5),
    ),
    stat(
        "Busy share",
        "The share of their time that workers spend on batches.",
        "percentunit",
        query(f"avg({BUSY})"),
        bad="near 0 % for hours while it costs money.",
        empty=NONE_RUNS,
        max=1,
    ),
    stat(
        "Predictions",
        "Predictions a second that the workers ended.",
        "cps",
        query(f"sum({rate('soloist_worker_predictions_total')})"),
        bad="0 while others wait.",
        empty=NONE_RUNS,
    ),
    stat(
        "Mean batch",
        "Predictions in a batch. Batches grow by themselves under load.",
        "short",
        query(
            f"sum({rate('soloist_worker_batch_size_sum')}) / sum({rate('soloist_worker_batch_size_count')})"
        ),
        bad="1 under load: max_batch_size is 1, or items run alone after a loss.",
        empty="No batch ran",
        decimals=1,
    ),
    stat(
        "Out of memory, last hour",
        "How often a device's memory did not suffice for a batch.",
        "short",
        query(f"sum({grown('soloist_worker_out_of_memory_total')})"),
        bad="more than a few: lower max_batch_size.",
        steps=((None, "green"), (1, "orange"), (4, "red")),
        empty=NONE_RUNS,
        decimals=0,
    ),
)

WORK = Row(
    "Work",
    timeseries(
        "Busy share by model",
        "The share of their time that the workers of a model spend on batches.",
        "percentunit",
        query(f"avg by (model) ({BUSY})", "{{model}}"),
        bad="near 100 % while the queue grows: more workers.",
        empty=NONE_RUNS,
        max=1,
    ),
    timeline(
        "Busy, worker by worker",
        "Each worker that runs, and when it computed.",
        query(
            "max by (model, pod, instance) (soloist_worker_busy{<ours>} * <info>)",
            "{{model}} {{instance}}",
        ),
        bad="some are never busy while others always are.",
        words={0: ("idle", "blue"), 1: ("busy", "green")},
        empty=NONE_RUNS,
    ),
    timeseries(
        "Predictions by outcome",
        "Predictions a second that the workers ended; fenced ones came too late to count, another worker had them.",
        "cps",
        query(f"sum by (outcome) ({rate('soloist_worker_predictions_total')})", "{{outcome}}"),
        bad="failed rises; fenced at all: leases run out while workers still compute.",
        colors={"succeeded": "green", "failed": "red", "fenced": "orange"},
        empty=NONE_RUNS,
        stacked=True,
    ),
    heatmap(
        "Batch sizes",
        "How many batches had how many predictions; the stronger the colour, the more.",
        "short",
        query(
            "sum by (le) (increase(soloist_worker_batch_size_bucket{<ours>}[$__rate_interval]) * <info>)"
        ),
        bad="small ones only, while many wait.",
        empty="No batch ran",
    ),
    timeseries(
        "A batch takes",
        "Seconds from claim to finish.",
        "s",
        query(quantile(0.5, "soloist_worker_batch_seconds", "model"), "{{model}} half"),
        query(quantile(0.95, "soloist_worker_batch_seconds", "model"), "{{model}} 95 of 100"),
        bad="near the model's timeout_seconds.",
        empty="No batch ran",
    ),
    timeseries(
        "Where the time goes",
        "Seconds of a mean batch, by phase.",
        "s",
        query(
            f"sum by (phase) ({rate('soloist_worker_phase_seconds_sum')}) / sum by (phase) ({rate('soloist_worker_phase_seconds_count')})",
            "{{phase}}",
        ),
        bad="anything but inference has the most: the device waits for it.",
        empty="No batch ran",
        stacked=True,
    ),
)

STARTS = Row(
    "Cold starts",
    bars(
        "A start takes, by phase",
        "Seconds of the slowest worker that runs, for each phase of its start.",
        "s",
        query(
            "max by (model, phase) (soloist_worker_start_seconds{<ours>} * <info>)",
            "{{model}} {{phase}}",
        ),
        bad="load over a minute: keep the model on the node (cache), or in the image.",
        steps=((None, "green"), (60, "orange"), (300, "red")),
        empty=NONE_RUNS,
    ),
    timeseries(
        "Waiting, cold and warm",
        "Seconds within which 95 of 100 predictions had their outcome; cold ones were accepted while no worker was ready.",
        "s",
        query(
            "histogram_quantile(0.95, sum by (le, cold) (rate(soloist_prediction_seconds_bucket{<model>}[$__rate_interval])))",
            "cold: {{cold}}",
        ),
        bad="cold ones longer than callers wait: a warm window or scaling.min: 1.",
        empty="Nobody waited for an answer",
    ),
    timeline(
        "Not ready yet",
        "Workers that start or end, by the state that they are in.",
        query(
            'max by (model, pod, instance, state) (soloist_worker_state{<ours>, state!="ready"} * <info>) == 1',
            "{{model}} {{instance}}: {{state}}",
        ),
        bad="the same state for minutes.",
        words={1: ("yes", "orange")},
        empty="Every worker is ready",
    ),
    table(
        "Who serves what",
        "What each worker serves, and on what.",
        row_query("soloist_worker_info{<model>}"),
        bad="different revisions of one model at once, other than in a rollout.",
        columns={
            "model": "Model",
            "pod": "Pod",
            "instance": "Address",
            "device": "Device",
            "gpu_name": "GPU",
            "dtype": "Numbers",
            "revision": "Revision",
            "model_version": "Model version",
            "version": "Soloist",
        },
        empty=NONE_RUNS,
        size=(24, 7),
    ),
)

TROUBLE = Row(
    "What went wrong",
    timeseries(
        "Batches split, last hour",
        "Batches that were halved after an error, to find the item at fault or to fit into memory.",
        "short",
        query(
            f"sum by (model, reason) ({grown('soloist_worker_batches_split_total')})",
            "{{model}} {{reason}}",
        ),
        bad="out_of_memory again and again: lower max_batch_size.",
        empty="No batch was split",
    ),
    timeseries(
        "Writes tried again",
        "Writes to the ledger a second that a worker had to repeat.",
        "cps",
        query(f"sum by (model) ({rate('soloist_worker_ledger_retries_total')})", "{{model}}"),
        bad="more than 0 for minutes: network, or the ledger.",
        empty=NONE_RUNS,
    ),
    timeseries(
        "Draining for",
        "How long a worker that was told to end has gone on with its last batch.",
        "s",
        query(
            "max by (model, pod) (soloist_worker_drain_seconds{<ours>} * <info>) > 0",
            "{{model}} {{pod}}",
        ),
        bad="near terminationGracePeriodSeconds: then the batch is handed back.",
        empty="No worker is ending",
    ),
)

GPUS = Row(
    "GPUs, as the workers see them",
    timeseries(
        "Utilisation",
        "The share of time in which any kernel ran on the device. It says nothing of how full the device was.",
        "percentunit",
        query(
            gpu("soloist_gpu_utilisation_ratio{<ours>}", "model, gpu_uuid"),
            "{{model}} {{gpu_uuid}}",
        ),
        bad="low while workers are busy: the processor is the bottleneck.",
        empty=NO_GPU,
        many=True,
        max=1,
    ),
    timeseries(
        "Memory of the device",
        "What all processes use on the device, and what it has.",
        "bytes",
        query(
            gpu("soloist_gpu_memory_bytes{<ours>}", "model, gpu_uuid, kind"),
            "{{model}} {{gpu_uuid}} {{kind}}",
        ),
        bad="used is near total before the first large batch.",
        empty=NO_GPU,
        many=True,
    ),
    timeseries(
        "Memory that PyTorch holds",
        "allocated: by tensors; reserved: kept from the driver; peak: the most ever allocated.",
        "bytes",
        query(
            gpu("soloist_gpu_memory_torch_bytes{<ours>}", "model, gpu_uuid, kind"),
            "{{model}} {{gpu_uuid}} {{kind}}",
        ),
        bad="peak near the device's total; reserved far above allocated.",
        empty=NO_GPU,
        many=True,
    ),
    timeseries(
        "Temperature",
        "Of the device's chip.",
        "celsius",
        query(
            gpu("soloist_gpu_temperature_celsius{<ours>}", "model, gpu_uuid"),
            "{{model}} {{gpu_uuid}}",
        ),
        bad="over 85 °C for minutes.",
        steps=((None, "green"), (80, "orange"), (85, "red")),
        empty=NO_GPU,
        many=True,
    ),
    timeseries(
        "Power",
        "What the device draws.",
        "watt",
        query(gpu("soloist_gpu_power_watts{<ours>}", "model, gpu_uuid"), "{{model}} {{gpu_uuid}}"),
        bad="low while workers are busy: the device is not the bottleneck.",
        empty=NO_GPU,
        many=True,
    ),
    timeline(
        "Clocks held back",
        "Why the driver slows the device down. power: at its power limit, normal under full load.",
        query(
            gpu("soloist_gpu_throttled{<ours>}", "model, gpu_uuid, reason"),
            "{{model}} {{gpu_uuid}} {{reason}}",
        ),
        bad="thermal and hardware.",
        words={0: ("no", "green"), 1: ("yes", "orange")},
        empty=NO_GPU,
    ),
)

WORKERS = Board(
    "soloist-workers",
    "Workers and GPUs",
    "What workers do, how they start, what goes wrong, and how their devices are.",
    (NOW, WORK, STARTS, TROUBLE, GPUS, DCGM),
)
