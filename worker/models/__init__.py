"""Models: the only code that imports torch and transformers."""

from importlib import import_module
from typing import cast

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from contract.schemas import TaskName
from worker.models.faults import brief
from worker.models.interface import Item, Model

__all__ = ["TASKS", "Item", "Model", "open_model"]

TASKS: dict[TaskName, str] = {
    "text-classification": "worker.models.classification:TextClassification",
    "zero-shot-classification": "worker.models.classification:ZeroShotClassification",
    "token-classification": "worker.models.tokens:TokenClassification",
    "question-answering": "worker.models.answering:QuestionAnswering",
    "fill-mask": "worker.models.tokens:FillMask",
    "feature-extraction": "worker.models.embedding:FeatureExtraction",
    "sentence-similarity": "worker.models.embedding:SentenceSimilarity",
    "summarization": "worker.models.rewriting:Summarization",
    "translation": "worker.models.rewriting:Translation",
    "text-generation": "worker.models.generation:TextGeneration",
    "image-classification": "worker.models.vision:ImageClassification",
    "object-detection": "worker.models.vision:ObjectDetection",
    "automatic-speech-recognition": "worker.models.speech:SpeechRecognition",
}
"""Where the model of each task is. Imported on demand: each brings torch and transformers with it."""


def open_model(spec: ModelSpec) -> Model:
    """The model that the catalog describes, not loaded yet.

    Raises:
        ModelUnloadable: the class of a `python` model cannot be imported or made.
    """
    where = spec.python or TASKS[cast(TaskName, spec.task)]
    module, _, name = where.partition(":")
    try:
        made = getattr(import_module(module), name)()
    except Exception as error:
        kind = type(error).__name__
        raise ModelUnloadable(
            f"model {spec.name!r}: {where} cannot be opened: {kind}: {brief(error)}"
        ) from error
    for method in ("load", "predict"):
        if not callable(getattr(made, method, None)):
            raise ModelUnloadable(f"model {spec.name!r}: {where} has no method {method!r}")
    return cast(Model, made)
