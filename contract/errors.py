"""Every error that Soloist raises on purpose, each with a stable code.

SoloistError
├── RequestError            the request cannot be accepted as it is
│   ├── MalformedRequest        invalid_request
│   ├── InvalidRequest          invalid_request
│   ├── InvalidJson             invalid_json
│   ├── InvalidInput            invalid_input
│   ├── TooLarge                too_large
│   ├── UnsupportedMediaType    unsupported_media_type
│   ├── NotFound                not_found
│   ├── ModelNotFound           model_not_found
│   ├── PredictionNotFound      prediction_not_found
│   ├── MethodNotAllowed        method_not_allowed
│   ├── RequestTimeout          request_timeout
│   ├── HeadersTooLarge         headers_too_large
│   ├── NotOver                 not_over
│   ├── Misdirected             misdirected_request
│   └── Conflict                conflict
├── Refused                 it may be accepted later; carries retry_after_seconds
│   ├── QueueFull               queue_full
│   ├── LedgerUnavailable       ledger_unavailable
│   └── LedgerFull              ledger_full
├── OutcomeUnknown          outcome_unknown; the ledger may have carried it out, or may do so yet
├── PredictionFailed        why one prediction ended as failed or canceled (its `error_code`)
│   ├── BadItem                 invalid_input
│   ├── ModelError              model_error
│   ├── OutOfMemory             out_of_memory
│   ├── OutputInvalid           output_invalid
│   ├── OutputTooLarge          output_too_large
│   ├── Timeout                 timeout
│   ├── WorkerLost              worker_lost
│   ├── TooManyHandBacks        too_many_hand_backs
│   ├── VersionGone             version_gone
│   └── DeadlineExceeded        deadline_exceeded
├── DeviceLost              device_lost; the context is gone: the worker must hand back and exit
└── StartRefused            a process must not start; its message is the one line it exits with
    ├── SettingsInvalid         settings_invalid
    ├── CatalogInvalid          catalog_invalid
    ├── LedgerUnsafe            ledger_unsafe
    ├── LedgerNewer             ledger_newer
    ├── LedgerRefuses           ledger_refuses
    ├── ModelUnloadable         model_unloadable
    └── NoDevice                no_device
"""

from typing import ClassVar


class SoloistError(Exception):
    """An error with a stable code, a title for people and a sentence about this case."""

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title


class RequestError(SoloistError):
    """The request cannot be accepted as it is."""

    def __init__(self, detail: str = "", *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.pointer = pointer
        """JSON pointer (RFC 6901) to the offending place in the body, where one is known."""


class MalformedRequest(RequestError):
    """It is no HTTP request that can be read."""

    code, title = "invalid_request", "Bad Request"


class InvalidRequest(RequestError):
    code, title = "invalid_request", "Invalid request"


class InvalidJson(RequestError):
    code, title = "invalid_json", "The body is not JSON that can be accepted"


class InvalidInput(RequestError):
    code, title = "invalid_input", "The input does not fit the model"


class TooLarge(RequestError):
    code, title = "too_large", "The request is too large"


class UnsupportedMediaType(RequestError):
    code, title = "unsupported_media_type", "Unsupported media type"


class NotFound(RequestError):
    code, title = "not_found", "Not found"


class ModelNotFound(RequestError):
    code, title = "model_not_found", "Model not found"


class PredictionNotFound(RequestError):
    code, title = "prediction_not_found", "Prediction not found"


class MethodNotAllowed(RequestError):
    code, title = "method_not_allowed", "Method Not Allowed"


class RequestTimeout(RequestError):
    code, title = "request_timeout", "Request Timeout"


class HeadersTooLarge(RequestError):
    code, title = "headers_too_large", "Request Header Fields Too Large"


class NotOver(RequestError):
    code, title = "not_over", "The prediction is not over"


class Misdirected(RequestError):
    code, title = "misdirected_request", "Misdirected request"


class Conflict(RequestError):
    code, title = "conflict", "Conflict with an earlier request"


class Refused(SoloistError):
    """It was not recorded and will not run; the caller may try again."""

    def __init__(self, detail: str = "", *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Refused):
    code, title = "queue_full", "The model's queue is full"


class LedgerUnavailable(Refused):
    code, title = "ledger_unavailable", "The ledger does not answer"

    def __init__(self, detail: str = "", *, sent: bool = False) -> None:
        super().__init__(detail)
        self.sent = sent
        """True when the call was on its way and no answer came: the ledger may have carried it out."""


class LedgerFull(Refused):
    code, title = "ledger_full", "The ledger has no room"


class OutcomeUnknown(SoloistError):
    """It was on its way to the ledger and no answer came: it may be carried out, or may be yet."""

    code, title = "outcome_unknown", "The ledger did not say what became of it"
    retry_after_seconds: ClassVar[float] = 1.0

    def __init__(self, detail: str = "", *, prediction: str, repeatable: bool = False) -> None:
        super().__init__(detail)
        self.prediction = prediction
        """The id to ask for."""
        self.repeatable = repeatable
        """True when the same request again does no harm, whatever became of this one."""


class PredictionFailed(SoloistError):
    """Why one prediction ended without an output."""


class BadItem(PredictionFailed):
    code, title = "invalid_input", "The model cannot read this input"


class ModelError(PredictionFailed):
    code, title = "model_error", "The model failed on this input"


class OutOfMemory(PredictionFailed):
    code, title = "out_of_memory", "The input does not fit in the device's memory"


class OutputInvalid(PredictionFailed):
    code, title = "output_invalid", "The model's output is not valid JSON"


class OutputTooLarge(PredictionFailed):
    code, title = "output_too_large", "The output is larger than the model's limit"


class Timeout(PredictionFailed):
    code, title = "timeout", "The prediction ran past the model's hard limit"


class WorkerLost(PredictionFailed):
    code, title = "worker_lost", "The prediction lost its worker too often"


class TooManyHandBacks(PredictionFailed):
    code, title = "too_many_hand_backs", "No worker had the time to finish the prediction"


class VersionGone(PredictionFailed):
    code, title = "version_gone", "No worker of the version will come any more"


class DeadlineExceeded(PredictionFailed):
    code, title = "deadline_exceeded", "The deadline passed"


class DeviceLost(SoloistError):
    code, title = "device_lost", "The device's context is gone"


EXIT_REFUSED = 78
"""The exit code of a process that refused to start (sysexits.h EX_CONFIG): starting again without a
change will not help."""


class StartRefused(SoloistError):
    """A process must not start; the message is the one line it exits with."""


class SettingsInvalid(StartRefused):
    code, title = "settings_invalid", "Invalid settings"


class CatalogInvalid(StartRefused):
    code, title = "catalog_invalid", "Invalid catalog"


class LedgerUnsafe(StartRefused):
    code, title = "ledger_unsafe", "The ledger would lose predictions"


class LedgerNewer(StartRefused):
    code, title = "ledger_newer", "The ledger was written by a newer release"


class LedgerRefuses(StartRefused):
    code, title = "ledger_refuses", "The ledger refuses what it is asked for"


class ModelUnloadable(StartRefused):
    code, title = "model_unloadable", "The model cannot be loaded"


class NoDevice(StartRefused):
    code, title = "no_device", "No device for this model"
