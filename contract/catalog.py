"""The catalog: which models are served, and how. One YAML file, a map of models."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from contract.errors import CatalogInvalid, ModelNotFound
from contract.ledger.lease_terms import TIMEOUT_SECONDS
from contract.tasks import TASKS, Schema, TaskName
from contract.versions import HALF, UNTOLD, entry_of, is_version

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
PublicId = Annotated[str, StringConstraints(pattern=r"^[^/\s:]+/[^/\s:]+$")]

MAX_OUTPUT_BYTES = 4 * 1024 * 1024

ANYTHING: Schema = {"type": "object"}

IN_A_VERSION = frozenset(
    ("id", "source", "task", "python", "revision", "dtype", "pooling", "generation", "options")
)
"""The fields that name a version: with another value another model, or the same one otherwise, would answer."""
NOT_FOR_WORKERS = frozenset(
    ("description", "max_queue", "result_ttl_seconds", "scaling_target", "cost_per_hour")
)
"""The fields that no worker reads: in a cluster they are not in its catalog, and a change restarts no worker.
The schemas of a `python` model are not among them, as its class gets them.
"""
NOT_FOR_GATEWAYS = frozenset(
    (
        *("device", "max_batch_tokens", "timeout_seconds", "max_output_bytes"),
        *("scaling_target", "cost_per_hour"),
    )
)
"""The fields that no gateway reads: in a cluster a change of them restarts none."""
NOT_FOR_KEEPERS = frozenset(
    (
        *("description", "result_ttl_seconds", "device", "max_batch_tokens", "timeout_seconds"),
        *("max_output_bytes", "input_schema", "output_schema"),
    )
)
"""The fields that no keeper reads."""


class ModelSpec(BaseModel):
    """How one model is served. `name` is its key in the catalog, the queue and the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: ModelName
    id: PublicId = Field(
        "",
        validate_default=False,
        description="`owner/name` in the API; `local/<name>` if not set.",
    )
    source: str | None = Field(
        None,
        description="A folder, a Hugging Face id, or `package:NAME/FOLDER` inside an installed Python package.",
    )
    task: TaskName | None = Field(None, description="What a transformers model does.")
    python: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] | None = Field(
        None, description="`package.module:Class` with `load(spec, device)` and `predict(items)`."
    )
    revision: str | None = Field(
        None,
        description="Commit, tag or branch of a Hugging Face id; of any other model a word of yours, "
        "which makes it another version.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="`auto`: a GPU where the machine has one; `cuda`: refuse to start without.",
    )
    max_batch_size: int = Field(32, ge=1, le=4096, description="Most predictions in one batch.")
    max_batch_tokens: int = Field(
        16384, ge=1, description="Most tokens, padding included, in one forward pass."
    )
    timeout_seconds: float = Field(TIMEOUT_SECONDS, gt=0, description="Hard limit of one batch.")
    max_queue: int = Field(10_000, ge=1, description="Predictions that may wait; then 429.")
    result_ttl_seconds: float = Field(
        3600.0, gt=0, description="How long a prediction is kept after it is over."
    )
    max_output_bytes: int = Field(
        MAX_OUTPUT_BYTES,
        ge=1,
        le=64 * 1024 * 1024,
        description="Most bytes of one output as JSON; a larger one fails.",
    )
    scaling_target: int | None = Field(
        None,
        ge=1,
        description="Predictions that one worker should have: what the autoscaler aims at. "
        "`max_batch_size` if not set.",
    )
    cost_per_hour: float | None = Field(
        None, ge=0, description="What one worker costs an hour, in your currency."
    )
    pooling: Literal["auto", "mean", "cls", "lasttoken", "none"] = Field(
        "auto",
        description="feature-extraction: one vector a text, or one a token (`none`). "
        "`auto`: as the model's own sentence-transformers files say.",
    )
    generation: dict[str, Any] = Field(
        default_factory=dict, description="Defaults for the generation parameters."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Free settings for a `python` model."
    )
    input_schema: Schema = Field(
        default_factory=dict, description="JSON Schema of a `python` model's input."
    )
    output_schema: Schema = Field(
        default_factory=dict, description="JSON Schema of a `python` model's output."
    )
    description: str = ""
    _written: str | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _public_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            return {**data, "id": f"local/{data.get('name')}"}
        return data

    @model_validator(mode="after")
    def _one_kind(self) -> "ModelSpec":
        if self.python and (self.source or self.task):
            raise ValueError("give either `python`, or `source` and `task`, not both")
        if not self.python and not (self.source and self.task):
            raise ValueError("give `source` and `task`, or `python: package.module:Class`")
        if self.task and (self.input_schema or self.output_schema):
            raise ValueError("`input_schema` and `output_schema` are for `python` models only")
        return self

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def target(self) -> int:
        """Predictions that one worker should have."""
        return self.scaling_target or self.max_batch_size

    @property
    def inputs(self) -> Schema:
        """JSON Schema that every input of this model is checked against."""
        return TASKS[self.task].input if self.task else (self.input_schema or ANYTHING)

    @property
    def outputs(self) -> Schema:
        """JSON Schema of the model's outputs."""
        return TASKS[self.task].output if self.task else self.output_schema

    @property
    def refused(self) -> Mapping[str, str]:
        """Parameters that callers of such a task may know and that are not served, each with the reason."""
        return TASKS[self.task].refused if self.task else {}

    @cached_property
    def entry(self) -> str:
        """The first half of its versions: 32 hex digits that change when another model, or the same one
        otherwise, would answer. The same wherever the catalog lies.
        """
        what = self.model_dump(include=set(IN_A_VERSION))
        what["source"] = self._written or self.source
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:HALF]

    def version(self, content: str = UNTOLD) -> str:
        """The version's name, with what a worker's files hold."""
        return self.entry + content


class Catalog(Mapping[str, ModelSpec]):
    """The models by name. Iterates in the order of the file."""

    def __init__(self, specs: list[ModelSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._by_id: dict[str, ModelSpec] = {}
        self._by_entry = {spec.entry: spec for spec in specs}
        for spec in specs:
            first = self._by_id.setdefault(spec.id, spec)
            if first is not spec:
                raise CatalogInvalid(
                    f"models.{spec.name}.id: models.{first.name} has the id {spec.id} too"
                )

    def __getitem__(self, name: str) -> ModelSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def find(self, reference: str) -> ModelSpec:
        """The model that `owner/name`, `owner/name:version` or a version id names. Whether the version is
        served, only the ledger knows.

        Raises:
            ModelNotFound: the catalog has no such model.
        """
        public_id, _, version = reference.partition(":")
        spec = self._by_id.get(public_id)
        if spec is None and is_version(reference):
            spec = self._by_entry.get(entry_of(reference))
        if spec is None or (version and not is_version(version)):
            raise ModelNotFound(f"the catalog has no model {reference[:200]!r}")
        return spec


def load_catalog(path: Path) -> Catalog:
    """Read a catalog file. Relative folders in it are relative to the file.

    Raises:
        CatalogInvalid: the file is missing, is not YAML, or an entry is wrong; the message names it.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - a safe loader
    except CatalogInvalid as error:
        raise CatalogInvalid(f"{path}: {error.detail}") from None
    except OSError as error:
        raise CatalogInvalid(f"cannot read the catalog {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CatalogInvalid(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if (
        not isinstance(data, dict)
        or set(data) != {"models"}
        or not isinstance(data["models"], dict)
    ):
        raise CatalogInvalid(f"{path} must hold one map, `models`, of model names")
    if not data["models"]:
        raise CatalogInvalid(f"{path} names no model")
    specs = [read_entry(path, name, entry) for name, entry in data["models"].items()]
    try:
        return Catalog(specs)
    except CatalogInvalid as error:
        raise CatalogInvalid(f"{path}: {error}") from None


class _Strict(yaml.SafeLoader):
    """YAML in which a name may stand once: PyYAML would take the last and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1 and name != "<<":
                line = node.start_mark.line + 1
                raise CatalogInvalid(f"{name!r} stands twice in the map of line {line}")
        return super().construct_mapping(node, deep)


def read_entry(path: Path, name: Any, entry: Any) -> ModelSpec:
    """The model `name` of a catalog, by its entry; `path` is the catalog's file.

    Raises:
        CatalogInvalid: the entry is wrong; the message names the place.
    """
    if not isinstance(entry, dict):
        raise CatalogInvalid(f"{path}: models.{name} must be a map")
    entry = {**entry, "name": name}
    source = entry.get("source")
    if isinstance(source, str) and source.startswith((".", "~")):
        entry["source"] = str((path.parent / Path(source).expanduser()).resolve())
    try:
        spec = ModelSpec.model_validate(entry)
        # Gateway and workers may have their catalogs in different places, but must agree on versions.
        spec._written = source
        return spec
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["models", str(name), *map(str, first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        raise CatalogInvalid(f"{path}: {place}: {message}") from None


def source_folder(source: str) -> str:
    """A `package:NAME/FOLDER` source as a folder on this machine; any other as it is.

    Raises:
        CatalogInvalid: the package is not installed.
    """
    scheme, _, rest = source.partition(":")
    if scheme != "package" or not rest:
        return source
    package, _, folder = rest.partition("/")
    try:
        found = find_spec(package)
    except (ImportError, ValueError):  # a dotted name without its first part, an empty name
        found = None
    if found is None or not found.submodule_search_locations:
        raise CatalogInvalid(
            f"source {source!r}: the Python package {package!r} is not installed; install it with pip "
            "(the demo's comes with a worker image built with DEMO=true)"
        )
    return str(Path(found.submodule_search_locations[0]) / folder)
