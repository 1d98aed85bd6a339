"""A transcript, put together from the pieces that a sound was read in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutomaticSpeechRecognitionPipeline

from contract.errors import BadItem
from worker.models.passes.rows import Row
from worker.models.sounds.recording import Samples
from worker.models.sounds.sound_model import SoundModel
from worker.models.torch_errors import first_line

Stride = tuple[int, int, int]
"""(all, left, right): the samples of a piece, and those that its neighbours read too."""


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a row's sound, or all of it."""

    row: Row
    samples: Samples
    times: Any = False
    """False, True, `word` or `char`: what is to be timed."""
    stride: Stride | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of `generate`."""
    output: Any = None
    """The output for transformers' own pipeline to make a text of, or the exception that fails the row."""


class Transcriber:
    """Cuts sounds as transformers' own pipeline does, and makes texts of what was read."""

    def __init__(self, sounds: SoundModel, tokenizer: Any) -> None:
        self._sounds = sounds
        self._pipeline = AutomaticSpeechRecognitionPipeline(
            model=sounds.model,
            feature_extractor=sounds.extractor,
            tokenizer=tokenizer,
            device=torch.device(sounds.device),
        )
        config, raw = sounds.model.config, sounds.model.main_input_name == "input_values"
        knows = hasattr(config, "inputs_to_logits_ratio") and (
            raw or config.model_type == "lasr_ctc"
        )
        self.step: int | None = self._pipeline._align_to if knows else None
        """The samples of one step of the model, if it can say."""

    def split(
        self, row: Row, seconds: float, stride: Any, step: int = 1, **fields: Any
    ) -> Iterator[Piece]:
        """The row's sound in overlapping pieces of so many seconds, each a multiple of `step` samples.

        `stride`: the seconds that each shares with the next, or those on its (left, right).

        Raises:
            BadItem: what a piece shares leaves nothing of it.
        """
        left, right = stride if isinstance(stride, (list, tuple)) else (stride, stride)
        rate = self._sounds.rate
        size, left, right = (round(one * rate / step) * step for one in (seconds, left, right))
        if size <= left + right:
            raise BadItem("`stride_length_s` leaves nothing of `chunk_length_s`")
        for start in range(0, len(row.value), size - left - right):
            samples = row.value[start : start + size]
            before, last = left if start else 0, start + size >= len(row.value)
            if len(samples) > before:
                sides = (len(samples), before, 0 if last else right)
                yield Piece(row, samples, stride=sides, **fields)
            if last:
                return

    def join(self, row: Row, pieces: list[Piece]) -> None:
        """Give the row the text of its pieces as result, or the first error; nothing if one is open."""
        outputs = [piece.output for piece in pieces]
        if any(output is None for output in outputs):
            return
        row.result = next((one for one in outputs if isinstance(one, Exception)), None)
        if row.result is None:
            row.result = self._text(outputs, pieces[0].times)

    def _text(self, outputs: list[Any], times: Any) -> Any:
        try:
            answer = self._pipeline.postprocess(outputs, return_timestamps=times or None)
        except Exception as error:
            return BadItem(f"The transcript cannot be read: {first_line(error)}")
        return {name: answer[name] for name in ("text", "chunks") if name in answer}
