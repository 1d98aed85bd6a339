"""Every Redis key of the ledger: the wire in one glance. The Lua scripts get the same names."""

SCHEMA = 1
"""How records and keys are laid out. Raised by a release whose ledger an older one would misread: from its
first start on, older releases refuse to start on that ledger.
"""

PER_MODEL = {
    "queued": "zset: prediction id -> time accepted minus priority credit; of a pinned one later than any",
    "pins": "set: versions that have predictions waiting for them alone",
    "running": "zset: prediction id -> lease expiry",
    "busy": "zset: worker name -> lease expiry",
    "claimed": "zset: worker name -> time it claimed its batch",
    "claims": "hash: worker name -> its last claim, to answer it twice",
    "heard": "hash: when its workers and keepers last used the ledger, and the reprieve after an outage",
    "workers": "hash: worker name -> what it says of itself, and until when that holds",
    "failure": "hash: why a worker could not start, the last one, and until when that is said",
    "wakeups": "zset: wake-up number -> time sent; messages that no worker has taken yet",
    "dead": "zset: prediction id -> time of its failure as worker_lost or too_many_hand_backs",
    "unannounced": "zset: prediction id -> time of its end, until the replicas have it and it is announced",
    "pace": "hash: seconds and items of a typical batch, bytes and number of typical outputs",
    "counts": "hash: what became of predictions -> how many; it only grows",
    "served": "hash: entry of a catalog -> the version that a ready worker of it registered last",
    "named": "zset: entry of a catalog -> until when a gateway or keeper says that it has it",
}
PER_VERSION = {
    "pinned": "zset: prediction id -> its score; those that wait for this version (model@version)",
}
PER_PREDICTION = {
    "prediction": "hash: the record",
    "events": "list: what a running prediction has streamed",
}
PER_OWNER = {
    "created": "zset: prediction id -> sequence number",
    "idempotency": "hash: Idempotency-Key -> prediction id",
}
PER_GATEWAY = {"answers": "channel: announcements to the requests that wait there"}
SINGLE = {
    "schema": "counter: the schema that the ledger is written in",
    "sequence": "counter: predictions ever created",
    "last_wakeup": "counter: wake-ups ever sent",
    "changes": "counter: it grows whenever a worker comes, goes or goes on to something else",
    "models": "set: models that have a prediction or a worker, or had one not long ago",
    "kept": "zset: model -> time the last record of its predictions is deleted",
    "deadlines": "zset: prediction id -> deadline, of those that are not over",
    "limits": "zset: prediction id -> end of its hard limit, of those that run",
    "retained": "zset: prediction id -> time its record is deleted",
    "room": "hash: the bytes that new predictions may still take, and until when that holds",
}
IN_REDIS = {"wakeups": "rings", "last_wakeup": "ring"}
"""What kinds are called in Redis that have another name here: a layout keeps its words. The one place that knows."""
AT_WORK = ("queued", "running", "busy", "claimed", "pins", "unannounced")
"""A model that has none of these is quiet: nothing of it waits, runs or is yet to be announced. A wake-up that nobody took
does not count: it stays where there is no worker, long after its prediction was canceled."""


def key(prefix: str, kind: str, name: str = "") -> str:
    """The key of a kind, for one model, version (`model@version`), prediction, owner or gateway.

    >>> key("soloist:", "queued", "minilm")
    'soloist:queued:minilm'
    """
    kind = IN_REDIS.get(kind, kind)
    return f"{prefix}{kind}:{name}" if name else f"{prefix}{kind}"


def lua_table() -> str:
    """The names as the Lua table ``K``, which every script begins with."""
    named = [*PER_MODEL, *PER_VERSION, *PER_PREDICTION, *PER_OWNER, *PER_GATEWAY]
    rows = [f"{kind} = ARGV[1] .. '{key('', kind)}:'" for kind in named]
    rows += [f"{kind} = ARGV[1] .. '{key('', kind)}'" for kind in SINGLE]
    return "local K = {" + ", ".join(rows) + "}\n"
