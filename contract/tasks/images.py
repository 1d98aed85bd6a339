"""Tasks over images."""

from contract.examples import PICTURE
from contract.tasks.row import (
    FUNCTION,
    LABELS,
    MEDIA,
    SCORES,
    TEMPLATE,
    TEXT,
    TOP_K,
    UNIT,
    Schema,
    Task,
    items_input,
    or_list,
    parameters,
)
from contract.tasks.writing import GENERATION

BOX: Schema = {
    "type": "object",
    "properties": {edge: {"type": "integer"} for edge in ("xmin", "ymin", "xmax", "ymax")},
}
PNG: Schema = {"type": "string", "description": "A PNG in base64, of the image's size."}
VECTOR: Schema = {"type": "array", "items": {"type": "number"}}

TASKS = (
    Task(
        name="image-classification",
        model="worker.models.tasks.image_classification:ImageClassification",
        reads="images",
        heads=("AutoModelForImageClassification",),
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
        model="worker.models.tasks.object_detection:ObjectDetection",
        reads="images",
        heads=("AutoModelForObjectDetection",),
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
    Task(
        name="zero-shot-image-classification",
        model="worker.models.tasks.zero_shot_images:ZeroShotImageClassification",
        reads="images",
        heads=("AutoModelForZeroShotImageClassification",),
        gives="`[{label, score}]`; needs `candidate_labels`",
        input=items_input(
            MEDIA,
            {
                **parameters(
                    candidate_labels=LABELS,
                    hypothesis_template={
                        **TEMPLATE,
                        "description": f"{TEMPLATE['description']} `This is a photo of {{}}.` by default.",
                    },
                ),
                "required": ["candidate_labels"],
            },
            bare="image",
            example={
                "inputs": PICTURE,
                "parameters": {"candidate_labels": ["a photograph", "a gradient", "a cat"]},
            },
        ),
        output=or_list(SCORES),
        notes="The scores of CLIP and its kin are shares of one; those of SigLIP are each label's own. "
        "A label with its template that is longer than the model reads fails with `invalid_input`.",
    ),
    Task(
        name="image-feature-extraction",
        model="worker.models.tasks.image_vectors:ImageFeatureExtraction",
        reads="images",
        heads=("AutoModel",),
        gives="a vector for each patch, or with `pool` one for the image",
        input=items_input(
            MEDIA,
            parameters(
                pool={
                    "type": "boolean",
                    "description": "One vector for the whole image. Of CLIP and its kin it is the one "
                    "that is compared with texts.",
                }
            ),
            bare="image",
            example={"inputs": PICTURE, "parameters": {"pool": True}},
        ),
        output={"type": "array", "description": "A vector, vectors, or planes of a convolution."},
        notes="Without `pool` it is the model's last hidden state, as in transformers' pipeline: of a "
        "large model, megabytes of JSON.",
    ),
    Task(
        name="image-segmentation",
        model="worker.models.tasks.image_segmentation:ImageSegmentation",
        reads="images",
        heads=(
            "AutoModelForUniversalSegmentation",
            "AutoModelForInstanceSegmentation",
            "AutoModelForSemanticSegmentation",
        ),
        gives="`[{label, score, mask}]`",
        input=items_input(
            MEDIA,
            parameters(
                subtask={
                    "enum": ["panoptic", "instance", "semantic"],
                    "description": "By default the first of them that the model can do.",
                },
                threshold={**UNIT, "description": "Of a thing's score; 0.9 by default."},
                mask_threshold={**UNIT, "description": "Of a pixel; 0.5 by default."},
                overlap_mask_area_threshold={
                    **UNIT,
                    "description": "The part of a thing's mask that has to be left; 0.5 by default.",
                },
            ),
            bare="image",
            example={"image": PICTURE},
        ),
        output=or_list(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "label": {"type": "string"},
                        "score": {"type": ["number", "null"]},
                        "mask": PNG,
                    },
                    "required": ["label", "score", "mask"],
                },
            }
        ),
        notes="`mask` is a PNG in base64, white where the thing is. `semantic` has no scores and no "
        "thresholds. The "
        "image may have at most 2^30 pixels times masks: 7 million pixels for 150 classes.",
    ),
    Task(
        name="depth-estimation",
        model="worker.models.tasks.depth_estimation:DepthEstimation",
        reads="images",
        heads=("AutoModelForDepthEstimation",),
        gives="`{depth, minimum, maximum}`",
        input=items_input(
            MEDIA,
            parameters(
                predicted_depth={
                    "type": "boolean",
                    "description": "Give the numbers too, in rows of the image's size: 10 to 20 bytes a "
                    "pixel of `max_output_bytes`.",
                }
            ),
            bare="image",
            example={"image": PICTURE},
        ),
        output=or_list(
            {
                "type": "object",
                "properties": {
                    "depth": PNG,
                    "minimum": {"type": "number"},
                    "maximum": {"type": "number"},
                    "predicted_depth": {"type": "array", "items": VECTOR},
                },
                "required": ["depth", "minimum", "maximum"],
            }
        ),
        notes="`depth` is a PNG in base64 with 256 steps of grey from black, `minimum`, to white, "
        "`maximum`, in the model's own unit: metres, or a number that grows with nearness.",
    ),
    Task(
        name="image-to-text",
        model="worker.models.tasks.image_captioning:ImageToText",
        reads="images",
        gives="`{generated_text}`",
        input=items_input(
            MEDIA,
            parameters(
                max_new_tokens=GENERATION["max_new_tokens"],
                generation_parameters=parameters(
                    **{name: schema for name, schema in GENERATION.items() if name != "stop"}
                ),
            ),
            bare="image",
            example={"inputs": PICTURE, "parameters": {"max_new_tokens": 20}},
        ),
        output=or_list(
            {
                "type": "object",
                "properties": {"generated_text": {"type": "string"}},
                "required": ["generated_text"],
            }
        ),
        refused={
            "epsilon_cutoff": "`temperature`, `top_k`, `top_p`, `min_p` and `typical_p` shape sampling",
            "eta_cutoff": "`temperature`, `top_k`, `top_p`, `min_p` and `typical_p` shape sampling",
            "num_beam_groups": "transformers has diverse beams as code on the hub, which is never run",
            "penalty_alpha": "transformers has contrastive search as code on the hub, which is never run",
            "use_cache": "it changes no text",
        },
        notes="BLIP, GIT and vision-encoder-decoder models, by their own `generate`. What nobody says "
        "follows the model's files; lengths are 256 new tokens then. A sampled text is drawn alone, by "
        "`seed` or else by the prediction's id.",
    ),
    Task(
        name="visual-question-answering",
        model="worker.models.tasks.visual_question_answering:VisualQuestionAnswering",
        reads="images",
        gives="`[{answer, score}]`",
        input=items_input(
            {
                "type": "object",
                "properties": {"image": MEDIA, "question": TEXT},
                "required": ["image", "question"],
                "additionalProperties": False,
            },
            parameters(top_k={**TOP_K, "description": "5 by default."}),
            example={"inputs": {"image": PICTURE, "question": "What colour is the picture?"}},
        ),
        output=or_list(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"answer": {"type": "string"}, "score": {"type": "number"}},
                    "required": ["answer"],
                },
            }
        ),
        notes="ViLT scores each of the answers that it knows, by itself; BLIP writes one answer, which has "
        "no score.",
    ),
)
