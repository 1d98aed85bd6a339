"""Values that people give, by name: every feature of the chart in some of them."""

from pathlib import Path
from typing import Any

import yaml

SPAM = {"source": "my-team/spam", "task": "text-classification"}
SHOUT = {"python": "my_models.shout:Shout", "options": {"mark": "!", "most": 10000000}}
GPU_MODES = ("devicePlugin", "mig", "shared", "dra")


def model(catalog: Any = None, **more: Any) -> dict[str, Any]:
    """Values with one model, `spam`."""
    return {"models": {"spam": {"catalog": catalog or SPAM, **more}}}


SCENARIOS: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{f"gpu {mode}": {"gpu": {"mode": mode}, **model()} for mode in GPU_MODES},
    "gpu chosen by product": {
        "gpu": {
            "mode": "devicePlugin",
            "products": ["NVIDIA-H200", "NVIDIA-L4"],
            "runtimeClassName": "nvidia",
        },
        **model(
            nodeSelector={"pool": "gpu"},
            tolerations=[{"key": "gpu", "operator": "Exists"}],
            affinity={
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                    ]
                }
            },
        ),
    },
    "gpu chosen by claim": {
        "gpu": {
            "mode": "dra",
            "deviceClass": "mig.nvidia.com",
            "selectors": ["device.attributes['gpu.nvidia.com'].type == 'gpu'"],
        },
        **model(placeholders=1),
    },
    "gpu and cpu": {
        "gpu": {"mode": "mig", "resource": "nvidia.com/mig-3g.40gb"},
        "models": {
            "spam": {"catalog": {**SPAM, "timeout_seconds": 1800.5, "max_batch_size": 8}},
            "tiny": {"catalog": SHOUT, "gpu": {"mode": "none"}},
            "half": {
                "catalog": SHOUT,
                "gpu": {"mode": "mig", "resource": "nvidia.com/mig-3g.40gb"},
            },
            "off": {"enabled": False},
        },
    },
    "hub with token": model(
        hub={"endpoint": "https://hub.example.org", "tokenSecret": {"name": "hub", "key": "hf"}},
        envFromSecrets={"API_KEY": {"name": "mine", "key": "api"}},
        env={"OMP_NUM_THREADS": 4, "TOKENIZERS_PARALLELISM": False},
    ),
    "already in the cache": model(hub={"fetch": False}),
    "python model": model(SHOUT),
    "cache pvc": model(
        cache={
            "type": "pvc",
            "accessModes": ["ReadWriteMany"],
            "storageClass": "nfs",
            "size": "2Ti",
        }
    ),
    "cache claim of mine": model(cache={"type": "pvc", "existingClaim": "models"}),
    "cache hostPath": model(cache={"type": "hostPath", "path": "/var/models"}),
    "cache image": model(
        {**SPAM, "source": "/models/spam"},
        cache={"type": "image", "image": "registry.example.org/models/spam:1"},
    ),
    "warm windows": model(
        scaling={
            "max": 4,
            "warm": {
                "office": {
                    "start": "0 8 * * 1-5",
                    "end": "0 18 * * 1-5",
                    "timezone": "Europe/Berlin",
                    "replicas": 2,
                },
                "sale": {"start": "0 0 24 11 *", "end": "0 0 30 11 *", "replicas": 4},
            },
        }
    ),
    "extra triggers": model(
        scaling={
            "formula": "max(queued + running, busy * 32, rate)",
            "extraTriggers": {
                "rate": {
                    "type": "prometheus",
                    "metadata": {"serverAddress": "http://prometheus:9090", "query": "vector(1)"},
                    "authenticationRef": {"name": "prometheus"},
                }
            },
        }
    ),
    "paused": model(scaling={"paused": True}),
    "paused at two": model(scaling={"paused": True, "pausedReplicas": 2}),
    "scaling off": model(scaling={"enabled": False, "replicas": 3}),
    "never at zero": model(scaling={"min": 1, "max": 8, "target": 3, "initialCooldownSeconds": 60}),
    "warm spare GPUs": {"gpu": {"mode": "devicePlugin"}, **model(placeholders=2, prePull=True)},
    "external Redis": {
        "ledger": {
            "mode": "external",
            "existingSecret": "redis",
            "passwordKey": "secret",
            "prefix": "team-a:",
            "external": {
                "host": "redis.example.org",
                "port": 6380,
                "database": 2,
                "username": "soloist",
                "tls": {"enabled": True, "caSecret": "authority", "caKey": "root.crt"},
            },
        }
    },
    "sentinel": {
        "ledger": {
            "mode": "external",
            "existingSecret": "redis",
            "replicas": 1,
            "external": {
                "database": 2,
                "username": "soloist",
                "sentinel": {
                    "addresses": ["sentinel-0.redis.example.org:26379", "sentinel-1:26380"],
                    "service": "main.ledger",
                    "username": "watcher",
                    "existingSecret": "sentinel",
                    "passwordKey": "secret",
                },
                "tls": {"enabled": True},
            },
        }
    },
    "external Redis without a password": {
        "ledger": {"mode": "external", "durability": "none", "external": {"host": "redis"}}
    },
    "bundled Redis without a volume": {
        "ledger": {
            "existingSecret": "mine",
            "bundled": {
                "appendfsync": "everysec",
                "maxmemory": "512mb",
                "persistence": {"enabled": False},
            },
        }
    },
    "broker bundled": {"broker": {"mode": "bundled"}},
    "broker operator": {
        "broker": {"mode": "operator", "operator": {"persistence": {"storageClass": "fast"}}}
    },
    "broker external": {
        "broker": {
            "mode": "external",
            "external": {
                "scheme": "amqps",
                "host": "rabbit.example.org",
                "path": "soloist",
                "existingSecret": "rabbit",
                "usernameKey": "user",
                "passwordKey": "pass",
            },
        }
    },
    "broker another Redis": {
        "broker": {
            "mode": "external",
            "external": {"scheme": "redis", "host": "queue", "path": "1", "username": "soloist"},
        }
    },
    "ingress": {
        "gateway": {
            "publicUrl": "https://soloist.example.org",
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "hosts": ["soloist.example.org", "*.soloist.example.org"],
                "tlsSecret": "tls",
            },
        }
    },
    "http route": {
        "gateway": {
            "httpRoute": {
                "enabled": True,
                "parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "https"}],
                "hostnames": ["soloist.example.org"],
                "annotations": {"team": "ml"},
            }
        }
    },
    "gateway scaled": {"gateway": {"hpa": {"enabled": True}, "preStopSeconds": 0}},
    "monitoring": {
        "monitoring": {
            "podMonitor": {"enabled": True, "labels": {"release": "prom"}},
            "rules": {"enabled": True, "labels": {"release": "prom"}},
            "dashboards": {"enabled": True},
        }
    },
    "traces": {"tracing": {"otlpEndpoint": "http://collector.monitoring:4318", "ratio": 0.5}},
    "network policy off": {"networkPolicy": {"enabled": False}},
    "network policy narrow": {
        "networkPolicy": {
            "gatewayFrom": [{"namespaceSelector": {"matchLabels": {"team": "ml"}}}],
            "workerEgress": [{"ports": [{"port": 5432}]}],
            "kedaNamespace": "scaling",
        },
        **model(),
    },
    "images of mine": {
        "images": {
            "registry": "registry.example.org/ml/",
            "api": {"tag": "1.2.3"},
            "worker": {"digest": "sha256:" + "0" * 64},
            "pullSecrets": ["pull"],
        }
    },
    "no rights at all": {"keeper": {"deletionCost": False}},
    "extra objects": {
        "extraObjects": {
            "note": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "{{ .Release.Name }}-note"},
                "data": {"of": "{{ .Chart.Name }}"},
            }
        }
    },
    "test of mine": {"test": {"input": {"text": 'it\'s "quoted"'}, "timeoutSeconds": 60}},
}


def merged(below: Any, above: Any) -> Any:
    """One map over another, as Helm merges files of values."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def everything() -> dict[str, Any]:
    """Most of them at once, on GPUs."""
    left_out = (
        *("without", "gpu", "off", "no rights", "already", "operator", "another", "claim of"),
        "sentinel",
    )
    values: dict[str, Any] = {"gpu": {"mode": "devicePlugin"}}
    models: dict[str, Any] = {}
    for name, scenario in SCENARIOS.items():
        if not any(words in name for words in left_out):
            values = merged(values, {k: v for k, v in scenario.items() if k != "models"})
            for of_model in scenario.get("models", {}).values():
                models[name.lower().replace(" ", "-")] = of_model
    return {**values, "models": models}


SCENARIOS["everything"] = everything()

PROFILES: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[2] / "charts/soloist/profiles").iterdir())
}
"""The chart's own profiles, by name."""
POOLS = ("gke", "eks", "aks", "mig")
SCENARIOS |= {f"profile {name}": values for name, values in PROFILES.items()}
SCENARIOS |= {
    f"profile production and {name}": merged(PROFILES["production"], PROFILES[name])
    for name in POOLS
}

GITOPS = Path(__file__).parents[2] / "examples" / "gitops" / "values.yaml"
SCENARIOS["gitops"] = yaml.safe_load(GITOPS.read_text("utf-8"))
