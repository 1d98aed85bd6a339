"""What Grafana asks Prometheus for a panel: its variables filled in, over a time, in steps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.observability.live.prometheus import INTERVAL, Found, Prometheus

VARIABLE = re.compile(r"\$([a-zA-Z_]\w*)")


@dataclass(frozen=True)
class View:
    """A dashboard as it is opened: its time, in seconds since 1970, and what is chosen."""

    board: dict[str, Any]
    start: float
    end: float
    namespace: str
    step: float = INTERVAL
    interval: float = INTERVAL
    """The data source's scrape interval."""
    model: str | None = None

    def filled(self, expr: str) -> str:
        """`All` is the variable's own `allValue`; $__rate_interval is as Grafana reckons it."""
        rate = max(self.step + self.interval, 4 * self.interval)
        values = {
            "__rate_interval": f"{rate:g}s",
            "__range": f"{round(self.end - self.start)}s",
            "namespace": self.namespace,
        }
        for variable in self.board["templating"]["list"]:
            if variable["type"] == "custom":
                values[variable["name"]] = variable["current"]["value"]
            elif variable["name"] == "model":
                values["model"] = self.model or variable["allValue"]
        return VARIABLE.sub(lambda found: values[found[1]], expr)

    def ask(self, prometheus: Prometheus, target: dict[str, Any]) -> Found:
        """What a panel's query finds."""
        expr = self.filled(target["expr"])
        if target["instant"]:
            return prometheus.query(expr, self.end)
        return prometheus.query_range(expr, self.start, self.end, self.step)


def numbers(found: Found) -> Iterator[float]:
    """Every number in what was found."""
    for series in found:
        for _, text in series.get("values") or [series["value"]]:
            yield float(text)
