"""Answers to questions that stand in a context: question-answering, by start and end of a span.

Devlin et al. 2018, section 4.2, https://arxiv.org/abs/1810.04805. A context longer than the model is
read in windows that overlap; the best span of all windows wins.
"""

from typing import Any

import numpy as np

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.phases import during
from worker.models.rows import Row, Rows, each
from worker.models.text import Encoder

WINDOW, OVERLAP = 384, 128
"""Tokens of a window and of what it shares with the next: those that SQuAD models were trained with."""


class QuestionAnswering:
    """The span of the context that answers each question."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._encoder = Encoder(
            Checkpoint(spec),
            device,
            "AutoModelForQuestionAnswering",
            truncation="only_second",
            max_length=WINDOW,
            overlap=OVERLAP,
            pairs=True,
            offsets=True,
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        encodings = self._encode(rows)
        windows, owners = [], []
        for row, encoding in zip(rows, encodings, strict=True):
            if isinstance(encoding, BadItem):
                row.result = encoding
                continue
            mine = [encoding, *encoding.overflowing]
            windows += mine
            owners += [row] * len(mine)
        spans: dict[int, dict[tuple[int, int], float]] = {id(row): {} for row in rows}
        empty: dict[int, float] = {}
        for indexes in self._encoder.cut(owners, windows):
            output, _ = self._encoder.forward([windows[index] for index in indexes])
            starts, ends = (
                logits.float().cpu().numpy() for logits in (output.start_logits, output.end_logits)
            )
            for index, start, end in zip(indexes, starts, ends, strict=True):
                row, window = owners[index], windows[index]
                length = len(window)
                none, found = self._spans(row.parameters, window, start[:length], end[:length])
                empty[id(row)] = min(none, empty.get(id(row), 1.0))
                merge(spans[id(row)], found)
        for row in rows:
            if row.open:
                row.result = _answer(row, spans[id(row)], empty[id(row)])
        return rows.outputs()

    @during("preprocess")
    def _encode(self, rows: Rows) -> list[Any]:
        """A question takes at most half of the window, so that there is room for the context."""
        room = self._encoder.max_length // 2
        plain = self._encoder.plain
        questions = each(
            [row.value["question"] for row in rows], lambda texts: list(map(plain, texts))
        )
        short = [
            index
            for index, tokens in enumerate(questions)
            if not isinstance(tokens, Exception) and len(tokens) <= room
        ]
        pairs = [(rows[index].value["question"], rows[index].value["context"]) for index in short]
        encodings: list[Any] = [BadItem(f"The question has more than {room} tokens") for _ in rows]
        for index, encoding in zip(short, self._encoder.encode(pairs), strict=True):
            encodings[index] = encoding
        return encodings

    def _spans(
        self, parameters: dict[str, Any], window: Any, start: Any, end: Any
    ) -> tuple[float, dict[tuple[int, int], float]]:
        """(score of no answer, {(first, behind the last character): score}) of one window."""
        readable = np.array([sequence == 1 for sequence in window.sequence_ids])
        first = (
            window.ids.index(cls)
            if (cls := self._encoder.tokenizer.cls_token_id) in window.ids
            else 0
        )
        start, end = (_among(logits, readable, first) for logits in (start, end))
        none = float(start[first] * end[first])
        start[first] = end[first] = 0.0
        longest = parameters.get("max_answer_len", 15)
        scores = np.tril(np.triu(np.outer(start, end)), longest - 1).ravel()
        most = min(parameters.get("top_k", 1) * 2 + 10, scores.size)
        found: dict[tuple[int, int], float] = {}
        for place in np.argpartition(-scores, most - 1)[:most]:
            if scores[place] > 0:
                one, other = divmod(int(place), len(start))
                merge(found, {_characters(window, one, other): float(scores[place])})
        return none, found


def merge(spans: dict[tuple[int, int], float], found: dict[tuple[int, int], float]) -> None:
    """The same span of two windows, or of two cuts of one word, keeps its best score."""
    for span, score in found.items():
        spans[span] = max(score, spans.get(span, 0.0))


def _among(logits: Any, readable: Any, first: int) -> Any:
    """Softmax over the context's tokens and the first one, which stands for "no answer"."""
    allowed = readable.copy()
    allowed[first] = True
    logits = np.where(allowed, logits, -np.inf)
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def _characters(window: Any, first: int, last: int) -> tuple[int, int]:
    """The span's place in the context, whole words where the tokenizer knows them."""
    words = window.token_to_word(first), window.token_to_word(last)
    if None in words:
        return window.offsets[first][0], window.offsets[last][1]
    return window.word_to_chars(words[0], 1)[0], window.word_to_chars(words[1], 1)[1]


def _answer(row: Row, spans: dict[tuple[int, int], float], none: float) -> Any:
    """`{answer, score, start, end}`, or a list of them where `top_k` asks for more than one."""
    context, most = row.value["context"], row.parameters.get("top_k", 1)
    answers = [
        {"answer": context[start:end], "score": score, "start": start, "end": end}
        for (start, end), score in spans.items()
    ]
    if row.parameters.get("handle_impossible_answer") or not answers:
        answers.append({"answer": "", "score": none, "start": 0, "end": 0})
    answers.sort(key=lambda answer: answer["score"], reverse=True)
    return answers[0] if most == 1 else answers[:most]
