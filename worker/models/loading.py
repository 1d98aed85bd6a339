"""Loading of transformers models: offline, safetensors only, no code of the model's own.

Whatever goes wrong raises ModelUnloadable with one sentence that names the model, says what is wrong
and the way out; the worker exits with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging
from transformers.utils.hub import cached_file

from contract.catalog import ModelSpec, source_folder
from contract.errors import ModelUnloadable, StartRefused
from worker.models.faults import brief
from worker.models.fetching import CONFIG, hub_id, weights
from worker.models.missing import needed
from worker.models.phases import during

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

BODIES = ("AutoModel", "AutoModelForTextEncoding")
"""Models without a head, of which tasks read the last hidden state."""


class Checkpoint:
    """The files of one model on this machine, in a folder or in the Hugging Face cache."""

    def __init__(self, spec: ModelSpec) -> None:
        _silence()
        self.spec = spec
        with self.reading("its source"):
            self.source = source_folder(spec.source or "")
        self._check()

    def file(self, name: str) -> Path | None:
        """Where a file of the model is; None if it has none of this name."""
        found = cached_file(
            self.source,
            name,
            revision=self.spec.revision,
            local_files_only=True,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False,
        )
        return Path(found) if found else None

    def part(self, kind: str, **options: Any) -> Any:
        """The tokenizer, image processor or feature extractor, by the name of its Auto class."""
        with self.reading(f"its {kind.removeprefix('Auto')}"):
            return getattr(transformers, kind).from_pretrained(
                self.source, **self._options(), **options
            )

    def tokenizer(self) -> Any:
        """The tokenizer; transformers makes an empty one up where its files are missing."""
        found = self.part("AutoTokenizer")
        names = set(found.vocab_files_names.values())
        names |= {"tokenizer.json"} if names else set()  # ByT5 and its kin need no file
        if names and not any(self.file(name) for name in names):
            raise self.refusal(f"it has no tokenizer file: {' or '.join(sorted(names))}")
        return found

    def model(self, kind: str, device: str, reads: tuple[str, ...] = ()) -> Any:
        """The model of this Auto class with its weights on `device`, ready to infer.

        Weights that the checkpoint lacks are never made up. `reads`: the fields of the model's output
        that the task reads, if not all; what only others depend on may lack.
        """
        config = self.part("AutoConfig")
        auto = getattr(transformers, kind)
        if type(config) not in auto._model_mapping:
            raise self.refusal(f"a {config.model_type} model cannot do {self.spec.task}")
        with self.reading("the model"):
            model, report = auto.from_pretrained(
                self.source,
                config=config,
                dtype=self._dtype(device),
                use_safetensors=True,
                output_loading_info=True,
                **self._options(),
            )
        with self.reading("the weights onto the device"):
            model = model.eval().requires_grad_(False).to(device)
        if kind in BODIES:
            reads = reads or ("last_hidden_state",)
        lacking = needed(model, report["missing_keys"], reads) if report["missing_keys"] else []
        if lacking:
            raise self.refusal(
                f"its checkpoint has no weights for {', '.join(lacking[:3])}"
                f"{' and others' if len(lacking) > 3 else ''}: it was not trained for "
                f"{self.spec.task}; take one that was, or another `task`"
            )
        return model

    def refusal(self, reason: str) -> ModelUnloadable:
        return ModelUnloadable(f"model {self.spec.name!r}: {reason} ({self.spec.source})")

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turns whatever goes wrong inside into one sentence about this model."""
        try:
            yield
        except StartRefused as error:
            raise self.refusal(error.detail) from error
        except Exception as error:
            reason = f"{what} cannot be loaded: {type(error).__name__}: {brief(error)}"
            raise self.refusal(reason) from error

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        """Around the model's first passes, which allocate and compile."""
        with self.reading("the model's first pass"), during("warm_up"):
            yield

    def _options(self) -> dict[str, Any]:
        return {
            "revision": self.spec.revision or "main",
            "local_files_only": True,
            "trust_remote_code": False,
        }

    def _dtype(self, device: str) -> Any:
        """`auto`: the checkpoint's own type on a GPU; float32 on a CPU, where half types are slow."""
        if self.spec.dtype != "auto":
            return DTYPES[self.spec.dtype]
        return torch.float32 if device == "cpu" else "auto"

    def _check(self) -> None:
        on_hub = hub_id(self.source) is not None
        if not on_hub and not Path(self.source).is_dir():
            raise self.refusal(f"there is no folder {self.source}; set `source` to one")
        config = self.file(CONFIG)
        if config is None and on_hub:
            raise self.refusal(f"this revision is not in the local Hugging Face cache{self._way()}")
        if config is None:
            raise self.refusal(f"its folder has no {CONFIG}, so it holds no transformers model")
        folder = config.parent
        with self.reading("the index of its weights"):
            files = weights(folder, {path.name for path in folder.iterdir()})
        lacking = [name for name in files if not (folder / name).is_file()]
        if lacking:
            raise self.refusal(f"its weights lack {lacking[0]}{self._way() if on_hub else ''}")
        if not files and any((folder / name).is_file() for name in PICKLES):
            raise self.refusal(
                "its weights are not safetensors, and loading a pickle runs code; convert them "
                "with `model.save_pretrained(folder)`"
            )
        if not files:
            raise self.refusal(f"it has no model.safetensors{self._way() if on_hub else ''}")

    def _way(self) -> str:
        revision = f" --revision {self.spec.revision}" if self.spec.revision else ""
        return (
            ", and workers do not download; where there is a network run `python -m worker --model "
            f"{self.spec.name} --fetch` (in a cluster: hub.fetch) or `hf download {self.source}{revision}`"
        )


@cache
def _silence() -> None:
    """One process, one model: its log is the worker's, not a progress bar's."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
