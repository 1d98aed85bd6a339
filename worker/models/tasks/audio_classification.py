"""Labels for sounds: audio-classification."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.label_scores import LabelScores
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.sounds.sound_model import SoundModel, decode_sounds, sample_sound


class AudioClassification:
    """Every label of the model with its score, for each sound."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._sounds = SoundModel(checkpoint, device, "AutoModelForAudioClassification")
        config = self._sounds.model.config
        self._scores = LabelScores(config)
        if config.problem_type is None:  # also of a single label, as transformers' own pipeline
            self._scores.function = "softmax"
        longest = min(self._sounds.longest, 30)
        warm_up(
            checkpoint,
            self,
            {
                "the shortest sound": {"audio": sample_sound(self._sounds)},
                "a longer sound": {"audio": sample_sound(self._sounds, longest)},
            },
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "audio")
        for window in decode_sounds(rows, self._sounds.rate):
            for some in self._sounds.passes([row.value for row in window]):
                self._classify([window[index] for index in some])
        return rows.outputs()

    def _classify(self, rows: list[Row]) -> None:
        """One pass."""
        features, ready = [], []
        for row in rows:
            try:
                if row.open:
                    features.append(self._features(row))
                    ready.append(row)
            except BadItem as error:
                row.result = error
        if not ready:
            return
        logits = self._sounds.logits(features)
        answers = self._scores.from_logits(logits, [row.parameters for row in ready])
        for row, answer, lost in zip(ready, answers, find_invalid_rows(logits), strict=True):
            row.result = lost or answer

    def _features(self, row: Row) -> Any:
        self._sounds.check_length(row.value)
        return self._sounds.extract_features(row.value)
