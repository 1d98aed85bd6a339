"""Texts through an encoder: tokenised in one call, sorted, cut, padded once, one forward pass a cut."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.cutting import PassBudget, cut_by_kind, cut_into_passes
from worker.models.passes.rows import Row
from worker.models.texts import model_limits
from worker.models.texts.encoder_trials import find_text_batching
from worker.models.texts.forward_pass import CLASSIFIER, ForwardPass
from worker.models.texts.model_limits import find_longest_input
from worker.models.texts.tokenization import Cut, Text, TextTokenizer, sample_texts
from worker.models.timing import timed
from worker.models.torch_errors import first_line

__all__ = ["CLASSIFIER", "Cut", "Encoder", "Text"]

PROVABLE = 2048
"""Tokens of the longest text that a CPU reads before it is ready; it would take minutes for more, and for
models without a limit of their own more memory than there is."""

WINDOW = 2048
"""Rows that are tokenised at a time: a million short texts must not fill the memory with tokens."""

Check = Callable[[Row, Any], BadItem | None]
Windows = Callable[[Row, Any], list[Any]]


class Encoder:
    """A tokenizer and a model that reads a whole text at once, such as BERT."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        kind: str,
        *,
        truncation: str = "longest_first",
        pairs: bool = False,
        offsets: bool = False,
        max_length: int | None = None,
    ) -> None:
        """`truncation`: which of a pair is cut, as the tokenizers library names it; `pairs`: texts come
        in pairs; `offsets`: encodings know the characters of their tokens.
        """
        spec = checkpoint.spec
        self.tokenizer = _load_tokenizer(checkpoint, offsets)
        self.model = checkpoint.load_model(kind, device)
        self.config = self.model.config
        most = spec.max_batch_tokens
        longest = find_longest_input(self.tokenizer, self.model)
        self.max_length = min(longest, max_length or most, most)
        self.proven = min(self.max_length, PROVABLE) if device == "cpu" else self.max_length
        """Tokens of the longest text that is asked before the model is ready."""
        self.samples = sample_texts(self.tokenizer, self.proven)
        self._forward = ForwardPass(self.model, self.tokenizer, kind, device)
        self._tokens = TextTokenizer(
            self.tokenizer,
            self.max_length,
            model_limits.count_embeddings(self.model),
            truncation=truncation,
            offsets=offsets,
        )
        self._cut = Cut(self.max_length)
        # these classifiers read the last end token, and all rows of a pass must have equally many of them
        ended = kind == CLASSIFIER and self.config.is_encoder_decoder
        self._end: int | None = self.config.eos_token_id if ended else None
        self._try_out(checkpoint, pairs)

    @timed("preprocess")
    def tokenize(self, texts: Sequence[Text], cut: Cut | None = None) -> list[Any]:
        """One encoding a text (`ids`, `type_ids`, `overflowing`), or the BadItem that it is."""
        return self._tokens.tokenize(texts, cut or self._cut)

    def plain_tokens(self, text: str) -> list[int]:
        """The tokens of a text that is no longer than the model reads, without special ones."""
        return self._tokens.plain_tokens(text)

    def passes(
        self,
        rows: Sequence[Row],
        texts: Sequence[Text],
        check: Check = lambda row, encoding: None,
        windows: Windows = lambda row, encoding: [encoding],
        cuts: Sequence[Cut] | None = None,
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """(indexes of the rows, encodings) of each pass.

        A row whose text cannot be read, or that `check` objects to, gets the error as its result. A row
        has as many encodings as `windows` gives of its text's. `cuts`: how each text is cut, if not as
        usual.
        """
        for start in range(0, len(texts), WINDOW):
            owners: list[int] = []
            encodings: list[Any] = []
            here = range(start, min(start + WINDOW, len(texts)))
            for index, encoding in self._read(here, texts, cuts):
                row = rows[index]
                if failed := self._failed(row, texts[index], encoding) or check(row, encoding):
                    row.result = failed
                elif row.open:
                    mine = windows(row, encoding)
                    owners += [index] * len(mine)
                    encodings += mine
            for places in self._together([rows[index] for index in owners], encodings):
                yield [owners[place] for place in places], [encodings[place] for place in places]

    @timed("inference")
    def forward(self, encodings: Sequence[Any]) -> tuple[Any, Any]:
        """One pass: the model's output and the mask of what is no padding, both (rows, longest, ...).

        What a model gives for each token stands at the left, the padding behind it.
        """
        return self._forward.compute(encodings, self.batching)

    def sample_inputs(self, **parameters: Any) -> dict[str, dict[str, Any]]:
        """What a client would ask of the model with texts for inputs; see `warm_up`."""
        short, middle, longest = self.samples
        texts = {
            "a short text": short,
            "a text": middle,
            f"a text of {self.proven} tokens": longest,
            "a list of texts": [short, middle],
        }
        return {name: {"inputs": text, "parameters": parameters} for name, text in texts.items()}

    @timed("warm_up")
    def _try_out(self, checkpoint: Checkpoint, pairs: bool) -> None:
        """Try what rows may share a pass and what starting one costs. Refuse a model that cannot be used."""
        short, middle, _ = self.samples
        words = middle.split()
        texts = [short, *(" ".join(words[:most]) for most in (2, 3, 5, len(words)))]
        tried = self.tokenize([(text, short) if pairs else text for text in texts])
        if failed := next((one for one in tried if isinstance(one, BadItem)), None):
            raise checkpoint.refusal(f"it cannot read {short!r}: {failed}")
        typed = "token_type_ids" in self._forward.inputs
        segments = max(max(one.type_ids) for one in tried) + 1 if typed else 0
        model_limits.check_tokenizer(checkpoint, self.tokenizer, self.model, segments)
        left = self.tokenizer.padding_side == "left" and not self._forward.by_token
        try:
            batching = find_text_batching(self.config, left, tried, self._forward.compute_each)
        except Exception as error:
            kind = str(self.model.dtype).removeprefix("torch.")
            way = "" if kind == "float32" else f"; it computes in {kind}, so try `dtype: float32`"
            raise checkpoint.refusal(
                f"its first pass fails: {type(error).__name__}: {first_line(error)}{way}"
            ) from error
        if batching is None:
            raise checkpoint.refusal(
                "asked the same twice it answers differently; where its configuration has a seed, such "
                "as `hash_seed`, set it"
            )
        self.batching = batching
        budget = PassBudget(checkpoint.spec.max_batch_size, checkpoint.spec.max_batch_tokens)
        self.budget = self._forward.measure_pass_cost(tried[2], batching, budget)

    def _read(
        self, indexes: range, texts: Sequence[Text], cuts: Sequence[Cut] | None
    ) -> list[tuple[int, Any]]:
        """(index, encoding) of each text: those that are cut alike are tokenised in one call."""
        if cuts is None:
            return list(zip(indexes, self.tokenize([texts[n] for n in indexes]), strict=True))
        alike: dict[Cut, list[int]] = {}
        for index in indexes:
            alike.setdefault(cuts[index], []).append(index)
        found: dict[int, Any] = {}
        for how, mine in alike.items():
            found |= zip(mine, self.tokenize([texts[n] for n in mine], how), strict=True)
        return [(index, found[index]) for index in indexes]

    def _failed(self, row: Row, text: Text, encoding: Any) -> BadItem | None:
        if isinstance(encoding, BadItem):
            return encoding
        if self._end is not None and self._end not in encoding.ids:
            return BadItem("The text has no end token, at which this model looks")
        asked = row.parameters
        whole = asked.get("truncation", asked.get("truncate")) is False and "stride" not in asked
        if whole and self._tokens.is_cut(text, encoding):
            return BadItem(f"The text has more than {self.max_length} tokens")
        return None

    def _together(self, rows: Sequence[Row], encodings: Sequence[Any]) -> Iterator[list[int]]:
        """Places of the rows of each pass: of those that are still to be answered."""
        lengths = [len(encoding) for encoding in encodings]
        if self._end is None and self.batching.pads:
            passes = cut_into_passes(lengths, self.budget)
        else:
            kinds = [self._kind(encoding, place) for place, encoding in enumerate(encodings)]
            passes = cut_by_kind(lengths, kinds, self.budget)
        for places in passes:
            if wanted := [place for place in places if rows[place].open]:
                yield wanted

    def _kind(self, encoding: Any, place: int) -> Hashable:
        """Rows of one kind may share a pass."""
        ends = encoding.ids.count(self._end) if self._end is not None else 0
        return ends, self.batching.pass_key(len(encoding), place)


def _load_tokenizer(checkpoint: Checkpoint, offsets: bool) -> Any:
    tokenizer = checkpoint.load_tokenizer()
    if offsets and not tokenizer.is_fast:
        raise checkpoint.refusal(
            f"{checkpoint.spec.task} needs a fast tokenizer, and this model has none"
        )
    if tokenizer.model_max_length < 1:
        raise checkpoint.refusal(
            f"its tokenizer_config.json says `model_max_length` {tokenizer.model_max_length}; set it to the "
            "tokens that the model reads at most, or take it out"
        )
    return tokenizer
