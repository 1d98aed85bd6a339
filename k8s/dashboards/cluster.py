"""What needs others to be installed: kube-state-metrics, KEDA's own metrics, dcgm-exporter."""

from k8s.dashboards.board import Row
from k8s.dashboards.panels import query, timeline, timeseries
from k8s.dashboards.queries import QUEUED, of_gpu

NO_KUBE = "kube-state-metrics is not scraped"
NO_KEDA = "KEDA is not scraped"
NO_DCGM = "dcgm-exporter is not scraped"

REPLICAS = Row(
    "Replicas as Kubernetes sees them",
    timeseries(
        "Workers ready and desired",
        "Replicas of the workers' Deployments.",
        "short",
        query(
            "sum by (deployment) (kube_deployment_spec_replicas{<deployment>})",
            "{{deployment}} desired",
        ),
        query(
            "sum by (deployment) (kube_deployment_status_replicas_ready{<deployment>})",
            "{{deployment}} ready",
        ),
        bad="desired stays above ready: pods find no node, or do not start.",
        empty="kube-state-metrics is not scraped",
        size=(12, 8),
        decimals=0,
    ),
    timeseries(
        "Restarts",
        "Containers that ended and were started again, in 15 minutes.",
        "short",
        query(
            'sum by (pod, container) (increase(kube_pod_container_status_restarts_total{<ours>, pod=~".+-(gateway|keeper|ledger|worker-$model)-.+"}[15m])) > 0',
            "{{pod}} {{container}}",
        ),
        bad="the same pod again and again.",
        empty="No restarts (or kube-state-metrics is not scraped)",
        size=(12, 8),
    ),
    needs="kube-state-metrics",
)

HPAS = Row(
    "Replicas and HPAs",
    timeseries(
        "Replicas: desired, current, most",
        "What the HPA that KEDA made wants, has and may have.",
        "short",
        query(
            "max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_desired_replicas{<hpa>})",
            "{{horizontalpodautoscaler}} desired",
        ),
        query(
            "max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_current_replicas{<hpa>})",
            "{{horizontalpodautoscaler}} current",
        ),
        query(
            "max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas{<hpa>})",
            "{{horizontalpodautoscaler}} most",
        ),
        bad="desired stays at most while a queue grows: raise scaling.max.",
        empty=NO_KUBE,
        size=(12, 8),
        decimals=0,
    ),
    timeline(
        "Can the HPAs scale?",
        "AbleToScale: nothing is in the way. ScalingActive: there is a number to scale by; at zero replicas that is rightly off. ScalingLimited: it wants more or less than it may.",
        query(
            'max by (horizontalpodautoscaler, condition) (kube_horizontalpodautoscaler_status_condition{<hpa>, status="true"})',
            "{{horizontalpodautoscaler}} {{condition}}",
        ),
        bad="AbleToScale off, or ScalingActive off while replicas run.",
        words={0: ("no", "gray"), 1: ("yes", "blue")},
        empty=NO_KUBE,
        size=(12, 8),
    ),
    timeseries(
        "Pods without a node",
        "Workers that no node has room for; for a GPU model that is a free GPU of its kind.",
        "short",
        query("sum by (pod) (kube_pod_status_unschedulable{<pod>})", "{{pod}}"),
        bad="any for longer than the cluster takes to add a node.",
        empty="Every worker has a node",
        size=(12, 8),
    ),
    timeseries(
        "Workers ready and desired",
        "Replicas of the workers' Deployments.",
        "short",
        query(
            "sum by (deployment) (kube_deployment_spec_replicas{<deployment>})",
            "{{deployment}} desired",
        ),
        query(
            "sum by (deployment) (kube_deployment_status_replicas_ready{<deployment>})",
            "{{deployment}} ready",
        ),
        bad="desired stays above ready.",
        empty=NO_KUBE,
        size=(12, 8),
        decimals=0,
    ),
    needs="kube-state-metrics",
)

KEDA = Row(
    "KEDA beside our own count",
    timeseries(
        "What waits, counted twice",
        "The length of the queue as KEDA reads it from the ledger (its first trigger), and as the keeper does.",
        "short",
        query(
            'max by (scaledObject) (keda_scaler_metrics_value{<keda>, triggerIndex="0"})',
            "KEDA: {{scaledObject}}",
        ),
        query(QUEUED, "keeper: {{model}}"),
        bad="they differ for minutes: KEDA reads another ledger, database or prefix.",
        empty=NO_KEDA,
        size=(8, 8),
    ),
    timeseries(
        "Looks that failed",
        "KEDA's questions to the ledger that got no answer, in 5 minutes.",
        "short",
        query(
            "sum by (scaledObject) (increase(keda_scaler_detail_errors_total{<keda>}[5m]))",
            "{{scaledObject}}",
        ),
        bad="more than 0: it scales by its fallback. See password, network policy and the ledger.",
        empty=NO_KEDA,
        size=(8, 8),
    ),
    timeseries(
        "A look takes",
        "Seconds until the ledger answered KEDA.",
        "s",
        query(
            "max by (scaledObject) (keda_scaler_metrics_latency_seconds{<keda>})",
            "{{scaledObject}}",
        ),
        bad="over 1 s.",
        empty=NO_KEDA,
        size=(8, 8),
    ),
    needs="KEDA's own metrics",
)

DCGM = Row(
    "The same GPUs, as the node sees them",
    timeseries(
        "Compute units, tensor cores, memory",
        "The share of time in which any compute unit, the tensor cores and the memory were active.",
        "percentunit",
        query(of_gpu("DCGM_FI_PROF_GR_ENGINE_ACTIVE"), "{{model}} {{UUID}} compute"),
        query(of_gpu("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"), "{{model}} {{UUID}} tensor cores"),
        query(of_gpu("DCGM_FI_PROF_DRAM_ACTIVE"), "{{model}} {{UUID}} memory"),
        bad="all low while workers are busy: batches are too small.",
        empty=NO_DCGM,
        many=True,
        size=(6, 8),
        max=1,
    ),
    timeseries(
        "Utilisation, by the node",
        "The share of time in which any kernel ran, beside the workers' view above.",
        "percentunit",
        query(f"{of_gpu('DCGM_FI_DEV_GPU_UTIL')} / 100", "{{model}} {{UUID}}"),
        bad="it differs from the workers' view: another process is on the device.",
        empty=NO_DCGM,
        many=True,
        size=(6, 8),
        max=1,
    ),
    timeseries(
        "Framebuffer used",
        "Memory of the device that is taken, beside the workers' view above.",
        "bytes",
        query(f"{of_gpu('DCGM_FI_DEV_FB_USED')} * 1048576", "{{model}} {{UUID}}"),
        bad="it differs from the workers' view: another process is on the device.",
        empty=NO_DCGM,
        many=True,
        size=(6, 8),
    ),
    timeseries(
        "Last Xid",
        "The number of the driver's last error on the device; 0 is none (docs/runbooks/SoloistGpuXid.md).",
        "short",
        query(of_gpu("DCGM_FI_DEV_XID_ERRORS"), "{{model}} {{UUID}}"),
        bad="48, 63, 64, 74, 79, 94, 95: the hardware; 13, 31, 43: a program.",
        empty=NO_DCGM,
        many=True,
        size=(6, 8),
        decimals=0,
    ),
    needs="dcgm-exporter",
)
