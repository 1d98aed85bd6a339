"""From the logits of a classifier to labels with scores, as every classifying task answers them."""

from typing import Any

import torch

from worker.models.passes.logits import find_invalid_rows


class LabelScores:
    """From logits to `[{label, score}]`, best first: what each classifier answers."""

    def __init__(self, config: Any) -> None:
        self.labels: list[str] = [
            config.id2label.get(index, f"LABEL_{index}") for index in range(config.num_labels)
        ]
        self.function = _choose_function(config)

    def from_logits(
        self, logits: Any, parameters: list[dict[str, Any]], top_k: int | None = None
    ) -> list[Any]:
        """`[{label, score}]` for each row of `logits` (rows, labels), or the error that it is."""
        logits = logits.float()
        lost = find_invalid_rows(logits)
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


def _choose_function(config: Any) -> str:
    """The function from logits to scores, chosen as transformers' own pipeline chooses it."""
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
