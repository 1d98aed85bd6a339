"""Every transition of the ledger as a value, in a file for each stage of a prediction.

Both sides use the same ones: `Ledger(...).run(claim(...))` in a worker, `await AsyncLedger(...).run(...)`
in the gateway and the keeper. Each is atomic and runs by the ledger's clock, and each may be sent again
after a broken connection: a second run changes nothing.
"""

from contract.ledger.transitions.accepting import (
    Conflicting,
    Created,
    CreateResult,
    Creation,
    Full,
    Late,
    NoRoom,
    Receipts,
    Unserved,
    create,
    find_receipts,
    replay,
)
from contract.ledger.transitions.finishing import (
    MOST_FINISH_BYTES,
    Outcome,
    announce_outcomes,
    cancel,
    erase,
    finish,
    finish_in_parts,
    list_unannounced,
)
from contract.ledger.transitions.models import (
    ModelSnapshot,
    find_active,
    forget_model,
    read_models,
)
from contract.ledger.transitions.reading import (
    EVENTS_AT_ONCE,
    Page,
    Streamed,
    View,
    list_page,
    read_dead_list,
    read_predictions,
    read_statuses,
    read_stream,
)
from contract.ledger.transitions.registering import (
    MOST_FAILURE_CHARACTERS,
    deregister,
    note_start_failure,
    register,
    register_catalog,
)
from contract.ledger.transitions.reporting import (
    MOST_EVENTS,
    MOST_LOG_BYTES,
    MOST_STREAMED_BYTES,
    Report,
    report,
)
from contract.ledger.transitions.running import (
    Claim,
    Claimed,
    Released,
    claim,
    extend,
    release,
)
from contract.ledger.transitions.storage import (
    Memory,
    mark_schema,
    read_memory,
)
from contract.ledger.transitions.sweeping import (
    Expired,
    Pins,
    Sweep,
    expire,
    prune,
    sweep,
    sweep_pins,
)
from contract.ledger.transitions.transition import (
    Transition,
)

__all__ = [
    "EVENTS_AT_ONCE",
    "MOST_EVENTS",
    "MOST_FAILURE_CHARACTERS",
    "MOST_FINISH_BYTES",
    "MOST_LOG_BYTES",
    "MOST_STREAMED_BYTES",
    "Claim",
    "Claimed",
    "Conflicting",
    "CreateResult",
    "Created",
    "Creation",
    "Expired",
    "Full",
    "Late",
    "Memory",
    "ModelSnapshot",
    "NoRoom",
    "Outcome",
    "Page",
    "Pins",
    "Receipts",
    "Released",
    "Report",
    "Streamed",
    "Sweep",
    "Transition",
    "Unserved",
    "View",
    "announce_outcomes",
    "cancel",
    "claim",
    "create",
    "deregister",
    "erase",
    "expire",
    "extend",
    "find_active",
    "find_receipts",
    "finish",
    "finish_in_parts",
    "forget_model",
    "list_page",
    "list_unannounced",
    "mark_schema",
    "note_start_failure",
    "prune",
    "read_dead_list",
    "read_memory",
    "read_models",
    "read_predictions",
    "read_statuses",
    "read_stream",
    "register",
    "register_catalog",
    "release",
    "replay",
    "report",
    "sweep",
    "sweep_pins",
]
