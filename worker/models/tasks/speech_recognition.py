"""Texts of sounds: automatic-speech-recognition, by CTC (Wav2Vec2) or token by token (Whisper)."""

from itertools import groupby
from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.rows import Rows
from worker.models.passes.warm_up import warm_up
from worker.models.sounds.ctc import CtcModel
from worker.models.sounds.sound_model import decode_sounds, sample_sound
from worker.models.sounds.speech_decoder import SpeechDecoder
from worker.models.sounds.transcript import Piece


class SpeechRecognition:
    """What is said in each sound."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        config = checkpoint.load_part("AutoConfig")
        writes = config.is_encoder_decoder or config.model_type == "speech-encoder-decoder"
        self._recognizer: CtcModel | SpeechDecoder = (SpeechDecoder if writes else CtcModel)(
            checkpoint, device
        )
        sounds = self._recognizer.sounds
        longest = 1.0 if sounds.fixed else min(sounds.longest, 30)
        few = {"generation_parameters": {"max_new_tokens": 2, "min_new_tokens": 0}}
        parameters = few if writes else {}
        warm_up(
            checkpoint,
            self,
            {
                "the shortest sound": {"inputs": sample_sound(sounds), "parameters": parameters},
                "a longer sound": {
                    "inputs": sample_sound(sounds, longest),
                    "parameters": parameters,
                },
            },
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "audio")
        for window in decode_sounds(rows, self._recognizer.sounds.rate):
            pieces: list[Piece] = []
            for row in window:
                try:
                    if "stride_length_s" in row.parameters and not row.parameters.get(
                        "chunk_length_s"
                    ):
                        raise BadItem("`stride_length_s` is for pieces of `chunk_length_s`")
                    pieces += self._recognizer.split(row)
                except BadItem as error:
                    row.result = error
            self._recognizer.transcribe(pieces)
            for _, mine in groupby(pieces, key=lambda piece: id(piece.row)):
                some = list(mine)
                self._recognizer.transcriber.join(some[0].row, some)
        return rows.outputs()
