"""The log and the traces of batches: one line a batch, one a prediction, and their spans."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from contract.ledger.transitions import Claimed, Outcome
from contract.telemetry.logs import log_each
from contract.telemetry.tracing import TraceContext, Tracing, read_record_context
from worker.batch import Batch

logger = logging.getLogger(__name__)

Row = dict[str, str | int | float]
Verdict = Callable[[Claimed], tuple[str | None, float]]
"""Why a prediction failed, if it did, and for how many seconds it ran."""


class BatchLog:
    """Logs the batches of one worker once they are over, so that no prediction waits for it."""

    def __init__(self, model: str, worker: str, device: str, tracing: Tracing) -> None:
        self._model = model
        self._tracing = tracing
        self._facts: dict[str, str | int] = {
            "soloist.model": model,
            "soloist.worker": worker,
            "soloist.device": device,
        }

    def log_finished(
        self, batch: Batch, outcomes: Sequence[Outcome], fenced: Collection[str]
    ) -> None:
        """Log a batch whose outcomes are written, all but the fenced ones."""
        by_id = {outcome.id: outcome for outcome in outcomes}

        def verdict(claimed: Claimed) -> tuple[str | None, float]:
            outcome = by_id.get(claimed.id)
            if outcome is None or outcome.id in fenced:
                return "fenced", batch.seconds
            return outcome.error_code, outcome.predict_seconds

        trace = self._trace(batch, verdict)
        if not logger.isEnabledFor(logging.INFO):
            return
        rows = [self._row(batch.claimed[o.id], o, o.id in fenced, len(outcomes)) for o in outcomes]
        log_each(logger, "prediction", rows)
        logger.info(
            "batch",
            extra={
                "model": self._model,
                "predictions": len(outcomes),
                "seconds": round(batch.seconds, 6),
                **Counter(str(row["outcome"]) for row in rows),
                "trace_id": trace and trace.trace_id,
            },
        )

    def _row(self, claimed: Claimed, outcome: Outcome, fenced: bool, size: int) -> Row:
        row: Row = {
            "prediction": outcome.id,
            "model": self._model,
            "outcome": "fenced" if fenced else "failed" if outcome.error_code else "succeeded",
            "attempt": outcome.attempt,
            "queue_seconds": round(claimed.queue_seconds, 6),
            "predict_seconds": round(outcome.predict_seconds, 6),
            "batch": size,
        }
        if outcome.error_code:
            row["error_code"] = outcome.error_code
        if claimed.traceparent:
            row["trace_id"] = claimed.traceparent[3:35]
        return row

    def log_handed_back(self, batch: Batch, reason: str) -> None:
        """Trace a batch that ended without outcomes; `reason` is drain, device_lost or timeout."""
        batch.add_event("handed back", reason=reason)
        error = None if reason == "drain" else reason
        self._trace(batch, lambda claimed: (error, batch.seconds))

    def _trace(self, batch: Batch, verdict: Verdict) -> TraceContext | None:
        """Spans of the predictions whose requests are traced, and one of the batch that links to them: a
        trace of its own, for it belongs to all of them.
        """
        traced = self._traced(batch) if self._tracing.on else []
        if not traced:
            return None
        claimed_at = batch.started_at
        facts: dict[str, str | int] = {**self._facts, "soloist.batch_size": len(batch.claimed)}
        whole = self._tracing.start("batch", at=claimed_at)
        links = [whole.context] if whole.context else []
        for claimed, trace in traced:
            own = {**facts, "soloist.prediction": claimed.id, "soloist.attempt": claimed.attempt}
            # By this machine's clock, as all of its spans; the ledger's counted the seconds.
            queue = self._tracing.start("queue", trace, at=claimed_at - claimed.queue_seconds)
            queue.end(own, at=claimed_at)
            predict = self._tracing.start(
                "predict", trace, kind="consumer", links=links, at=claimed_at
            )
            if predict.context:
                whole.link(predict.context)
            error, seconds = verdict(claimed)
            predict.end(own, error=error, at=claimed_at + seconds)
        for at, name, attributes in batch.events:
            whole.event(name, attributes, at)
        whole.end(facts, at=time.time())
        return whole.context

    @staticmethod
    def _traced(batch: Batch) -> list[tuple[Claimed, TraceContext]]:
        pairs = (
            (c, read_record_context(c.traceparent, c.tracestate)) for c in batch.claimed.values()
        )
        return [(claimed, trace) for claimed, trace in pairs if trace and trace.sampled]
