"""A family of models, as a row of the table: how it is built, what it is asked, and the answers to compare with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answering = Callable[[Any, Mapping[str, Any]], Any]
"""(inputs, parameters) of one prediction -> the output."""


@dataclass(frozen=True)
class Asked:
    """One prediction, and whether it is one that ends as failed."""

    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fails: str | None = None
    """A part of the error's sentence, where it has to fail; the reference is not asked then."""

    @property
    def body(self) -> dict[str, Any]:
        """The prediction's `input`."""
        return {
            "inputs": self.inputs,
            **({"parameters": self.parameters} if self.parameters else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Family:
    """A task and an architecture that does it."""

    name: str
    """`bert`, `xlnet`: what is special about the folder, if anything, stands behind it."""
    task: str
    build: Callable[[Path], Path]
    """Writes a tiny seeded model to the folder and gives its path."""
    reference: Callable[[Path], Answering]
    """Opens the folder with plain transformers or sentence-transformers; not called before it is needed."""
    situations: Mapping[str, Sequence[Asked]]
    """Predictions by what is special about them together: each is asked alone and in batches of all."""
    catalog: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the model's entry."""
    tolerance: float = 1e-5
    compared: Callable[[Any], Any] = lambda output: output
    """What of an output is compared, where not all of it is numbers that tolerance can be said of."""
