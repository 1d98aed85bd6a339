"""Answers to questions that stand in a context: question-answering, by start and end of a span.

Devlin et al. 2018, section 4.2, https://arxiv.org/abs/1810.04805. A context longer than the model is
read in windows that overlap; the best span of all windows wins.
"""

from typing import Any

import numpy as np

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import UNWANTED, Row, Rows, call_each
from worker.models.passes.warm_up import warm_up
from worker.models.texts.encoder import Cut, Encoder, Text
from worker.models.texts.word_boundaries import align_to_words
from worker.models.timing import timed

WINDOW, OVERLAP = 384, 128
"""Tokens of a window and of what it shares with the next: those that SQuAD models were trained with."""

Spans = dict[tuple[int, int], float]
"""Scores by the first and the place behind the last character."""


class QuestionAnswering:
    """The span of the context that answers each question."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        tokenizer = checkpoint.load_tokenizer()
        # models that are padded at the left were trained with the context in front
        self._context_first = tokenizer.padding_side == "left"
        self._special = tokenizer.num_special_tokens_to_add(pair=True)
        self._encoder = Encoder(
            checkpoint,
            device,
            "AutoModelForQuestionAnswering",
            truncation="only_first" if self._context_first else "only_second",
            pairs=True,
            offsets=True,
        )
        short, middle, longest = self._encoder.samples
        contexts = {"a short context": short, "a context": middle, "a long context": longest}
        asked: dict[str, Any] = {
            name: {"question": short, "context": context} for name, context in contexts.items()
        }
        asked["a list of questions"] = [asked["a short context"], asked["a long context"]]
        warm_up(checkpoint, self, {name: {"inputs": given} for name, given in asked.items()})

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        cuts = [self._cut(row) for row in rows]
        texts = self._pairs(rows, cuts)
        spans: dict[int, Spans] = {}
        empty: dict[int, float] = {}
        passes = self._encoder.passes(rows, texts, self._check, _windows, cuts)
        for indexes, windows in passes:
            output, mask = self._encoder.forward(windows)
            both = output.start_logits, output.end_logits
            lost = [
                one or other
                for one, other in zip(*(find_invalid_rows(x, mask) for x in both), strict=True)
            ]
            starts, ends = (logits.float().cpu().numpy() for logits in both)
            for place, index in enumerate(indexes):
                row, window = rows[index], windows[place]
                row.result = lost[place] or row.result
                if row.open:
                    length = len(window)
                    none, found = self._spans(
                        row, window, starts[place][:length], ends[place][:length]
                    )
                    empty[index] = min(none, empty.get(index, 1.0))
                    merge_spans(spans.setdefault(index, {}), found)
        for index, row in enumerate(rows):
            if row.open and index in spans:
                row.result = _answer(row, spans[index], empty[index])
        return rows.outputs()

    def _cut(self, row: Row) -> Cut:
        """The windows of a row. If they are impossible, the row gets the error as its result."""
        asked, most = row.parameters, self._encoder.max_length
        usual = min(WINDOW, most)
        length = asked.get("max_seq_len", usual)
        overlap = asked.get("doc_stride", min(OVERLAP, length // 4))
        if length > most:
            row.result = BadItem(
                f"`max_seq_len` is more than the {most} tokens that the model reads"
            )
        elif length <= self._special + 1:
            row.result = BadItem("`max_seq_len` leaves no room for a question and its context")
        elif overlap >= length - self._special:
            row.result = BadItem(f"`doc_stride` must be less than the {length} tokens of a window")
        return Cut(length, overlap) if row.result is UNWANTED else Cut(usual)

    @timed("preprocess")
    def _pairs(self, rows: Rows, cuts: list[Cut]) -> list[Text]:
        """Question and context of each row. A question takes at most half of the window, so that there is
        room for the context, and `max_question_len` tokens where a caller says so; it is cut to them.
        """
        plain = self._encoder.tokenizer.backend_tokenizer.encode
        questions = [row.value["question"] for row in rows]
        contexts = [row.value["context"] for row in rows]
        read = call_each(
            questions, lambda texts: [plain(text, add_special_tokens=False) for text in texts]
        )
        for index, (row, encoding) in enumerate(zip(rows, read, strict=True)):
            if isinstance(encoding, Exception):
                continue  # it fails again when it is tokenised with its context
            most = row.parameters.get("max_question_len")
            tokens = len(encoding)
            if most is not None and tokens > most:
                questions[index] = questions[index][: encoding.offsets[most - 1][1]]
                tokens = most
            room = cuts[index].length // 2
            if tokens == 0:
                row.result = BadItem("The question has no token that the model could read")
            elif tokens > room:
                row.result = BadItem(f"The question has more than {room} tokens")
            elif cuts[index].overlap >= (left := cuts[index].length - tokens - self._special):
                row.result = BadItem(
                    f"`doc_stride` must be less than the {left} tokens that a window has for the context"
                )
            if not row.open:
                questions[index] = questions[index][:1]
        if self._context_first:
            return list(zip(contexts, questions, strict=True))
        return list(zip(questions, contexts, strict=True))

    def _check(self, row: Row, encoding: Any) -> BadItem | None:
        if self._context_in(encoding).any():
            return None
        return BadItem("The context has no token that the model could read")

    def _context_in(self, window: Any) -> Any:
        """True where a token is one of the context's."""
        context = 0 if self._context_first else 1
        return np.array([sequence == context for sequence in window.sequence_ids])

    def _spans(self, row: Row, window: Any, start: Any, end: Any) -> tuple[float, Spans]:
        """(score of no answer, {(first, behind the last character): score}) of one window."""
        cls = self._encoder.tokenizer.cls_token_id
        first = window.ids.index(cls) if cls in window.ids else 0
        readable = self._context_in(window)
        start, end = (_among(logits, readable, first) for logits in (start, end))
        none = float(start[first] * end[first])
        start[first] = end[first] = 0.0
        longest = row.parameters.get("max_answer_len", 15)
        scores = np.tril(np.triu(np.outer(start, end)), longest - 1).ravel()
        most = min(row.parameters.get("top_k", 1) * 2 + 10, scores.size)
        found: Spans = {}
        whole = row.parameters.get("align_to_words", True)
        for place in np.argpartition(-scores, most - 1)[:most]:
            if scores[place] > 0:
                one, other = divmod(int(place), len(start))
                span = window.offsets[one][0], window.offsets[other][1]
                if whole:
                    span = align_to_words(row.value["context"], window, one, other)
                merge_spans(found, {span: float(scores[place])})
        return none, found


def merge_spans(spans: Spans, found: Spans) -> None:
    """The same span of two windows, or of two cuts of one word, keeps its best score."""
    for span, score in found.items():
        spans[span] = max(score, spans.get(span, 0.0))


def _windows(row: Row, encoding: Any) -> list[Any]:
    return [encoding, *encoding.overflowing]


def _among(logits: Any, readable: Any, first: int) -> Any:
    """Softmax over the context's tokens and the first one, which stands for "no answer"."""
    allowed = readable.copy()
    allowed[first] = True
    logits = np.where(allowed, logits, -np.inf)
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def _answer(row: Row, spans: Spans, none: float) -> Any:
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
