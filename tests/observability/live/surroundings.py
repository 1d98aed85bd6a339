"""What Soloist does not export itself, served as kube-state-metrics, KEDA, dcgm-exporter and NVML would."""

import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

NAMESPACE, RELEASE = "team", "soloist"
JOBS = {
    # The namespace of each exporter, which wins over a `namespace` in its series; where there is none the
    # series' own labels are kept, as with kube-state-metrics' ServiceMonitor.
    "kube-state-metrics": None,
    "keda": "keda",
    "dcgm-exporter": "gpu-operator",
    "nvml": None,
}


class Series(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {float(self.value)}\n"


Told = Callable[[], Iterable[Series]]


class Surroundings:
    """An HTTP endpoint with a path for each exporter; what it says is asked for at each look."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tell = told.get(self.path.strip("/"), tuple[Series, ...])
                body = "".join(str(series) for series in tell()).encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """How Prometheus looks at it."""
        address = f"127.0.0.1:{self._http.server_port}"
        return [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "honor_labels": namespace is None,
                "static_configs": [
                    {
                        "targets": [address],
                        "labels": {} if namespace is None else {"namespace": namespace},
                    }
                ],
            }
            for name, namespace in JOBS.items()
        ]

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
