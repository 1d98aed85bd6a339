"""Texts of sounds token by token, by an encoder and a decoder: Whisper, Speech2Text, Moonshine.

Rows share a call of `generate` if they ask the same of it and their features have one shape: what is
drawn by chance, timed by words, or longer than Whisper's window is read alone.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteriaList

from contract.errors import BadItem, OutputInvalid
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.logits import NOT_FINITE
from worker.models.passes.rows import Row
from worker.models.sounds.sound_model import Features, SoundModel
from worker.models.sounds.transcript import Piece, Transcriber
from worker.models.sounds.whisper import NEW_TOKENS, SAMPLING, Whisper
from worker.models.sounds.whisper import OPTIONS as WHISPER
from worker.models.timing import timed
from worker.models.writing.sampling import find_seed
from worker.models.writing.text_stream import StopIfUnwanted

KINDS = ("whisper", "speech_to_text", "speech-encoder-decoder", "moonshine", "speecht5")
"""Models that need no more than a sound; others need a prompt or further files."""
OPTIONS = SAMPLING | {
    "do_sample",
    "early_stopping",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "num_beams",
    "repetition_penalty",
    "seed",
    "temperature",
    "use_cache",
}
"""The generation parameters that every model has."""


class FiniteCheck(LogitsProcessor):
    """Notes whether a call of `generate` computed NaN or infinity."""

    def __init__(self) -> None:
        self._lost: Any = False

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._lost = self._lost | (scores.isnan() | (scores == float("inf"))).any()
        # what is drawn from NaN ends a GPU's context; the text is thrown away
        return torch.nan_to_num(scores, nan=0.0, neginf=float("-inf"))

    @property
    def lost(self) -> bool:
        return bool(self._lost)


class NobodyWaits(Exception):
    """All pieces of a call of `generate` are unwanted."""


class SpeechDecoder:
    """A model that reads a sound and writes what is said."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        kind = checkpoint.load_part("AutoConfig").model_type
        if kind not in KINDS:
            raise checkpoint.refusal(
                f"a {kind} model is not served for {checkpoint.spec.task}; models are that read by "
                f"CTC, or {', '.join(KINDS)}"
            )
        known = OPTIONS | (WHISPER if kind == "whisper" else set())
        checkpoint.check_generation(known)
        self._known, self._defaults = known, checkpoint.spec.generation
        self.sounds = SoundModel(
            checkpoint, device, "AutoModelForSpeechSeq2Seq", _write_one, return_attention_mask=True
        )
        self._model = self.sounds.model
        self._whisper = Whisper(self._model) if kind == "whisper" else None
        tokenizer = checkpoint.load_tokenizer()
        self._pad_id = self._model.generation_config.pad_token_id
        if self._pad_id is None:
            self._pad_id = tokenizer.pad_token_id
        self.transcriber = Transcriber(self.sounds, tokenizer)

    def split(self, row: Row) -> list[Piece]:
        """Raises BadItem if the model cannot do what the row asks."""
        given = {**self._defaults, **row.parameters.get("generation_parameters", {})}
        given = {name: value for name, value in given.items() if value is not None}
        if strange := given.keys() - self._known:
            raise BadItem(f"`{sorted(strange)[0]}` is not for this model, but for Whisper")
        if (given.get("min_new_tokens") or 0) > (given.get("max_new_tokens") or 2**31):
            raise BadItem("`min_new_tokens` is more than `max_new_tokens`")
        times, seconds = (
            row.parameters.get(name) for name in ("return_timestamps", "chunk_length_s")
        )
        if self._whisper is None:
            if times or seconds:
                name = "return_timestamps" if times else "chunk_length_s"
                raise BadItem(f"`{name}` is for Whisper and for models that read by CTC")
            self.sounds.check_length(row.value)
            return [Piece(row, row.value, options=self._options(given))]
        times, options = self._whisper.times(times), self._whisper.options(given)
        window = self.sounds.extractor.chunk_length
        if seconds:
            if seconds > window:
                raise BadItem(
                    f"`chunk_length_s` is at most {window}, which this model reads at once"
                )
            stride = row.parameters.get("stride_length_s", seconds / 6)
            return list(self.transcriber.split(row, seconds, stride, times=times, options=options))
        if self._is_long(row.value) and not self._whisper.knows_times:
            raise BadItem(
                f"The sound is longer than {window} seconds, and this model's generation_config.json "
                f"has no `no_timestamps_token_id` to find its way by; send `chunk_length_s: {window}`"
            )
        return [Piece(row, row.value, times, options=options)]

    def transcribe(self, pieces: Sequence[Piece]) -> None:
        """Set the output of each piece."""
        keys = [self._pass_key(piece) for piece in pieces]
        for some in self.sounds.passes([piece.samples for piece in pieces], keys):
            self._pass([pieces[index] for index in some])

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `generate` for a model that is not Whisper; raises BadItem."""
        options, own, draws = {**given}, self._model.generation_config, self._draws(given)
        shaped = sorted((SAMPLING | {"temperature"}) & given.keys())
        if shaped and not draws:
            raise BadItem(f"`{shaped[0]}` needs `do_sample: true`")
        heat = given.get("temperature", 1)
        if not isinstance(heat, (int, float)) or heat <= 0:
            raise BadItem("`temperature` is a number above 0")
        if (given.get("num_beams") or 1) > 1 and draws:
            raise BadItem("`num_beams` does not go with sampling")
        room = _positions(self._model.config)
        asked = given.get("max_new_tokens")
        for name, most in (("max_new_tokens", (room or 0) - 1), ("max_length", room or 0)):
            if room and given.get(name, 0) > most:  # the start token has a position too
                raise BadItem(f"`{name}` is more than {most}, which this model has room for")
        limit = asked or given.get("max_length") or own.max_length or own.max_new_tokens
        if not limit:
            options["max_new_tokens"] = min(NEW_TOKENS, (room or NEW_TOKENS + 1) - 1)
        return options

    def _pass_key(self, piece: Piece) -> Any:
        """Equal for pieces that may share a call of `generate`."""
        options = piece.options
        alone = self._draws(options)
        if self._whisper is not None:
            alone = self._whisper.needs_itself(options) or piece.times == "word"
            alone = alone or self._is_long(piece.samples)
        return (piece.times, repr(sorted(options.items())), id(piece) if alone else 0)

    def _draws(self, options: Mapping[str, Any]) -> bool:
        if self._whisper is not None:
            return self._whisper.draws(options)
        return bool(options.get("do_sample", self._model.generation_config.do_sample))

    def _is_long(self, samples: Any) -> bool:
        return self._whisper is not None and len(samples) > self.sounds.extractor.n_samples

    def _pass(self, pieces: Sequence[Piece]) -> None:
        features, ready = [], []
        for piece in pieces:
            try:
                if piece.row.open:
                    whole = {"truncation": False, "padding": "longest"}
                    more = whole if self._is_long(piece.samples) else {}
                    features.append(self.sounds.extract_features(piece.samples, **more))
                    ready.append(piece)
            except BadItem as error:
                piece.output = error
        if ready:
            self._write(ready, features)

    def _write(self, pieces: Sequence[Piece], features: Sequence[Features]) -> None:
        """One call of `generate`; if it computes NaN, one call for each piece."""
        numbers = FiniteCheck()
        try:
            found = self._generate(pieces, features, numbers)
        except NobodyWaits:
            return
        if not numbers.lost:
            for piece, output in zip(pieces, found, strict=True):
                piece.output = (
                    output if piece.stride is None else {**output, "stride": piece.stride}
                )
        elif len(pieces) == 1:
            pieces[0].output = OutputInvalid(NOT_FINITE)
        else:
            for piece, one in zip(pieces, features, strict=True):
                self._write([piece], [one])

    @timed("inference")
    def _generate(
        self, pieces: Sequence[Piece], features: Sequence[Features], numbers: FiniteCheck
    ) -> list[dict[str, Any]]:
        first = pieces[0]
        options = {name: value for name, value in first.options.items() if name != "seed"}
        if self._whisper is not None:
            if first.times or self._is_long(first.samples):  # it is cut at the timestamps
                options["return_timestamps"] = True
            elif first.times is False:
                options["return_timestamps"] = False
            if first.times == "word":
                options |= {"return_token_timestamps": True, "return_segments": True}
            options["monitor_progress"] = partial(_go_on, pieces)
        unwanted = StoppingCriteriaList([StopIfUnwanted([piece.row.item for piece in pieces])])
        with torch.inference_mode(), self._chance(first), self._quietly():
            found = self._model.generate(
                **self.sounds.collate(features),
                **options,
                pad_token_id=self._pad_id,
                logits_processor=LogitsProcessorList([numbers]),
                stopping_criteria=unwanted,
            )
        if first.times == "word":
            return [_timed(found)]
        sequences = found["sequences"] if isinstance(found, dict) else found
        return [{"tokens": self._ended(row).unsqueeze(0)} for row in sequences.cpu()]

    def _ended(self, tokens: Any) -> Any:
        """A row's tokens without its padding."""
        if self._whisper is not None:
            return tokens
        ends = torch.tensor(self._model.generation_config.eos_token_id or -1).reshape(-1)
        places = torch.isin(tokens[1:], ends).nonzero()  # the first one may be the end's own token
        return tokens[: int(places[0]) + 2] if len(places) else tokens

    @contextmanager
    def _chance(self, piece: Piece) -> Iterator[None]:
        """Draws by the caller's seed or the prediction's id, so that a second run draws the same."""
        if not self._draws(piece.options):
            yield
            return
        device = torch.device(self.sounds.device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(find_seed(piece.row, piece.options.get("seed")))
            yield

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Without the warnings of the model's own code, and with its attention as it was afterwards:
        Whisper sets another kind, for good, when it times words.
        """
        before = self._model.config._attn_implementation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            finally:
                if self._model.config._attn_implementation != before:
                    self._model.config._attn_implementation = before


def _go_on(pieces: Sequence[Piece], progress: Any) -> None:
    """Called by Whisper before each window. Without this it would read all windows, one token each."""
    if not any(piece.row.open for piece in pieces):
        raise NobodyWaits


def _write_one(sounds: SoundModel, features: Sequence[Features]) -> None:
    with torch.inference_mode():
        sounds.model.generate(**sounds.collate(features), max_new_tokens=1)


def _positions(config: Any) -> int | None:
    """How many tokens the decoder has positions for."""
    for part in (config, getattr(config, "decoder", None)):
        for name in ("max_target_positions", "max_text_positions", "max_position_embeddings"):
            found = getattr(part, name, None)
            if found:
                return int(found)
    return None


def _timed(found: dict[str, Any]) -> dict[str, Any]:
    """The output of one sound whose words are timed."""
    (segments,) = found["segments"]
    stamps = [segment["token_timestamps"] for segment in segments]
    return {
        "tokens": found["sequences"].cpu(),
        "token_timestamps": [torch.cat(stamps).cpu() if stamps else torch.zeros(0)],
    }
