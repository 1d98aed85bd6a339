"""Tasks over images."""

from contract.examples import PICTURE
from contract.tasks.row import (
    FUNCTION,
    MEDIA,
    SCORES,
    TOP_K,
    UNIT,
    Schema,
    Task,
    items_input,
    or_list,
    parameters,
)

BOX: Schema = {
    "type": "object",
    "properties": {edge: {"type": "integer"} for edge in ("xmin", "ymin", "xmax", "ymax")},
}

TASKS = (
    Task(
        name="image-classification",
        model="worker.models.vision:ImageClassification",
        gives="`[{label, score}]`",
        input=items_input(
            MEDIA,
            parameters(top_k=TOP_K, function_to_apply=FUNCTION),
            bare="image",
            example={"image": PICTURE},
        ),
        output=or_list(SCORES),
    ),
    Task(
        name="object-detection",
        model="worker.models.vision:ObjectDetection",
        gives="`[{label, score, box: {xmin, ymin, xmax, ymax}}]`",
        input=items_input(
            MEDIA, parameters(threshold=UNIT), bare="image", example={"image": PICTURE}
        ),
        output=or_list(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "label": {"type": "string"},
                        "score": {"type": "number"},
                        "box": BOX,
                    },
                },
            }
        ),
    ),
)
