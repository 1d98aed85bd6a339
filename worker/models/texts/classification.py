"""Labels for texts: text-classification and zero-shot-classification."""

from string import Formatter
from typing import Any

import numpy as np
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.faults import brief
from worker.models.files.loading import Checkpoint
from worker.models.interface import Item
from worker.models.logits import unusable
from worker.models.rows import Row, Rows
from worker.models.texts.text import CLASSIFIER, Encoder, Text
from worker.models.warming import prove


class Scores:
    """From logits to `[{label, score}]`, best first: what each classifier answers."""

    def __init__(self, config: Any) -> None:
        self.labels: list[str] = [
            config.id2label.get(index, f"LABEL_{index}") for index in range(config.num_labels)
        ]
        self.function = _function(config)

    def of(
        self, logits: Any, parameters: list[dict[str, Any]], top_k: int | None = None
    ) -> list[Any]:
        """`[{label, score}]` for each row of `logits` (rows, labels), or the error that it is."""
        logits = logits.float()
        lost = unusable(logits)
        functions = {given.get("function_to_apply", self.function) for given in parameters}
        tables = {name: _apply(name, logits) for name in functions}
        answers: list[Any] = []
        for row, given in enumerate(parameters):
            order, scores = tables[given.get("function_to_apply", self.function)]
            most = given.get("top_k", top_k)
            answers.append(
                lost[row]
                or [
                    {"label": self.labels[index], "score": score}
                    for index, score in zip(order[row][:most], scores[row][:most], strict=True)
                ]
            )
        return answers


class TextClassification:
    """Every label of the model with its score, for each text."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._encoder = Encoder(checkpoint, device, CLASSIFIER)
        self._scores = Scores(self._encoder.config)
        prove(checkpoint, self, self._encoder.questions())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for indexes, encodings in self._encoder.passes(rows, [row.value for row in rows]):
            output, _ = self._encoder.forward(encodings)
            answers = self._scores.of(output.logits, [rows[index].parameters for index in indexes])
            for index, answer in zip(indexes, answers, strict=True):
                rows[index].result = answer
        return rows.outputs()


class ZeroShotClassification:
    """Labels of the caller's own: each is put to a natural-language-inference model as a hypothesis.

    Yin, Hay, Roth 2019, https://arxiv.org/abs/1909.00161.
    """

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        labels = checkpoint.part("AutoConfig").label2id
        found = [index for name, index in labels.items() if name.lower().startswith("entail")]
        if not found or len(labels) < 2:
            raise checkpoint.refusal(
                f"none of its labels ({', '.join(labels)}) is `entailment`, so it is no model for "
                "zero-shot-classification; take one trained on natural language inference"
            )
        self._entailment = found[0]
        self._contradiction = -1 if self._entailment == 0 else 0
        self._encoder = Encoder(checkpoint, device, CLASSIFIER, truncation="only_first", pairs=True)
        prove(checkpoint, self, self._encoder.questions(candidate_labels=["a", "a b"]))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        pairs: list[Text] = []
        owners: list[Row] = []
        spans: list[slice] = []
        for row in rows:
            try:
                mine = hypotheses(row.parameters, "This example is {}.")
            except BadItem as refusal:
                row.result, mine = refusal, []
            spans.append(slice(len(pairs), len(pairs) + len(mine)))
            pairs += [(row.value, hypothesis) for hypothesis in mine]
            owners += [row] * len(mine)
        logits = np.empty((len(pairs), 2), np.float32)
        for indexes, encodings in self._encoder.passes(owners, pairs):
            output, _ = self._encoder.forward(encodings)
            for index, error in zip(indexes, unusable(output.logits), strict=True):
                owners[index].result = error or owners[index].result
            chosen = output.logits[:, [self._contradiction, self._entailment]]
            logits[indexes] = chosen.float().cpu().numpy()
        for row, span in zip(rows, spans, strict=True):
            if row.open:
                row.result = _ranked(row.parameters, logits[span])
        return rows.outputs()


def hypotheses(parameters: dict[str, Any], usual: str) -> list[str]:
    """Each of the caller's labels in the template, as Python's `.format` puts it there.

    Widths and attributes are refused: `{:>999999999}` would fill the memory.

    Raises:
        BadItem: the template is none that takes one label.
    """
    template = parameters.get("hypothesis_template", usual)
    try:
        fields = [field for _, *field in Formatter().parse(template) if field[0] is not None]
        if fields and all(field in (["", "", None], ["0", "", None]) for field in fields):
            return [template.format(label) for label in parameters["candidate_labels"]]
        reason = "it takes `{}` or `{0}`, where the label goes, and no other field"
    except (ValueError, IndexError) as error:
        reason = brief(error)
    raise BadItem(
        f"`hypothesis_template` {template[:100]!r} cannot be filled in: {reason}; a brace of the text's "
        "own is written twice"
    )


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


def _function(config: Any) -> str:
    """What turns the logits into scores, as transformers' own pipeline chooses it."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def _apply(name: str, logits: Any) -> tuple[list[list[int]], list[list[float]]]:
    """(labels, scores) of every row, best first."""
    if name == "softmax":
        scores = torch.softmax(logits, dim=-1)
    else:
        scores = torch.sigmoid(logits) if name == "sigmoid" else logits
    scores, order = torch.sort(scores, dim=-1, descending=True, stable=True)
    return order.tolist(), scores.tolist()
