"""Texts of sounds: automatic-speech-recognition, by CTC (Wav2Vec2) or token by token (Whisper).

Sounds share a pass if they have one length, or if the model was trained to be told the padding
(`return_attention_mask`): for others padding would change the text.
"""

from typing import Any

import numpy as np
import torch
from transformers import AutomaticSpeechRecognitionPipeline, StoppingCriteriaList

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models import sound
from worker.models.faults import brief
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.passes import Budget, cut
from worker.models.phases import during
from worker.models.recording import Samples
from worker.models.rows import Row, Rows
from worker.models.streams import Unwanted

TOKENS_A_SECOND = 50
"""`max_batch_tokens` counts a sound by 20 ms, the step of both Wav2Vec2's and Whisper's encoder."""

OPTIONS = frozenset({"max_new_tokens", "num_beams", "repetition_penalty"})
"""The generation parameters that a transcript may have: it is no text to be sampled."""


class SpeechRecognition:
    """What is said in each sound."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._device = device
        self._defaults = spec.generation
        if strange := spec.generation.keys() - OPTIONS:
            raise checkpoint.refusal(
                f"`generation` has unknown names: {', '.join(sorted(strange))}"
            )
        self._extractor = checkpoint.part("AutoFeatureExtractor")
        tokenizer = checkpoint.tokenizer()
        config = checkpoint.part("AutoConfig")
        writes = config.is_encoder_decoder or config.model_type == "speech-encoder-decoder"
        self._model = checkpoint.model(
            "AutoModelForSpeechSeq2Seq" if writes else "AutoModelForCTC", device
        )
        self._pipeline = AutomaticSpeechRecognitionPipeline(
            model=self._model,
            feature_extractor=self._extractor,
            tokenizer=tokenizer,
            device=torch.device(device),
        )
        self._kind: str = self._pipeline.type
        self._rate = int(self._extractor.sampling_rate)
        self._masked = self._kind == "ctc" and bool(
            getattr(self._extractor, "return_attention_mask", False)
        )
        pass_cost = TOKENS_A_SECOND if device == "cpu" else spec.max_batch_tokens
        self._budget = Budget(spec.max_batch_size, spec.max_batch_tokens, pass_cost)
        with checkpoint.warming_up():
            row = Row(np.zeros(self._rate, np.float32), {}, Item("warm-up", {}))
            self._run([row], {"max_new_tokens": 2})

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "audio")
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            try:
                row.value = self._samples(row.value)
                groups.setdefault(self._key(row), []).append(row)
            except BadItem as error:
                row.result = error
        for (_, _, *options), members in groups.items():
            for one in cut([self._tokens(row.value) for row in members], self._budget):
                if wanted := [members[place] for place in one if members[place].open]:
                    self._run(wanted, dict(options))
        return rows.outputs()

    @during("preprocess")
    def _samples(self, value: Any) -> Samples:
        samples = sound.samples(value, self._rate)
        if self._kind != "seq2seq_whisper" and self._tokens(samples) > self._budget.max_tokens:
            seconds = self._budget.max_tokens // TOKENS_A_SECOND
            raise BadItem(
                f"The sound is longer than the {seconds} seconds that this model reads at once"
            )
        if self._kind == "ctc" and self._steps(len(samples)) < 1:
            raise BadItem("The sound is too short")
        return samples

    def _key(self, row: Row) -> tuple[Any, ...]:
        """Rows of one key may share a pass: the same shape, the same wishes."""
        given = {**self._defaults, **row.parameters.get("generation_parameters", {})}
        if strange := given.keys() - OPTIONS:
            raise BadItem(f"{', '.join(sorted(strange))}: not for automatic-speech-recognition")
        room = getattr(self._model.config, "max_target_positions", None)
        if room and given.get("max_new_tokens", 0) > room - 8:  # those that open a transcript
            raise BadItem(f"`max_new_tokens` is more than {room - 8}")
        times = row.parameters.get("return_timestamps", False)
        if times and self._kind == "seq2seq":
            raise BadItem("This model knows no timestamps")
        return (self._shape(row, times), times, *sorted(given.items()))

    def _shape(self, row: Row, times: Any) -> Any:
        """What has to be equal for sounds to share a pass, beyond their wishes."""
        length = len(row.value)
        if self._kind != "seq2seq_whisper":
            return 0 if self._masked else length
        if length > self._extractor.n_samples:
            return id(row)  # read window by window, alone
        return length if times == "word" else 0  # words are timed for equal lengths only

    def _tokens(self, samples: Samples) -> int:
        length = len(samples) * TOKENS_A_SECOND // self._rate + 1
        if self._kind == "seq2seq_whisper":
            whole = int(self._extractor.n_samples)  # a shorter sound is padded to it
            return max(length, whole * TOKENS_A_SECOND // self._rate)
        return length

    def _steps(self, samples: int) -> int:
        """How many steps of the model a sound has."""
        steps = getattr(self._model, "_get_feat_extract_output_lengths", None)
        return int(steps(torch.tensor(samples))) if steps else 1

    def _run(self, rows: list[Row], options: dict[str, Any]) -> None:
        """One pass over rows of one key: each row's text as its result."""
        times = rows[0].parameters.get("return_timestamps", False)
        sounds = [row.value for row in rows]
        if self._kind == "ctc":
            times = times and "word"  # it knows no longer parts
            found = self._transcribe(sounds)
        else:
            unwanted = StoppingCriteriaList([Unwanted([row.item for row in rows])])
            found = self._generate(sounds, times, {**options, "stopping_criteria": unwanted})
        for row, outputs in zip(rows, found, strict=True):
            try:
                answer = self._pipeline.postprocess([outputs], return_timestamps=times or None)
                row.result = {name: answer[name] for name in ("text", "chunks") if name in answer}
            except Exception as error:
                row.result = BadItem(f"The transcript cannot be read: {brief(error)}")

    def _inputs(self, sounds: list[Samples], **options: Any) -> dict[str, Any]:
        inputs = self._extractor(
            sounds, sampling_rate=self._rate, return_tensors="pt", **options
        ).to(self._device)
        name = self._model.main_input_name
        return {**inputs, name: inputs[name].to(self._model.dtype)}

    @during("inference")
    def _transcribe(self, sounds: list[Samples]) -> list[dict[str, Any]]:
        """The likeliest token of each step (Graves et al. 2006): CTC joins them when decoded."""
        with torch.inference_mode():
            logits = self._model(**self._inputs(sounds, padding=True)).logits
        tokens = logits.argmax(dim=-1).cpu()
        lengths = [self._steps(len(sound)) if self._masked else tokens.shape[1] for sound in sounds]
        return [
            {"tokens": row[:length].unsqueeze(0)}
            for row, length in zip(tokens, lengths, strict=True)
        ]

    @during("inference")
    def _generate(
        self, sounds: list[Samples], times: Any, options: dict[str, Any]
    ) -> list[dict[str, Any]]:
        whisper = self._kind == "seq2seq_whisper"
        long = whisper and len(sounds[0]) > self._extractor.n_samples
        prepare: dict[str, Any] = {"return_attention_mask": True}
        if long:
            prepare |= {"truncation": False, "padding": "longest"}
        if whisper and (times or long):  # a long sound is cut at the timestamps
            options = {**options, "return_timestamps": True}
        if times == "word":
            options = {**options, "return_token_timestamps": True, "return_segments": True}
        with torch.inference_mode():
            found = self._model.generate(**self._inputs(sounds, **prepare), **options)
        if not isinstance(found, dict):
            return [{"tokens": row.unsqueeze(0)} for row in found.cpu()]
        sequences = found["sequences"].cpu()
        if times != "word":
            return [{"tokens": row.unsqueeze(0)} for row in sequences]
        stamps = [
            torch.cat([segment["token_timestamps"] for segment in segments]).cpu()
            for segments in found["segments"]
        ]
        return [
            {"tokens": row.unsqueeze(0), "token_timestamps": [stamp]}
            for row, stamp in zip(sequences, stamps, strict=True)
        ]
