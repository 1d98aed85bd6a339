"""The terms of a lease: who claims which model's predictions, for how long, and when the ledger gives one up."""

from dataclasses import KW_ONLY, dataclass

from contract.ledger.retry import DEFAULT_RETRY, RetryPolicy

LEASE_SECONDS = 15.0
"""How long a claim, or a heartbeat, holds unless the settings say otherwise."""
TIMEOUT_SECONDS = 300.0
"""The hard limit of a batch, unless the catalog says otherwise."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """The terms on which one worker claims predictions of one model."""

    model: str
    worker: str
    max_batch_size: int
    _: KW_ONLY
    version: str = ""
    """Of the model, as this worker has it; without one it takes nothing that names a version."""
    lease_seconds: float = LEASE_SECONDS
    timeout_seconds: float = TIMEOUT_SECONDS
    retry: RetryPolicy = DEFAULT_RETRY
