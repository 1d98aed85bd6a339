"""docs/metrics.md, written from what the processes export: `python -m tests.observability.metrics_page`."""

from tests.observability.exported import MODULES, Family, families

UNITS = ("seconds", "bytes", "celsius", "watts", "ratio")
INTRODUCTIONS = {
    "gateway": "On its own port, `SOLOIST_PORT`.",
    "keeper": "On `SOLOIST_KEEPER_PORT`. There is one keeper; while two overlap for a moment both say the same, so take\n"
    "the `max` of its series, not the `sum`. The counters of predictions are kept in the ledger: they survive every process,\n"
    "count each prediction once, and begin anew only with an empty ledger.",
    "worker": "On `SOLOIST_WORKER_PORT`, from the first second on. A worker has one model, which only `soloist_worker_info`\n"
    "names: join by `* on (instance, pod) group_left (model) soloist_worker_info`. The GPU's are there where a GPU is held,\n"
    "and where NVML can read them. In the `prefork` pool the children's are not seen.",
}
PAGE = """# Metrics

Gateway, keeper and worker answer `GET /metrics` in Prometheus' text format; [observability.md](observability.md) has the
dashboards and alerts that are made of it. Counters and histograms begin at their process's start. A histogram `x` is `x_bucket`,
`x_sum` and `x_count`. Each process also exports what Python's client knows of it: `process_*`, `python_*`.
{processes}
This page is written by `python -m tests.observability.metrics_page > docs/metrics.md`.
"""


def document() -> str:
    """The page: every metric of each process with its labels, its unit and what it says."""
    return PAGE.format(processes="".join(map(_process, MODULES)))


def _process(name: str) -> str:
    rows = "\n".join(_row(family) for family in families(MODULES[name]))
    return (
        f"\n## {name.capitalize()}\n\n{INTRODUCTIONS[name]}\n\n"
        f"| metric | kind | labels | unit | what it says |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(family: Family) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in family.labels)
    unit = next((unit for unit in UNITS if unit in family.name.split("_")), "")
    return f"| `{name}` | {family.type} | {labels} | {unit} | {family.says} |"


if __name__ == "__main__":
    print(document(), end="")
