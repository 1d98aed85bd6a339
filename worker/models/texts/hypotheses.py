"""The caller's labels as sentences, for zero-shot tasks."""

from string import Formatter
from typing import Any

from contract.errors import BadItem
from worker.models.torch_errors import first_line


def fill_hypotheses(parameters: dict[str, Any], usual: str) -> list[str]:
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
        reason = first_line(error)
    raise BadItem(
        f"`hypothesis_template` {template[:100]!r} cannot be filled in: {reason}; a brace of the text's "
        "own is written twice"
    )
