"""What the processes export, by the names that Prometheus sees, with the labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

import service.gateway.metrics
import service.keeper.metrics
import worker.metrics

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
MODULES = {
    "gateway": service.gateway.metrics,
    "keeper": service.keeper.metrics,
    "worker": worker.metrics,
}
OWN = re.compile(r"\bsoloist_\w+")
SELECTOR = re.compile(r'\b([a-zA-Z_:][\w:]*)\{((?:[^}"]|"(?:[^"\\]|\\.)*")*)\}')
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    """Without what its type adds."""
    type: str
    labels: tuple[str, ...]
    says: str


def families(module: ModuleType) -> Iterator[Family]:
    """The metrics of one process."""
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            (found,) = metric.describe()
            yield Family(found.name, found.type, metric._labelnames, found.documentation)
        elif type(metric).__module__ == module.__name__:  # a collector of its own
            for found in metric.collect():
                yield Family(found.name, found.type, found._labelnames, found.documentation)


def exported() -> dict[str, set[str]]:
    """The labels of each series."""
    found: dict[str, set[str]] = {}
    for module in MODULES.values():
        for family in families(module):
            for suffix in SUFFIXES[family.type]:
                extra = {"le"} if suffix == "_bucket" else set()
                found[family.name + suffix] = set(family.labels) | extra
    return found


def own_names(expr: str) -> set[str]:
    """Series of ours that an expression names."""
    return set(OWN.findall(STRING.sub('""', expr)))


def selectors(expr: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each series with its matchers."""
    for name, inside in SELECTOR.findall(expr):
        yield name, dict(MATCHER.findall(inside))
