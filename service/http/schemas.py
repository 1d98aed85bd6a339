"""The bodies of requests and answers as types; the OpenAPI document is made of them (service/http/openapi.py)."""

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic reads no other before Python 3.12
)

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict

from contract.prediction import Priority, Status

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 with Z."""


class PredictionRequest(BaseModel):
    """The body of a request to predict."""

    model_config = ConfigDict(extra="forbid")

    input: Annotated[dict[str, Any], Field(description="As the model's input schema says.")]
    version: str | None = Field(
        None,
        max_length=300,
        description="A version id, owner/name, or owner/name:version. No other version than a named one runs it.",
    )
    priority: Priority | None = None
    stream: bool = Field(False, description="Ignored: every prediction can be streamed.")
    # Refused, with a sentence of their own.
    webhook: SkipJsonSchema[str | None] = None
    webhook_events_filter: SkipJsonSchema[list[str] | None] = None


class Problem(TypedDict):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: Annotated[
        str, Field(description="The path of the request; empty where it was not read.")
    ]
    code: str
    pointer: NotRequired[Annotated[str, Field(description="RFC 6901: the place in the body.")]]
    prediction: NotRequired[Annotated[str, Field(description="Of a 504: the id to ask for.")]]


class Metrics(TypedDict, total=False):
    predict_time: Annotated[float, Field(description="seconds")]
    queue_time: Annotated[float, Field(description="seconds")]
    total_time: Annotated[float, Field(description="seconds")]


class Urls(TypedDict):
    get: str
    cancel: str
    stream: str


class PredictionSummary(TypedDict):
    """A prediction without what may be large or nobody else's business."""

    id: str
    model: Annotated[str, Field(description="owner/name")]
    status: Status
    error_code: str | None
    progress: Annotated[float | None, Field(ge=0, le=1)]
    attempt: int
    metrics: Metrics
    created_at: Instant
    started_at: Instant | None
    completed_at: Instant | None


class Prediction(PredictionSummary):
    """A prediction in the shape of the Replicate HTTP API."""

    version: Annotated[
        str,
        Field(description="The version that ran it; before that, the one that is expected to."),
    ]
    version_pinned: Annotated[
        bool, Field(description="True when the request named the version: no other runs it.")
    ]
    input: Annotated[Any, WithJsonSchema({"type": "object"})]
    output: Annotated[
        Any, Field(description="As the model's output schema says; null until it succeeded.")
    ]
    logs: str
    error: str | None
    urls: Urls
    data_removed: Annotated[bool, Field(description="Its input, output and logs were deleted.")]
    queue_position: Annotated[int | None, Field(description="1 is next")]
    eta_seconds: float | None
    priority: Priority
    deadline: Instant | None
    warning: NotRequired[
        Annotated[
            str,
            Field(
                description="In the answer to a create alone: it was accepted, and no worker of its model can start."
            ),
        ]
    ]


class PredictionPage(TypedDict):
    previous: str | None
    next: str | None
    results: list[Prediction]


class StartFailure(TypedDict):
    """Why the last worker that could not start did not, until one is ready or for a quarter of an hour."""

    code: str
    detail: str
    seconds: Annotated[float, Field(description="since then")]


class Queue(TypedDict):
    queued: int
    running: int
    busy: Annotated[int, Field(description="workers")]
    oldest_seconds: float
    eta_seconds: Annotated[float | None, Field(description="for all that waits")]


class Worker(TypedDict):
    name: str
    state: Literal["starting", "ready", "busy", "draining"]
    state_seconds: float
    phase: str
    device: str
    gpu_name: str
    gpu_uuid: str
    version: str
    loaded: Annotated[
        str,
        Field(description="What a ready one has loaded, on what, how fast and in how much memory."),
    ]
    model_version: Annotated[str, Field(description="Empty where an older worker does not say.")]


class ModelState(TypedDict):
    """The state of a model, its queue and its workers; null while the ledger does not say."""

    state: Annotated[
        Literal["cold", "starting", "failing", "ready", "busy"] | None,
        Field(
            description="What the next prediction meets: no worker, one on its way, none that can start, a free one, "
            "or none that is free."
        ),
    ]
    failure: StartFailure | None
    queue: Queue | None
    workers: list[Worker] | None


class NamedModelState(ModelState):
    id: Annotated[str, Field(description="owner/name")]


class StatusReport(TypedDict):
    """What the status page shows."""

    version: str
    now: Annotated[Instant | None, Field(description="The ledger's clock")]
    models: list[NamedModelState]
    predictions: list[PredictionSummary]


class ModelVersion(TypedDict):
    """A version of a model, with the schemas of its input and output if it is in the catalog."""

    id: str
    created_at: Instant
    cog_version: str
    openapi_schema: dict[str, Any]


class Model(ModelState):
    """A model, for Replicate's clients and for OpenAI's."""

    url: str
    owner: str
    name: str
    description: str
    visibility: str
    github_url: str | None
    paper_url: str | None
    license_url: str | None
    run_count: int
    cover_image_url: str | None
    default_example: None
    latest_version: ModelVersion | None
    task: str | None
    example: Annotated[Any, Field(description="An input that fits the model's schema.")]
    id: str
    object: str
    created: int
    owned_by: str


class ModelList(TypedDict):
    """`results` for Replicate's clients, `data` for OpenAI's."""

    previous: None
    next: None
    results: list[Model]
    object: str
    data: list[Model]


class VersionList(TypedDict):
    previous: None
    next: None
    results: list[ModelVersion]


class Account(TypedDict):
    type: str
    username: str
    name: str
    github_url: str
