"""A model that reads sounds: the features of each sound, and which sounds share a pass.

Features are made sound by sound, as if each were asked alone. Sounds of different lengths share a pass
only if the model was seen, when it was loaded, to answer a padded sound as it does the same one alone:
of what calls itself masked, some (Data2Vec, Conformer) lets the padding into a sound's end.
"""

import base64
import io
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import soundfile
import torch
from torch.nn.functional import pad

from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.batching import Batching, find_batching
from worker.models.passes.cutting import PassBudget, cut_into_passes
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.sounds import sound_files
from worker.models.sounds.recording import Samples
from worker.models.timing import timed
from worker.models.torch_errors import first_line

TOKENS_A_SECOND = 50
"""`max_batch_tokens` counts a sound by 20 ms, the step of both Wav2Vec2's and Whisper's encoder."""
LEAK = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How much the logits of a sound may differ padded and alone, as a share of their spread."""

Features = dict[str, Any]
"""The features of one sound: tensors (1, ...) by the name that the model has for them."""


class SoundModel:
    """A feature extractor and a model that reads sounds."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        kind: str,
        attempt: Callable[["SoundModel", Sequence[Features]], Any] | None = None,
        **options: Any,
    ) -> None:
        """`attempt(self, [features])`: a trial of the model, if it does not answer by a forward pass.

        `options`: further arguments of the extractor.
        """
        self.device = device
        self._options = options
        self.extractor = checkpoint.load_part("AutoFeatureExtractor")
        self.model = checkpoint.load_model(kind, device)
        self.rate = int(self.extractor.sampling_rate)
        spec = checkpoint.spec
        pass_cost = TOKENS_A_SECOND if device == "cpu" else spec.max_batch_tokens
        self.budget = PassBudget(spec.max_batch_size, spec.max_batch_tokens, pass_cost)
        self.shortest, self.batching = 1, Batching.EQUAL_LENGTHS
        with checkpoint.warming_up():
            self._learn(attempt)

    @property
    def longest(self) -> float:
        """The seconds that one pass may have, unless the model reads all sounds as of one length."""
        return self.budget.max_tokens / TOKENS_A_SECOND

    def check_length(self, samples: Samples) -> None:
        """Raises BadItem if the sound is longer than what one pass may have."""
        if not self.fixed and self.count_tokens(samples) > self.budget.max_tokens:
            raise BadItem(
                f"The sound is longer than the {self.longest:g} seconds that this model reads at once"
            )

    @timed("preprocess")
    def extract_features(self, samples: Samples, **more: Any) -> Features:
        """The features of a sound; `more`: further arguments of the extractor for this sound.

        Raises:
            BadItem: the sound is too short, or the extractor fails, or gives NaN.
        """
        if len(samples) < self.shortest:
            raise BadItem(
                f"The sound is too short: it has {len(samples)} samples at {self.rate} a second, and "
                f"the model reads {self.shortest}"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # divisions by zero give NaN, which is refused below
                found = self.extractor(
                    samples, sampling_rate=self.rate, return_tensors="pt", **self._options, **more
                )
        except Exception as error:
            raise BadItem(f"The sound cannot be read by the model: {first_line(error)}") from None
        features = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
        if not all(value.isfinite().all() for value in features.values()):
            raise BadItem("The sound has no features that are numbers, as silence has none here")
        return features

    def passes(
        self, sounds: Sequence[Samples], keys: Sequence[Hashable] | None = None
    ) -> Iterator[list[int]]:
        """Indexes of the sounds that may share a pass; those of one pass have equal `keys`."""
        groups: dict[Any, list[int]] = {}
        for index, samples in enumerate(sounds):
            length = None if self.fixed else self.batching.pass_key(len(samples), index)
            groups.setdefault((length, keys[index] if keys else None), []).append(index)
        for members in groups.values():
            for one in cut_into_passes(
                [self.count_tokens(sounds[index]) for index in members], self.budget
            ):
                yield [members[place] for place in one]

    def count_tokens(self, samples: Samples) -> int:
        return self.fixed or -(-len(samples) * TOKENS_A_SECOND // self.rate)

    def collate(self, features: Sequence[Features]) -> Features:
        """The features of several sounds as the model takes them: of one length, padded at the right."""
        inputs = {}
        for name in features[0]:
            rows = [one[name] for one in features]
            longest = max(row.shape[1] for row in rows) if rows[0].dim() > 1 else 0
            value = 0 if name == "attention_mask" else self.extractor.padding_value
            inputs[name] = torch.cat([_longer(row, longest, value) for row in rows]).to(self.device)
            if inputs[name].is_floating_point():
                inputs[name] = inputs[name].to(self.model.dtype)
        return inputs

    def count_steps(self, features: Features) -> int | None:
        """How many steps of the model a sound has, if it can say."""
        of = getattr(self.model, "_get_feat_extract_output_lengths", None)
        mask = features.get("attention_mask")
        return None if of is None or mask is None else int(of(mask.sum(dim=-1))[0])

    @timed("inference")
    def logits(self, features: Sequence[Features]) -> Any:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the model's own code
            return self.model(**self.collate(features), return_dict=True).logits

    def _learn(self, attempt: Callable[["SoundModel", Sequence[Features]], Any] | None) -> None:
        """Try the model for the shortest sound that it reads, and for whether it masks padding."""
        short, long = (_noise(self.rate * part // 2) for part in (1, 2))
        one, other = self.extract_features(short), self.extract_features(long)
        shape = next(value.shape for name, value in one.items() if name != "attention_mask")
        self.fixed = 0
        if all(one[name].shape == other[name].shape for name in one):
            # frames of 10 ms, whether they are the last axis or, as AST's, the one before
            self.fixed = max(shape) // 2
            self.shortest = _least(self.rate, lambda length: self._answers(length, lambda _: None))
            return
        answer = (lambda some: attempt(self, some)) if attempt else self.logits
        answer([other])  # raises if the model cannot be used
        self.shortest = _least(self.rate, lambda length: self._answers(length, answer))
        can_pad = attempt is None and "attention_mask" in one
        self.batching = find_batching(
            [Batching.PAD_RIGHT] if can_pad else [],
            lambda _: self._masks(other),
            Batching.EQUAL_LENGTHS,
        )

    def _answers(self, length: int, answer: Callable[[Sequence[Features]], Any]) -> bool:
        try:
            found = answer([self.extract_features(_noise(length))])
            return found is None or (found.numel() > 0 and find_invalid_rows(found) == [None])
        except Exception:
            return False  # too short for a window, a convolution or a pooling

    def _masks(self, long: Features) -> bool:
        """Whether the logits of a sound are the same alone and padded beside a longer one.

        Tried at lengths a little more than 10 ms apart: SEW pools steps by twos, and only an odd number
        of them lets the padding in.
        """
        base = max(self.shortest, self.rate // 2)
        shorts = [self.extract_features(_noise(base + part * self.rate // 99)) for part in range(4)]
        # TF32 is too coarse to see a small leak
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            try:
                together = self.logits([*shorts, long])
            except Exception:
                return False  # it takes no mask after all
            return all(map(self._same, shorts, together))

    def _same(self, features: Features, beside: Any) -> bool:
        alone = self.logits([features])[0]
        if alone.dim() > 1:  # a row of logits for each step
            if self.count_steps(features) != len(alone):
                return False
            beside = beside[: len(alone)]
        spread = alone.float().max() - alone.float().min()
        leak = (alone.float() - beside.float()).abs().max()
        return bool(leak <= LEAK.get(self.model.dtype, 0) * spread)


def decode_sounds(rows: Rows, rate: int) -> Iterator[list[Row]]:
    """The open rows with their sounds decoded, no more of them at once than the longest sound has.

    A sound that cannot be read gets its error as result.
    """
    held: list[Row] = []
    for row in rows:
        if row.open and _decoded(row, rate):
            held.append(row)
        if sum(len(one.value) for one in held) >= sound_files.MAX_SECONDS * rate:
            yield held
            _forget(held)
            held = []
    if held:
        yield held
        _forget(held)


def encode_wav(samples: Samples, rate: int) -> str:
    """The sound as a client would send it."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()


def sample_sound(sounds: SoundModel, seconds: float = 0) -> str:
    """Noise of this length, or the shortest that the model reads."""
    return encode_wav(_noise(max(sounds.shortest, int(seconds * sounds.rate))), sounds.rate)


@timed("preprocess")
def _decoded(row: Row, rate: int) -> bool:
    try:
        row.value = sound_files.decode_sound(row.value, rate)
    except BadItem as error:
        row.result = error
        return False
    return True


def _forget(rows: list[Row]) -> None:
    for row in rows:
        row.value = None


def _noise(length: int) -> Samples:
    return np.random.default_rng(0).uniform(-0.5, 0.5, length).astype(np.float32)


def _longer(row: Any, length: int, value: float) -> Any:
    """A tensor (1, steps, ...) with so many steps."""
    lacking = length - row.shape[1] if row.dim() > 1 else 0
    return pad(row, (*[0, 0] * (row.dim() - 2), 0, lacking), value=value) if lacking else row


def _least(enough: int, holds: Callable[[int], bool]) -> int:
    """The smallest number for which it holds, given that it holds for `enough` and all above."""
    low, high = 0, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
