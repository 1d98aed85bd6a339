"""How a system came back after the heal: ready, with work for its workers, and with nothing left behind."""

from collections.abc import Iterator

from tests.storm.evidence import Evidence
from tests.storm.violation import Violation

DEAD_WORKER_SECONDS = 30.0
MORE_THREADS = 12
MORE_CONNECTIONS = 20
"""A pool may have grown to its bound (16 connections) during the storm; more than that is a leak."""
WORKERS_OWN_EXITS = {-9, 70}
"""A model that kills its worker, and a batch that hangs."""


def lost_wake_up(e: Evidence) -> Iterator[Violation]:
    """Predictions that wait after the heal while nobody works on any."""
    for model, seconds in e.idle_waits.items():
        if seconds > e.patience_seconds:
            yield Violation(
                "lost_wake_up", f"{model}: predictions waited {seconds:.1f} s for idle workers"
            )


def not_ready(e: Evidence) -> Iterator[Violation]:
    """A process that does not come back after the heal, or says so and refuses all the same."""
    for name in e.unready:
        yield Violation("not_ready", f"{name} is not ready, long after the heal")
    for request in e.canaries:
        if not request.accepted and request.status != 429:
            sentence = f"{request.gateway} was ready, and answered a create with {request.status}"
            yield Violation("not_ready", sentence, {"request": request})


def bad_exit(e: Evidence) -> Iterator[Violation]:
    """A process that ended though nothing ended it, or not in good order though it was asked to."""
    for end in e.exits:
        if end.asked == "kill":
            continue
        worker = end.process.startswith("worker")
        allowed = {0} if end.asked else WORKERS_OWN_EXITS if worker else set()
        if end.code not in allowed:
            what = end.asked or "no fault"
            yield Violation("bad_exit", f"{end.process} ended with {end.code} after {what}")


def dead_worker_slow(e: Evidence) -> Iterator[Violation]:
    """What a dead worker had is not with another one in time. While a fault is on, no time counts."""
    for run in e.runs:
        died = e.killed.get(run.pid)
        if died is None or run.ended is not None or run.begun > died:
            continue
        later = [r.begun for r in e.runs if r.id == run.id and r.begun > died]
        if not later:
            continue  # it has ended otherwise, or is a violation named `lost`
        seconds = e.clear_seconds(died, min(later))
        if seconds > DEAD_WORKER_SECONDS:
            yield Violation(
                "dead_worker_slow",
                f"{run.id} was back after {seconds:.1f} s without a fault",
                {"record": e.records.get(run.id), "runs": e.runs_of([run.id])},
            )


def grown(e: Evidence) -> Iterator[Violation]:
    """More threads or connections at the end than a storm may leave."""
    before, after = e.sizes
    for name in before.keys() & after.keys():
        threads, connections = (after[name][i] - before[name][i] for i in (0, 1))
        if threads > MORE_THREADS or connections > MORE_CONNECTIONS:
            sentence = (
                f"{name} has {threads} threads and {connections} connections more than before"
            )
            yield Violation("grown", sentence, {"before": before[name], "after": after[name]})


def residue(e: Evidence) -> Iterator[Violation]:
    """All is over, and the ledger still counts something as under way."""
    if e.residue and all(p.status.terminal for p in e.records.values()):
        yield Violation("residue", "all is over, but not in the ledger's sets", dict(e.residue))
