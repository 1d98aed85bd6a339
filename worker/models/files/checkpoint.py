"""Loading of transformers models: offline, safetensors only, no code of the model's own.

Whatever goes wrong raises ModelUnloadable with one sentence that names the model, says what is wrong
and the way out; the worker exits with it.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils import logging
from transformers.utils.hub import cached_file

from contract.catalog import ModelSpec, source_folder
from contract.errors import ModelUnloadable, StartRefused
from worker.models.files import obstacles, purpose
from worker.models.files.dtypes import OVERFLOW, choose_dtype, has_native_bfloat16
from worker.models.files.fetching import CONFIG, find_weight_files, hub_id
from worker.models.files.missing import find_needed_weights
from worker.models.files.tensors import Tensor, find_prefix, find_prevailing_dtype, read_header
from worker.models.timing import timed
from worker.models.torch_errors import explain_load_error, name_missing_package

INNER = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
"""What torch.compile, checkpointing and FSDP put into the names of weights, anywhere."""
LABELLED = ("Classification", "Detection", "Segmentation")
PIECES = ["spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model"]
PIECES += ["source.spm", "spm.model", "bpe.model"]
"""Files of tokenizers that sentencepiece reads, and protobuf."""
VOCABULARIES = ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tekken.json", *PIECES]


class Checkpoint:
    """The files of one model on this machine, in a folder or in the Hugging Face cache."""

    def __init__(self, spec: ModelSpec) -> None:
        _silence()
        self.spec = spec
        self.overflow = ""
        """What to try where the model computes infinities: another type of numbers."""
        with self.reading("its source"):
            self.source = source_folder(spec.source or "")
        self._check()
        # before a subclass reads its own files
        config = Checkpoint.load_part(self, "AutoConfig")
        if unfit := purpose.find_objection(config, spec.task):
            raise self.refusal(unfit)

    def find_file(self, name: str) -> Path | None:
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

    def load_part(self, kind: str, **options: Any) -> Any:
        """The tokenizer, image processor or feature extractor, by the name of its Auto class."""
        with self.reading(f"its {kind.removeprefix('Auto')}"):
            found = getattr(transformers, kind).from_pretrained(
                self.source, **self._options(), **options
            )
        labels = getattr(found, "id2label", None) if kind == "AutoConfig" else None
        if labels:  # some say numbers
            found.id2label = labels = {number: str(label) for number, label in labels.items()}
        if labels and set((found.label2id or {}).values()) != set(labels):
            found.label2id = {label: number for number, label in labels.items()}
        return found

    def load_tokenizer(self) -> Any:
        """The tokenizer; transformers makes an empty one up where its files are missing."""
        try:
            found = self.load_part("AutoTokenizer")
        except ModelUnloadable as error:
            # transformers tries other formats then, and its error is about the last of them
            if lacking := self._lacking_package():
                raise self.refusal(
                    f"its Tokenizer cannot be loaded: {name_missing_package(lacking)}"
                ) from error
            if not any(self.find_file(name) for name in VOCABULARIES):
                raise self.refusal(
                    f"it has no tokenizer, such as a tokenizer.json; copy it there: "
                    f"{self._way_out(self.load_part('AutoConfig'))}"
                ) from error
            raise
        names = set(found.vocab_files_names.values())
        names |= {"tokenizer.json"} if names else set()  # ByT5 and its kin need no file
        if names and not any(self.find_file(name) for name in names):
            raise self.refusal(f"it has no tokenizer file: {' or '.join(sorted(names))}")
        return found

    def _lacking_package(self) -> str | None:
        """The package that is missing, if the tokenizer's file needs sentencepiece."""
        if self.find_file("tokenizer.json") or not any(self.find_file(name) for name in PIECES):
            return None
        lacking = (name for name in ("sentencepiece", "google") if find_spec(name) is None)
        return next(lacking, None)

    def load_model(self, kind: str, device: str, reads: tuple[str, ...] = ()) -> Any:
        """The model of this Auto class with its weights on `device`, ready to infer.

        Weights that the checkpoint lacks are never made up. `reads`: the fields of the model's output
        that the task reads, if not all; what only others depend on may lack.
        """
        config = self.load_part("AutoConfig")
        auto = getattr(transformers, kind)
        if type(config) not in auto._model_mapping:
            raise self.refusal(purpose.explain_wrong_type(config, self.spec.task))
        self._check_class(kind, auto._model_mapping[type(config)])
        self._check_labels(kind, config)
        model, report = self._load(auto, config, device)
        if reason := obstacles.explain_unread_files(report["unexpected_keys"]):
            raise self.refusal(reason)
        if wrong := sorted(report["mismatched_keys"]):
            name, stored, made = wrong[0][:3]
            raise self.refusal(
                f"its {name} has the shape {tuple(stored)}, and {tuple(made)} by its config.json, so the two do "
                "not belong together; copy the config.json that was saved with the weights"
            )
        with self.reading("the weights onto the device"):
            model = model.eval().requires_grad_(False).to(device)
        if kind in purpose.BODIES:
            reads = reads or ("last_hidden_state",)
        lacking = (
            find_needed_weights(model, report["missing_keys"], reads)
            if report["missing_keys"]
            else []
        )
        if lacking and purpose.is_saved_for(config, kind):
            raise self.refusal(obstacles.explain_missing_parts(lacking))
        if lacking:
            raise self.refusal(
                f"its checkpoint has no weights for {obstacles.list_some(lacking)}, so it was not trained for "
                f"{self.spec.task}: {self._way_out(config)}"
            )
        return model

    def _load(self, auto: Any, config: Any, device: str) -> tuple[Any, dict[str, Any]]:
        """The model and what transformers reports of its loading.

        Weights may have been saved with a wrapper around the model (torch.compile, DataParallel,
        Lightning), whose name stands before all of theirs and is taken away.
        """
        names, renamed = list(self._tensors), dict[str, str]()
        for inner in INNER:
            if any(inner in name for name in names):
                names = [name.replace(inner, "") for name in names]
                renamed[re.escape(inner)] = ""
        found = self._from_pretrained(auto, config, device, renamed)
        outer = ""
        while found[1]["missing_keys"] and (
            first := find_prefix(n.removeprefix(outer) for n in names)
        ):
            outer += first
            outside = {f"^{re.escape(outer)}": "", **renamed}
            again = self._from_pretrained(auto, config, device, outside)
            if len(again[1]["missing_keys"]) < len(found[1]["missing_keys"]):
                found = again
        return found

    def _from_pretrained(
        self, auto: Any, config: Any, device: str, renamed: dict[str, str]
    ) -> tuple[Any, dict[str, Any]]:
        method = (getattr(config, "quantization_config", None) or {}).get("quant_method")
        if method and str(method) not in AUTO_QUANTIZATION_CONFIG_MAPPING:
            raise self.refusal(obstacles.explain_quantised(str(method)))  # it would be passed over
        try:
            loaded: tuple[Any, dict[str, Any]] = auto.from_pretrained(
                self.source,
                config=config,
                dtype=self._dtype(config, device),
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                key_mapping=renamed or None,
                **self._options(),
            )
        except Exception as error:
            if method:
                raise self.refusal(obstacles.explain_quantised(str(method))) from error
            with self.reading("the model"):
                raise
        return loaded

    def _way_out(self, config: Any) -> str:
        return purpose.suggest_task(config, self.spec.task)

    def _check_class(self, kind: str, ours: Any) -> None:
        """Refuses a known type whose folder names a class of another name for this Auto class."""
        named = str((self._said.get("auto_map") or {}).get(kind, "")).rpartition(".")[2]
        known = [one.__name__ for one in (ours if isinstance(ours, tuple) else (ours,)) if one]
        if named and named not in known:
            raise self.refusal(obstacles.explain_own_class(named, " or ".join(known)))

    def _check_labels(self, kind: str, config: Any) -> None:
        if not any(part in kind for part in LABELLED):
            return
        numbers = sorted(config.id2label)
        if numbers != list(range(len(numbers))):
            raise self.refusal(
                f"its labels are numbered {numbers[0]} to {numbers[-1]} in the id2label of its config.json, and "
                f"the model counts its {len(numbers)} from 0; number them as it was trained, from 0"
            )

    def check_generation(self, known: Collection[str]) -> None:
        """Refuses names in the catalog's `generation` that are not among `known`."""
        if unknown := self.spec.generation.keys() - set(known):
            raise self.refusal(f"`generation` has unknown names: {', '.join(sorted(unknown))}")

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
            reason = f"{what} cannot be loaded: {explain_load_error(error)}"
            raise self.refusal(reason) from error

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        """Around the model's first passes, which allocate and compile."""
        with self.reading("the model's first pass"), timed("warm_up"):
            yield

    def _options(self) -> dict[str, Any]:
        return {
            "revision": self.spec.revision or "main",
            "local_files_only": True,
            "trust_remote_code": False,
        }

    def _dtype(self, config: Any, device: str) -> Any:
        stored = find_prevailing_dtype(self._tensors.values())
        asked, native = self.spec.dtype, has_native_bfloat16(device) if device != "cpu" else True
        kind = choose_dtype(asked, device, config.dtype, stored, bfloat16=native)
        self.overflow = OVERFLOW if kind == torch.float16 else ""
        return kind

    def _check(self) -> None:
        on_hub = hub_id(self.source) is not None
        if not on_hub and not Path(self.source).is_dir():
            raise self.refusal(f"there is no folder {self.source}; set `source` to one")
        config = self.find_file(CONFIG)
        if config is None and on_hub and self.find_file(obstacles.ADAPTER) is None:
            raise self.refusal(f"this revision is not in the local Hugging Face cache{self._way()}")
        folder = config.parent if config else Path(self.source)
        names = {path.relative_to(folder).as_posix() for path in folder.glob("*")}
        names |= {path.relative_to(folder).as_posix() for path in folder.glob("onnx/*")}
        self._check_files(folder, names, config)
        with self.reading("the index of its weights"):
            files = find_weight_files(folder, names)
        lacking = [name for name in files if not (folder / name).is_file()]
        if lacking:
            way = self._way() if on_hub else "; copy it there, too, or take it out of the index"
            raise self.refusal(f"its weights lack {lacking[0]}{way}")
        if not files and on_hub:
            raise self.refusal(f"it has no model.safetensors{self._way()}")
        if not files:
            raise self.refusal(obstacles.explain_no_weights(names, self._architecture()))
        self._tensors = self._headers(folder / name for name in files)

    def _check_files(self, folder: Path, names: set[str], config: Path | None) -> None:
        adapter = self.find_file(obstacles.ADAPTER)
        if adapter is not None:
            with self.reading("its adapter_config.json"):
                base = json.loads(adapter.read_text("utf-8")).get("base_model_name_or_path")
            raise self.refusal(str(obstacles.explain_adapter({obstacles.ADAPTER}, base)))
        if config is None:
            raise self.refusal(obstacles.explain_no_config(names))
        with self.reading("its config.json"):
            text = config.read_text("utf-8")
            if text.startswith("\ufeff"):  # transformers cannot read past it
                raise ModelUnloadable(obstacles.BOM)
            self._said = json.loads(text)
            if wrong := obstacles.explain_config(self._said):
                raise ModelUnloadable(wrong)
        if self._said.get("model_type", "timm_wrapper") not in transformers.CONFIG_MAPPING:
            raise self.refusal(obstacles.explain_own_code(self._said))

    def _architecture(self) -> str | None:
        return next(iter(self._said.get("architectures") or ()), None)

    def _headers(self, files: Iterable[Path]) -> dict[str, Tensor]:
        """What the headers of these weights say."""
        found: dict[str, Tensor] = {}
        for file in files:
            try:
                found |= read_header(file)
            except ValueError as error:
                raise self.refusal(str(error)) from error
        return found

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
