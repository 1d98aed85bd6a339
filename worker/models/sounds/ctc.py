"""Texts of sounds by connectionist temporal classification, as Wav2Vec2 and its kin write them.

The likeliest token of each step (Graves et al. 2006); tokens are joined when they are decoded.
"""

from collections.abc import Sequence
from typing import Any

from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row
from worker.models.sounds.sound_model import SoundModel
from worker.models.sounds.transcript import Piece, Transcriber

PIECE = 30.0
"""The seconds of a piece where a sound is longer than a pass may be; a sixth is shared on each side."""


class CtcModel:
    """A model that gives a letter, or none, for each step of a sound."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        if checkpoint.spec.generation:
            raise checkpoint.refusal(
                f"`generation` has {', '.join(sorted(checkpoint.spec.generation))}, and a "
                "model that reads by CTC generates nothing"
            )
        self.sounds = SoundModel(checkpoint, device, "AutoModelForCTC", return_attention_mask=True)
        self.transcriber = Transcriber(self.sounds, checkpoint.load_tokenizer())

    def split(self, row: Row) -> list[Piece]:
        """Raises BadItem if the model cannot do what the row asks."""
        given = row.parameters
        if given.get("generation_parameters"):
            raise BadItem(
                "`generation_parameters` are for models that generate, and this one reads by CTC"
            )
        times = given.get("return_timestamps", False)
        if times is True:
            times = "word"  # CTC has no longer parts
        step = self.transcriber.step
        seconds = given.get("chunk_length_s") or None
        if step is None and (times or seconds):
            raise BadItem(
                "This model does not say how long one of its steps is, so it has neither "
                "`return_timestamps` nor `chunk_length_s`"
            )
        if seconds is None and step and self._is_long(row):
            seconds = min(PIECE, self.sounds.longest)
        if seconds is None:
            pieces = [Piece(row, row.value, times)]
        else:
            stride = given.get("stride_length_s", seconds / 6)
            pieces = list(self.transcriber.split(row, seconds, stride, step or 1, times=times))
        for piece in pieces:
            self.sounds.check_length(piece.samples)
        return pieces

    def transcribe(self, pieces: Sequence[Piece]) -> None:
        """Set the output of each piece."""
        for some in self.sounds.passes([piece.samples for piece in pieces]):
            self._pass([pieces[index] for index in some])

    def _is_long(self, row: Row) -> bool:
        return self.sounds.count_tokens(row.value) > self.sounds.budget.max_tokens

    def _pass(self, pieces: Sequence[Piece]) -> None:
        features, ready = [], []
        for piece in pieces:
            try:
                if piece.row.open:
                    features.append(self.sounds.extract_features(piece.samples))
                    ready.append(piece)
            except BadItem as error:
                piece.output = error
        if not ready:
            return
        logits = self.sounds.logits(features)
        tokens = logits.argmax(dim=-1).cpu()
        for number, (piece, one) in enumerate(zip(ready, features, strict=True)):
            steps = self.sounds.count_steps(one) if self.sounds.batching.pads else None
            lost = find_invalid_rows(logits[number : number + 1, :steps])[0]
            piece.output = lost or self._output(piece, tokens[number : number + 1, :steps])

    def _output(self, piece: Piece, tokens: Any) -> dict[str, Any]:
        if piece.stride is None:
            return {"tokens": tokens}
        samples, left, right = piece.stride
        steps = round(samples * (1 / (self.transcriber.step or 1)))  # rounded as the pipeline does
        shared = (round(side / samples * steps) for side in (left, right))
        return {"tokens": tokens, "stride": (steps, *shared)}
