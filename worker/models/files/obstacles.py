"""Why a folder holds no model that a worker loads: each kind of folder in one sentence, with the way out."""

from collections.abc import Collection, Sequence
from fnmatch import filter as matching
from typing import Any

ADAPTER = "adapter_config.json"
LIBRARIES = {"bitsandbytes": "bitsandbytes", "gptq": "gptqmodel", "awq": "gptqmodel"} | {
    "compressed-tensors": "compressed-tensors",
    "aqlm": "aqlm",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
    "fbgemm_fp8": "fbgemm-gpu",
}
"""The package that reads each kind of quantised weights."""
SCALES = (
    *(".weight_scale", ".weight_scale_inv", ".input_scale", ".scales"),
    *(".qweight", ".qzeros", ".SCB", ".absmax", ".quant_state"),
)
"""Endings of the names of tensors that belong to quantised weights."""
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "MTModel": "translation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForCTC": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForAudioClassification": "audio-classification",
    "Model": "feature-extraction",
}
"""What a class of transformers does, by how its name ends."""
BOM = "its config.json begins with a byte order mark; save it as UTF-8 without one (`utf-8`, not `utf-8-sig`)"


def explain_adapter(names: Collection[str], base: str | None) -> str | None:
    """Of a folder with what fine-tuning by an adapter (LoRA) leaves, alone or beside a whole model."""
    if ADAPTER not in names:
        return None
    return (
        f"it is an adapter (LoRA) of {base or 'another model'}, not a whole model; merge the two once: "
        f"`PeftModel.from_pretrained(model, folder).merge_and_unload().save_pretrained(new_folder)`, and "
        "save the tokenizer there too"
    )


def explain_no_config(names: Collection[str]) -> str:
    """Of a folder without a config.json."""
    if found := _one(names, "*.gguf"):
        return _gguf(found)
    if "model_index.json" in names:
        return "it is a pipeline of diffusers, which makes images; serve it by a `python` model"
    if "params.json" in names or _one(names, "consolidated*"):
        return (
            "its files are as their makers' own code reads them; take the same model in the format of "
            "transformers, with a config.json"
        )
    if "modules.json" in names:
        return (
            "it has a modules.json of sentence-transformers and no config.json beside it: where its transformer "
            "lies in a folder of its own, save it anew with `SentenceTransformer(folder).save_pretrained(folder)`; "
            "where it has none (StaticEmbedding, WordEmbeddings), serve it by a `python` model"
        )
    return _exported(names) or "it has no config.json, so it holds no transformers model"


def explain_no_weights(names: Collection[str], architecture: str | None) -> str:
    """Of a folder with a config.json and no safetensors weights."""
    save = f"`{architecture or 'AutoModel'}.from_pretrained(folder).save_pretrained(folder)`"
    if found := _one(names, "pytorch_model*.bin") or _one(names, "*.bin"):
        return (
            f"its weights ({found}) are not safetensors, and loading a pickle runs code; where you trust it, "
            f"convert it once with transformers: {save}"
        )
    for kind, library, option in (
        ("*.h5", "TensorFlow", "from_tf"),
        ("*.msgpack", "Flax", "from_flax"),
    ):
        if found := _one(names, kind):
            return (
                f"its weights ({found}) are those of {library}, which transformers 5 does not read; take a "
                f"revision with a model.safetensors, or convert them once with transformers 4: "
                f"{save.replace('(folder)', f'(folder, {option}=True)', 1)}"
            )
    if found := _one(names, "*.gguf"):
        return _gguf(found)
    if found := _one(names, "*.pt") or _one(names, "*.pth") or _one(names, "*.ckpt"):
        return (
            f"it has no model.safetensors, and {found} is a pickle of a training; load that into the model with "
            "the code that trained it, then `model.save_pretrained(folder)`"
        )
    if found := _one(names, "model-*-of-*.safetensors"):
        return (
            f"it has parts of its weights ({found}) and no model.safetensors.index.json that says which; copy "
            "that file, too"
        )
    if found := _one(names, "*.safetensors"):
        return f"it has no model.safetensors; if {found} holds all its weights, rename it to model.safetensors"
    return _exported(names) or (
        "it has no model.safetensors, the file with its weights; copy it there, or save the model with "
        "`model.save_pretrained(folder)`"
    )


def explain_config(said: dict[str, Any]) -> str | None:
    """Of what a config.json says that no model can be made of."""
    labels = said.get("id2label")
    strange = [key for key in labels if not key.lstrip("-").isdigit()] if labels else []
    if strange:
        return (
            f"the id2label of its config.json has {strange[0]!r} where a number belongs; it maps numbers, from "
            "0, to labels"
        )
    if not said.get("model_type") and "pretrained_cfg" not in said:  # which timm's have
        return (
            "its config.json has no `model_type`; add the one of its architecture "
            f"({(said.get('architectures') or ['as its makers say'])[0]}), such as `bert`"
        )
    return None


def explain_own_code(said: dict[str, Any]) -> str:
    """Of a model of a type that transformers does not have."""
    kind = said.get("model_type")
    if said.get("auto_map"):
        return (
            f"its type {kind!r} is code of its own (`auto_map`, trust_remote_code), which workers never run; "
            "take a model of a type that transformers has, or serve it by a `python` model of yours"
        )
    return (
        f"its type {kind!r} is none that the transformers of this worker has; update transformers, or take "
        "another model"
    )


def explain_own_class(name: str, ours: str) -> str:
    """Of a model of a known type whose makers have a class of their own for it."""
    return (
        f"its class {name} is code of its own (`auto_map`, trust_remote_code), which workers never run, and "
        f"{ours}, which transformers has for its type, is another; take a model of a type that transformers has, "
        "or serve it by a `python` model of yours"
    )


def explain_unread_files(names: Collection[str]) -> str | None:
    """Of weights that the model's class does not know and that change what the others mean."""
    for name in sorted(names):
        if "lora_" in name:
            return (
                f"its weights hold an adapter that is not merged ({name}); merge it once with peft: "
                "`model.merge_and_unload().save_pretrained(folder)`"
            )
        if name.endswith(SCALES):
            return (
                f"its weights are quantised ({name}) and its config.json does not say how; take the model before "
                "it was quantised"
            )
    return None


def explain_quantised(method: str) -> str:
    package = LIBRARIES.get(method)
    way = f" (`pip install {package}`, on a GPU)" if package else ""
    return (
        f"its weights are quantised ({method}), which this worker cannot read; take the model before it was "
        f"quantised, or install what reads it{way}"
    )


def explain_task_by_name(saved: str) -> str | None:
    """The task of a class that transformers has in no table, by how its name ends."""
    return next((name for ending, name in TASKS.items() if saved.endswith(ending)), None)


def explain_another_task(saved: str, does: str | None, task: str | None) -> str:
    """The way out where a folder does not do a task. `saved`: as which class; `does`: the task of that."""
    known = f"it was saved as {saved}" if saved else "it does not say what it was saved as"
    if does and does != task:
        known += f", which does `{does}`"
    return f"{known}; take a model trained for {task}, or another `task`"


def explain_missing_parts(names: Sequence[str]) -> str:
    """Of a checkpoint that lacks weights of the very class that it was saved from."""
    return (
        f"its checkpoint has no weights for {list_some(names)}, so it is not what its config.json promises; copy the "
        "config.json that was saved with the weights, or all the files anew"
    )


def list_some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"


def _gguf(name: str) -> str:
    return (
        f"its weights ({name}) are GGUF, which llama.cpp reads; take the model that it was made of, with a "
        "model.safetensors"
    )


def _exported(names: Collection[str]) -> str | None:
    for kind, format_name in (("*.onnx", "ONNX"), ("openvino_model.xml", "OpenVINO")):
        if found := _one(names, kind):
            return (
                f"it has an export ({found}, {format_name}) and not the weights; take the model that was "
                "exported, with a model.safetensors"
            )
    return None


def _one(names: Collection[str], pattern: str) -> str | None:
    return next(iter(sorted(matching(names, pattern))), None)
