"""Labels for texts: text-classification and zero-shot-classification."""

from typing import Any

import numpy as np

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.label_scores import LabelScores
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.texts.encoder import CLASSIFIER, Encoder, Text
from worker.models.texts.hypotheses import fill_hypotheses


class TextClassification:
    """Every label of the model with its score, for each text."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._encoder = Encoder(checkpoint, device, CLASSIFIER)
        self._scores = LabelScores(self._encoder.config)
        warm_up(checkpoint, self, self._encoder.sample_inputs())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for indexes, encodings in self._encoder.passes(rows, [row.value for row in rows]):
            output, _ = self._encoder.forward(encodings)
            answers = self._scores.from_logits(
                output.logits, [rows[index].parameters for index in indexes]
            )
            for index, answer in zip(indexes, answers, strict=True):
                rows[index].result = answer
        return rows.outputs()


class ZeroShotClassification:
    """Labels of the caller's own: each is put to a natural-language-inference model as a hypothesis.

    Yin, Hay, Roth 2019, https://arxiv.org/abs/1909.00161.
    """

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        labels = checkpoint.load_part("AutoConfig").label2id
        found = [index for name, index in labels.items() if name.lower().startswith("entail")]
        if not found or len(labels) < 2:
            raise checkpoint.refusal(
                f"none of its labels ({', '.join(labels)}) is `entailment`, so it is no model for "
                "zero-shot-classification; take one trained on natural language inference"
            )
        self._entailment = found[0]
        self._contradiction = -1 if self._entailment == 0 else 0
        self._encoder = Encoder(checkpoint, device, CLASSIFIER, truncation="only_first", pairs=True)
        warm_up(checkpoint, self, self._encoder.sample_inputs(candidate_labels=["a", "a b"]))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        pairs: list[Text] = []
        owners: list[Row] = []
        spans: list[slice] = []
        for row in rows:
            try:
                mine = fill_hypotheses(row.parameters, "This example is {}.")
            except BadItem as refusal:
                row.result, mine = refusal, []
            spans.append(slice(len(pairs), len(pairs) + len(mine)))
            pairs += [(row.value, hypothesis) for hypothesis in mine]
            owners += [row] * len(mine)
        logits = np.empty((len(pairs), 2), np.float32)
        for indexes, encodings in self._encoder.passes(owners, pairs):
            output, _ = self._encoder.forward(encodings)
            for index, error in zip(indexes, find_invalid_rows(output.logits), strict=True):
                owners[index].result = error or owners[index].result
            chosen = output.logits[:, [self._contradiction, self._entailment]]
            logits[indexes] = chosen.float().cpu().numpy()
        for row, span in zip(rows, spans, strict=True):
            if row.open:
                row.result = _ranked(row.parameters, logits[span])
        return rows.outputs()


def _ranked(parameters: dict[str, Any], logits: Any) -> list[dict[str, Any]]:
    """`logits` (labels, 2: contradiction and entailment) as the caller's labels, likeliest first."""
    labels = parameters["candidate_labels"]
    if parameters.get("multi_label") or len(labels) == 1:
        scores = _softmax(logits, axis=1)[:, 1]  # each label for itself
    else:
        scores = _softmax(logits[:, 1], axis=0)  # the labels among each other
    order = np.argsort(-scores, kind="stable").tolist()
    return [{"label": labels[index], "score": float(scores[index])} for index in order]


def _softmax(values: Any, axis: int) -> Any:
    raised = np.exp(values - values.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)
