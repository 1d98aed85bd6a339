"""What a folder's model is made for, by its config.json alone, before other files are read.

Head names of different tasks can match: `classifier` labels a whole text in one class and each token in
another. So the class that the folder was saved from decides, where its name leaves no doubt.
"""

import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any

import transformers

from contract.tasks import TASKS
from worker.models.files import obstacles

BODIES = ("AutoModel", "AutoModelForTextEncoding")
"""Models without a head, of which tasks read the last hidden state."""
CLASSIFIER = "AutoModelForSequenceClassification"
REWRITER = "AutoModelForSeq2SeqLM"
CAUSAL, MASKED = "AutoModelForCausalLM", "AutoModelForMaskedLM"
TWO_PARTS = "AutoModelForZeroShotImageClassification"
"""Of CLIP and its kin, one of whose parts reads images and the other texts."""
KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    reads: {task.name: task.heads for task in TASKS.values() if task.reads == reads and task.heads}
    for reads in ("texts", "images", "sounds")
}
"""The Auto classes that serve each task, by what the task reads; tasks that name their models are not here."""
HEADED = (
    CLASSIFIER,
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForMultipleChoice",
    "AutoModelForImageClassification",
    "AutoModelForAudioClassification",
    "AutoModelForAudioFrameClassification",
    "AutoModelForAudioXVector",
)
"""Heads of one task each, which another task's head may be loaded from by mistake.

Their weights can have its names and shapes; or it has none of its own, being tied to the embeddings.
"""
WRITERS = (REWRITER, "AutoModelForSpeechSeq2Seq", "AutoModelForImageTextToText")
"""Model types whose classes do several tasks, so that the class does not say which one."""
INPUTS = {"input_ids": "texts", "pixel_values": "images"}
INPUTS |= dict.fromkeys(("input_values", "input_features"), "sounds")
BOTH = "images and texts"


def find_objection(config: Any, task: str | None) -> str | None:
    """Why a model of this configuration cannot do a task; None if it may."""
    wanted = next((one for one, tasks in KINDS.items() if task in tasks), None)
    if task is None or wanted is None:
        return None
    kinds = KINDS[wanted][task]
    known = any(type(config) in getattr(transformers, kind)._model_mapping for kind in kinds)
    if not known or ("AutoModel" in kinds and _reads_otherwise(config, wanted)):
        return explain_wrong_type(config, task)
    if _saved_for_another(config, kinds):
        return (
            f"{suggest_task(config, task)}; if it was trained for {task} all the same, correct `architectures` "
            "in its config.json"
        )
    return None


def explain_wrong_type(config: Any, task: str | None) -> str:
    """Of a model whose type does not do the task at all."""
    reads = _reads(config)
    other = reads and task not in KINDS.get(reads, {})
    return (
        f"a {config.model_type} model cannot do {task}: {f'it reads {reads}; ' if other else ''}"
        f"{suggest_task(config, task)}"
    )


def suggest_task(config: Any, task: str | None) -> str:
    """What the folder was saved as and what that does."""
    saved = (config.architectures or [""])[0]
    return obstacles.explain_another_task(saved, _does(config, saved), task)


def is_saved_for(config: Any, kind: str) -> bool:
    """Whether the folder was saved from the class that this Auto class makes of it."""
    return any(saved in _classes(kind) for saved in config.architectures or ())


def _saved_for_another(config: Any, kinds: tuple[str, ...]) -> bool:
    """Whether it was saved with the head of another task, and of no task besides."""
    saved = config.architectures or []
    if len(saved) != 1 or "AutoModel" in kinds or _in(saved[0], kinds):
        return False  # a task without a head may use the body of any model
    if _in(saved[0], WRITERS):
        return False
    if _in(saved[0], HEADED):
        return True
    # these two share their head, and differ in whether a token sees those behind it
    decodes = bool(getattr(config, "is_decoder", False))
    return (kinds == (CAUSAL,) and _in(saved[0], (MASKED,)) and not decodes) or (
        kinds == (MASKED,) and _in(saved[0], (CAUSAL,)) and decodes
    )


def _reads_otherwise(config: Any, wanted: str) -> bool:
    """Whether the model without its head cannot read what the task gives it."""
    reads = _reads(config)
    if wanted == "texts":
        return reads in ("images", "sounds") or _two_parts(config)
    return reads in ("texts", "sounds")


def _reads(config: Any) -> str:
    """`texts`, `images`, `sounds` or two of them; nothing where transformers does not say."""
    try:
        found = transformers.AutoModel._model_mapping[type(config)]
        body: Any = found[0] if isinstance(found, tuple) else found
        inputs, said = inspect.signature(body.forward).parameters, body.input_modalities
    except (KeyError, ImportError):  # some need packages that are not here
        return ""
    read = {INPUTS[name] for name in inputs if name in INPUTS}
    if read == {"texts"} and said == ("image",):
        return "images"  # ImageGPT's ids are colours
    return BOTH if read == {"images", "texts"} else read.pop() if len(read) == 1 else ""


def _two_parts(config: Any) -> bool:
    return type(config) in getattr(transformers, TWO_PARTS)._model_mapping


def _does(config: Any, saved: str) -> str | None:
    """The task of a class that the folder was saved from, if that is known."""
    if saved in _classes("AutoModel"):
        if _two_parts(config):
            return "zero-shot-image-classification"
        bodies = {"texts": "feature-extraction", "images": "image-feature-extraction"}
        return bodies.get(_reads(config))
    for tasks in reversed(KINDS.values()):  # what hears or sees may write besides
        for task, kinds in tasks.items():
            if "AutoModel" not in kinds and _in(saved, kinds) and not _in(saved, (REWRITER,)):
                return task
    return obstacles.explain_task_by_name(saved)


def _in(saved: str, kinds: Iterable[str]) -> bool:
    return any(saved in _classes(kind) for kind in kinds)


@cache
def _classes(kind: str) -> frozenset[str]:
    """The names of all classes that an Auto class may make."""
    found: set[str] = set()
    for names in getattr(transformers, kind)._model_mapping._model_mapping.values():
        found |= {names} if isinstance(names, str) else set(names)
    return frozenset(found)
