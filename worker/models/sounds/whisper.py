"""The arguments of Whisper's own `generate`: languages and tasks, times, thresholds, temperatures.

Radford et al. 2022, https://arxiv.org/abs/2212.04356, section 4.5 for sounds longer than its window.
"""

from collections.abc import Mapping
from typing import Any

from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from contract.errors import BadItem

THRESHOLDS = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")
OPTIONS = frozenset({"language", "task", "condition_on_prev_tokens", *THRESHOLDS})
"""The generation parameters that only Whisper has."""
SAMPLING = frozenset({"top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"})
NEW_TOKENS = 256
"""Most new tokens where neither the caller, the catalog nor the model says, as in transformers' pipeline."""
STARTS = 4
"""Most tokens that open a transcript: start, language, task, no timestamps."""


class Whisper:
    """A model's own generation_config.json, and what a row may ask beyond it."""

    def __init__(self, model: Any) -> None:
        self._own = model.generation_config
        self._positions: int = model.config.max_target_positions

    def times(self, asked: Any) -> Any:
        """What is timed: False, True for parts of the text, or `word`.

        Raises:
            BadItem: the model cannot.
        """
        times = getattr(self._own, "return_timestamps", None) if asked is None else asked
        if times == "char":
            raise BadItem("Whisper times words and parts (`true`), and no characters")
        if times and not self.knows_times:
            raise BadItem(
                "This model's generation_config.json has no `no_timestamps_token_id`, so it has no "
                "`return_timestamps`"
            )
        if times == "word" and not hasattr(self._own, "alignment_heads"):
            raise BadItem(
                "This model's generation_config.json has no `alignment_heads`, so it times no words; "
                "`return_timestamps: true` times parts"
            )
        return times or False

    @property
    def knows_times(self) -> bool:
        return hasattr(self._own, "no_timestamps_token_id")

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `generate`.

        Raises:
            BadItem: the model cannot, or the options contradict each other.
        """
        options = {**given}
        self._speaks(given)
        for name in (*THRESHOLDS, "condition_on_prev_tokens"):
            # given again, as `generate` keeps the scores only for thresholds among its arguments
            value = given.get(name, getattr(self._own, name, None))
            if value is not None:
                options[name] = value
        if "no_speech_threshold" in options and not (
            "logprob_threshold" in options and self.knows_times
        ):
            raise BadItem("`no_speech_threshold` needs a `logprob_threshold` beside it")
        self._samples(options)
        self._limits(options)
        return options

    def draws(self, options: Mapping[str, Any]) -> bool:
        """Whether a token may be drawn by chance."""
        return any(temperature > 0 for temperature in _temperatures(options))

    def needs_itself(self, options: Mapping[str, Any]) -> bool:
        """Whether neighbours would change what `generate` does.

        It looks up what the detector of silence and earlier windows said by places of the batch, and
        goes on with one beam for all once a temperature was tried for one.
        """
        return self.draws(options) or any(
            options.get(name) for name in (*THRESHOLDS, "condition_on_prev_tokens")
        )

    def _speaks(self, given: Mapping[str, Any]) -> None:
        """Raises BadItem if the model has not the language or the task."""
        asked = [name for name in ("language", "task") if given.get(name) is not None]
        if not asked:
            return
        if not getattr(self._own, "is_multilingual", True):
            raise BadItem(f"`{asked[0]}` is for multilingual models, and this one is English-only")
        for name, known in (("language", "lang_to_id"), ("task", "task_to_id")):
            if name in asked and not hasattr(self._own, known):
                raise BadItem(
                    f"This model's generation_config.json has no `{known}`, so it has no `{name}`"
                )
        if "language" in asked:
            language = str(given["language"]).lower()
            code = TO_LANGUAGE_CODE.get(language, language)
            known = self._own.lang_to_id
            if language not in known and f"<|{code}|>" not in known:
                names = sorted(one.strip("<|>") for one in known)
                raise BadItem(
                    f"`language` {language[:40]!r} is not one of this model: {', '.join(names)}"
                )
        if "task" in asked and given["task"] not in ("transcribe", "translate"):
            raise BadItem("`task` is `transcribe` or `translate`")

    def _samples(self, options: dict[str, Any]) -> None:
        """Raises BadItem if the parameters for sampling contradict each other."""
        draws = self.draws(options)
        if options.get("do_sample") is False and draws:
            raise BadItem("`do_sample: false` contradicts a `temperature` above 0")
        asked = sorted(SAMPLING & options.keys())
        if not draws and (options.get("do_sample") or asked):
            name = asked[0] if asked else "do_sample"
            raise BadItem(f"`{name}` needs a `temperature` above 0, at which Whisper samples")
        temperatures = _temperatures(options)
        if temperatures and temperatures[0] > 0 and (options.get("num_beams") or 1) > 1:
            raise BadItem("`num_beams` does not go with sampling")
        if not temperatures and any(name in options for name in THRESHOLDS):
            options["temperature"] = 0.0  # no other to fall back to

    def _limits(self, options: dict[str, Any]) -> None:
        """Raises BadItem if more is asked than the model has positions for."""
        before = self._positions // 2 if options.get("condition_on_prev_tokens") else 0
        room = self._positions - STARTS - before
        asked = options.get("max_new_tokens")
        if asked and asked > room:
            raise BadItem(f"`max_new_tokens` is more than {room}, which this model has room for")
        told = options.get("max_length") or self._own.max_length or self._own.max_new_tokens
        if not asked and not told:
            options["max_new_tokens"] = min(NEW_TOKENS, room)


def _temperatures(options: Mapping[str, Any]) -> tuple[float, ...]:
    found = options.get("temperature")
    if found is None:
        return ()
    return tuple(found) if isinstance(found, (list, tuple)) else (found,)
