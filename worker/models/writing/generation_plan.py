"""What `generate` does for one text: the caller's parameters over the catalog's over the model's own file."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig, WatermarkingConfig
from transformers.generation.configuration_utils import GenerationMode

from contract.errors import BadItem
from contract.tasks import TASKS
from worker.models.files.checkpoint import Checkpoint

NEW_TOKENS = 256
"""Most new tokens where neither the caller, the catalog nor the model says."""

SAMPLING = frozenset({"temperature", "top_k", "top_p", "min_p", "typical_p"})
"""Each of these asks for sampling, unless `do_sample` says otherwise."""

LENGTHS = frozenset({"max_new_tokens", "max_length", "min_new_tokens", "min_length"})

CHOICES = SAMPLING | {
    "do_sample",
    "num_beams",
    "early_stopping",
    "length_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "forced_bos_token_id",
}
"""Parameters that go into the configuration under their own name."""

SPEED = (
    "assistant_early_exit",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "low_memory",
    "max_cache_len",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "use_mtp",
)
"""Settings of a model's file about speed and memory. They change no text, and are ignored."""

MODES = {
    GenerationMode.GREEDY_SEARCH: None,
    GenerationMode.SAMPLE: None,
    GenerationMode.BEAM_SEARCH: None,
    GenerationMode.BEAM_SAMPLE: "`do_sample` with `num_beams`",
    GenerationMode.CONTRASTIVE_SEARCH: "`penalty_alpha` (contrastive search)",
    GenerationMode.DOLA_GENERATION: "`dola_layers` (DoLa)",
    GenerationMode.GROUP_BEAM_SEARCH: "`num_beam_groups` (diverse beams)",
    GenerationMode.CONSTRAINED_BEAM_SEARCH: "`constraints` or `force_words_ids`",
    GenerationMode.ASSISTED_GENERATION: "an assistant",
}
"""Ways to search, and the name of each that is not served. transformers has most of them as code on
the hub, which workers never run."""


TYPES: dict[str, Any] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "string": str,
}


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """What `generate` is to do for one text."""

    config: GenerationConfig
    """All of it, with the lengths that hold for this text."""
    start: int
    """Tokens that are there before the first new one."""
    most: int
    """Most new tokens."""
    key: tuple[Any, ...]
    """Equal for plans that differ in nothing but lengths."""

    @property
    def beams(self) -> int:
        return int(self.config.num_beams)


class GenerationPlanner:
    """The plans of one model."""

    def __init__(
        self,
        own: GenerationConfig,
        defaults: Mapping[str, Any],
        suggested: Mapping[str, Any] | None = None,
    ) -> None:
        """`own`: what the model's files say; `defaults`: the catalog's parameters; `suggested`: values of
        the task, for what the model's own file leaves open.
        """
        self._own = copy.deepcopy(own)
        for name, value in (suggested or {}).items():
            if name in CHOICES | LENGTHS and getattr(own, name) is None:
                setattr(self._own, name, value)
        self._own_lengths = {name: getattr(self._own, name) for name in LENGTHS}
        self._cache = own.cache_implementation
        for name in (*LENGTHS, *SPEED):
            setattr(self._own, name, None)
        usual = GenerationConfig._get_default_generation_params()
        self._own.update(  # type: ignore[no-untyped-call]
            **{**usual, **dict.fromkeys(LENGTHS)}, defaults_only=True
        )
        self._defaults = defaults

    def find_unserved(self) -> str:
        """The setting of the model's own file or the catalog that is not served; empty if there is none."""
        own = self._own
        if self._cache == "quantized":
            return "`cache_implementation: quantized` (it changes what is computed)"
        if own.token_healing:
            return "`token_healing`"
        if own.max_time is not None:
            return "`max_time` (`timeout_seconds` in the catalog limits a batch)"
        if (own.num_return_sequences or 1) > 1:
            return "`num_return_sequences` (a prediction has one answer for each text)"
        config, _ = self._config({})
        return MODES[config.get_generation_mode()] or ""

    def plan(self, given: Mapping[str, Any], start: int, room: int) -> GenerationPlan:
        """For a text behind `start` tokens, where there is room for `room` more.

        `given`: the caller's parameters.

        Raises:
            BadItem: parameters that contradict each other, or ask for more than there is room for.
        """
        config, key = self._config(given)
        if config.num_beams > 1 and given.get("stop", self._defaults.get("stop")):
            raise BadItem("`num_beams` does not go with `stop`")
        if strange := MODES[config.get_generation_mode()]:
            raise BadItem(f"{strange} is not served; set `do_sample: false` or `num_beams: 1`")
        most = self._most(given, start, room)
        least = self._least(given, start)
        if least > most and {"min_new_tokens", "min_length"} & given.keys():
            raise BadItem(
                f"At least {least} new tokens are asked for (`min_new_tokens`), and at most {most}"
            )
        config.max_length, config.min_length = start + most, start + least if least > 0 else 0
        return GenerationPlan(config, start, most, (*key, least))

    def _config(self, given: Mapping[str, Any]) -> tuple[GenerationConfig, tuple[Any, ...]]:
        """The configuration without its lengths, and what in it is not the model's own."""
        asked = {**self._defaults, **given}
        chosen = {name: asked[name] for name in CHOICES & asked.keys()}
        if chosen.get("do_sample") is None and SAMPLING & chosen.keys():
            chosen["do_sample"] = True
        draws = given.get("do_sample") or SAMPLING & given.keys()
        if chosen.get("do_sample") and "num_beams" not in (given if draws else chosen):
            # asking for sampling overrides beams that come from a lower level
            chosen["num_beams"] = 1
        if asked.get("watermark"):
            chosen["watermarking_config"] = WatermarkingConfig()
        config = copy.copy(self._own)
        for name, value in chosen.items():
            setattr(config, name, value)
        return config, tuple(sorted((name, str(value)) for name, value in chosen.items()))

    def _most(self, given: Mapping[str, Any], start: int, room: int) -> int:
        for said in (given, self._defaults, self._own_lengths):
            most = said.get("max_new_tokens")
            if most is None and said.get("max_length") is not None:
                most = said["max_length"] - start
                if most < 1:
                    raise BadItem(
                        f"There is no room for a new token: `max_length` is {said['max_length']} and "
                        f"counts {start} that are there before; ask for `max_new_tokens`"
                    )
            if most is None:
                continue
            if said is given and most > room:
                raise BadItem(
                    f"{most} new tokens are asked for behind {start}, and the model has room for "
                    f"{start + room} in all"
                )
            return min(int(most), room)
        return min(NEW_TOKENS, room)

    def _least(self, given: Mapping[str, Any], start: int) -> int:
        for said in (given, self._defaults, self._own_lengths):
            if said.get("min_new_tokens") is not None:
                return int(said["min_new_tokens"])
            if said.get("min_length") is not None:
                return int(said["min_length"]) - start
        return 0


def flatten_parameters(
    parameters: Mapping[str, Any], nested: str = "generate_parameters"
) -> dict[str, Any]:
    """The parameters with those that the Hugging Face clients put into one named `nested`."""
    named = {name: value for name, value in parameters.items() if name != nested}
    return {**(parameters.get(nested) or {}), **named}


def make_config(**values: Any) -> GenerationConfig:
    """A configuration with nothing but these values."""
    return GenerationConfig(**values)  # type: ignore[no-untyped-call]


def check_catalog_generation(checkpoint: Checkpoint) -> None:
    """Refuse a `generation` in the catalog that the task does not have. Unlike what callers send it was not
    validated.

    Raises:
        ModelUnloadable: it names a parameter that there is not, or a value of another type.
    """
    spec = checkpoint.spec
    known = TASKS[str(spec.task)].parameters
    checkpoint.check_generation(known)
    for name, value in spec.generation.items():
        if not fits_schema(value, known[name]):
            raise checkpoint.refusal(f"`generation` has {name}: {value!r}, which is no value of it")


def fits_schema(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether it is of the schema's type."""
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, bool):
        return bool(schema["type"] == "boolean")
    return isinstance(value, TYPES[schema["type"]])
