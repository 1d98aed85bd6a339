"""Alone = in any batch = reference: one table, a row for each family of models that a task has.

Each area has its file; a row says how a tiny model of the family is made, what plain transformers
answers for one input asked alone, and what is asked of it.
"""

from importlib import import_module

from tests.worker.models.batch_invariance.family import Asked, Family

__all__ = ["FAMILIES", "Asked", "Family"]

AREAS = (
    "encoders",
    "captions",
    "images",
    "writing",
    "pairs",
    "spans",
    "vectors",
    "sounds",
)

FAMILIES: tuple[Family, ...] = tuple(
    family
    for area in AREAS
    for family in import_module(f"tests.worker.models.batch_invariance.{area}").FAMILIES
)
