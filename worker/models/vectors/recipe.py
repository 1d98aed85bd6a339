"""How a model's makers turn a text into one vector: sentence-transformers' files, read whole.

A key that is not known is refused by its name, as it may change the vectors. Format and defaults:
sentence_transformers 6.2, `base/modules/transformer.py` and `sentence_transformer/`.
"""

from dataclasses import dataclass, field
from typing import Any

import transformers
from tokenizers import normalizers

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from worker.models.files.checkpoint import Checkpoint
from worker.models.files.fetching import AGAIN
from worker.models.vectors.pooling import MODES, Dense, LayerNorm, Normalize, Step
from worker.models.vectors.sentence_files import (
    OLD_NAMES,
    SETTINGS,
    WAY,
    ModuleEntry,
    SentenceFiles,
    check_versions,
    load_activation,
    refuse_unknown_keys,
)

LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
SHIFTED = ("bart", "mbart", "plbart", "mvp", "led", "bigbird_pegasus")
"""Encoder-decoders that make their decoder's input of the text by themselves; its states are their vectors."""
PLACEMENT = {"revision", "cache_dir", "token", "local_files_only", "subfolder", "trust_remote_code"}
"""Keys about where files come from and whose code runs, which our own settings decide."""
SAME_NUMBERS = PLACEMENT | {
    "add_pooling_layer",  # its weights stand behind the token vectors
    "attn_implementation",
    "device_map",
    "dtype",
    "low_cpu_mem_usage",
    "torch_dtype",
    "use_safetensors",
}


@dataclass
class Recipe:
    """How a model's makers turn a text into one vector."""

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    steps: list[Step] = field(default_factory=list)
    """What follows the pooling, in order."""
    max_length: int | None = None
    lowercase: bool = False
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """More arguments for loading, by the name of the Auto class."""
    prompts: dict[str, str] = field(default_factory=lambda: {"query": "", "document": ""})
    default_prompt: str | None = None
    dimensions: int | None = None
    similarity: str = "cosine"

    @property
    def prompt(self) -> str:
        """What stands in front of a text where the caller names no prompt."""
        return self.prompts[self.default_prompt] if self.default_prompt is not None else ""


def read_recipe(checkpoint: Checkpoint) -> Recipe:
    """The recipe of an embedding model; without sentence-transformers files what that library assumes.

    Raises:
        ModelUnloadable: it says what is not applied here.
    """
    recipe, files = Recipe(), SentenceFiles(checkpoint)
    pooling = checkpoint.spec.pooling
    with checkpoint.reading("its sentence-transformers files"):
        if files.exist:
            _read_modules(recipe, files)
            _read_settings(recipe, files.read_json("config_sentence_transformers.json"))
        elif pooling == "auto":
            recipe.modes = _assumed(checkpoint)
    if pooling != "auto":
        recipe.modes = (pooling,)
    return recipe


def _assumed(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The last token for a decoder, the mean for all others."""
    config = checkpoint.load_part("AutoConfig")
    decoder = (config.architectures or [""])[0].endswith("ForCausalLM")
    if not decoder or not getattr(config, "is_causal", True):
        return ("mean",)
    if getattr(checkpoint.load_part("AutoTokenizer"), "chat_template", None):
        raise ModelUnloadable(
            "it is a model for chats and has no modules.json, so nothing says how it makes a vector of a "
            "text; say `pooling: lasttoken` or `mean` in the catalog, or take a model made for vectors"
        )
    return ("lasttoken",)


def _read_modules(recipe: Recipe, files: SentenceFiles) -> None:
    first, *others = files.read_modules()
    if first.kind != "Transformer":
        raise ModelUnloadable(
            f"its first module is {first.kind}, and Soloist applies those that begin with Transformer; {WAY}"
        )
    if first.path:
        raise ModelUnloadable(f"its transformer lies in {first.path} and not at the top; {AGAIN}")
    read_transformer(recipe, files.read_transformer(), "feature-extraction")
    if [module.kind for module in others].count("Pooling") != 1 or others[0].kind != "Pooling":
        kinds = ", ".join(module.kind for module in (first, *others))
        raise ModelUnloadable(
            f"its modules are {kinds}: one Pooling must follow Transformer; {WAY}"
        )
    _read_pooling(recipe, others[0])
    for module in others[1:]:
        if module.kind == "Dropout":
            continue  # in training only
        recipe.steps.append(_step(module, files))


def read_transformer(recipe: Recipe, said: dict[str, Any], task: str) -> None:
    """The keys of `Transformer.__init__`, of which most choose what is read, not how."""
    where = "its sentence_*_config.json"
    known = {"max_seq_length", "do_lower_case", "unpad_inputs", *OLD_NAMES.values()}
    fixed = {"transformer_task": task, "module_output_name": None, "modality_config": None}
    fixed |= {"query_length": None, "document_length": None, "query_expansion": None}
    refuse_unknown_keys(said, {*known, *fixed, "processing_kwargs"}, where)
    output, field_name = {
        "feature-extraction": ("token_embeddings", "last_hidden_state"),
        "sequence-classification": ("scores", "logits"),
    }[task]
    text = (said.get("modality_config") or {}).get("text", {"method": "forward"})
    chats = "message" in (said.get("modality_config") or {})
    wrong = [
        key
        for key, right in {**fixed, "module_output_name": output, "modality_config": None}.items()
        if key != "modality_config" and said.get(key, right) not in (right, None)
    ]
    wrong += ["modality_config"] * (
        chats
        or text.get("method") != "forward"
        or text.get("method_output_name", field_name) not in (field_name, [field_name])
    )
    processing = said.get("processing_kwargs") or {}
    wrong += [f"processing_kwargs.{key}" for key in ("common", "text") if processing.get(key)]
    if wrong:
        raise ModelUnloadable(
            f"{where} sets {wrong[0]!r} in a way that Soloist does not apply, so its answers would differ; {WAY}"
        )
    refuse_unknown_keys(said.get("model_kwargs") or {}, SAME_NUMBERS, f"{where}, model_args")
    recipe.max_length, recipe.lowercase = (
        said.get("max_seq_length"),
        bool(said.get("do_lower_case")),
    )
    tokenizer = {**(said.get("processor_kwargs") or {})}
    if recipe.max_length is not None:
        tokenizer.setdefault("model_max_length", recipe.max_length)
    for kind, given in {
        "AutoTokenizer": tokenizer,
        "AutoConfig": said.get("config_kwargs"),
    }.items():
        recipe.options[kind] = {
            key: value for key, value in (given or {}).items() if key not in PLACEMENT
        }
    recipe.max_length = tokenizer.get("model_max_length")


def _read_pooling(recipe: Recipe, module: ModuleEntry) -> None:
    said, where = module.config, f"{module.path}/config.json"
    sizes = {"embedding_dimension", "word_embedding_dimension"}
    refuse_unknown_keys(said, {*sizes, "pooling_mode", "include_prompt", *LEGACY_MODES}, where)
    legacy = [mode for key, mode in LEGACY_MODES.items() if said.get(key)]
    chosen = said.get("pooling_mode", legacy or ["mean"])
    recipe.modes = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    recipe.include_prompt = said.get("include_prompt", True)
    if not said or not recipe.modes or not MODES.issuperset(recipe.modes):
        raise ModelUnloadable(
            f"{where} names no pooling of sentence-transformers ({', '.join(sorted(MODES))})"
        )


def _step(module: ModuleEntry, files: SentenceFiles) -> Step:
    said, where = module.config, f"{module.path}/config.json"
    ends = {"module_input_name", "module_output_name"}
    for end in ends & set(said):
        if said[end] not in ("sentence_embedding", None):
            raise ModelUnloadable(
                f"{where}: {end} is {said[end]!r}, and Soloist has no such; {WAY}"
            )
    if module.kind == "Normalize":
        refuse_unknown_keys(said, ends, where)
        return Normalize()
    if module.kind == "LayerNorm":
        refuse_unknown_keys(said, {"dimension"}, where)
        return LayerNorm(files.find_weights(module))
    if module.kind == "Dense":
        sizes = {"in_features", "out_features", "bias"}
        refuse_unknown_keys(said, {*sizes, *ends, "activation_function", "use_residual"}, where)
        name = said.get("activation_function", "torch.nn.modules.activation.Tanh")
        residual = bool(said.get("use_residual"))
        return Dense(files.find_weights(module), load_activation(name, where), residual=residual)
    raise ModelUnloadable(f"its module {module.kind} is not one that Soloist applies; {WAY}")


def _read_settings(recipe: Recipe, said: dict[str, Any]) -> None:
    where = "its config_sentence_transformers.json"
    refuse_unknown_keys(said, {"similarity_fn_name", "truncate_dim", *SETTINGS}, where)
    read_settings(recipe, said, "SentenceTransformer")
    recipe.dimensions = said.get("truncate_dim")
    recipe.similarity = said.get("similarity_fn_name") or "cosine"


def read_settings(recipe: Recipe, said: dict[str, Any], kind: str) -> None:
    """What config_sentence_transformers.json says of models of any type."""
    found = said.get("model_type", "SentenceTransformer")
    if found != kind:
        raise ModelUnloadable(
            f"it is a {found}, and this task needs a {kind}; take another `task` or model"
        )
    check_versions(said.get("requirements") or {})
    recipe.prompts |= {name: text or "" for name, text in (said.get("prompts") or {}).items()}
    recipe.default_prompt = said.get("default_prompt_name")
    if recipe.default_prompt is not None and recipe.default_prompt not in recipe.prompts:
        raise ModelUnloadable(
            f"its default prompt {recipe.default_prompt!r} is none of its prompts"
        )


class EmbeddingCheckpoint(Checkpoint):
    """A checkpoint that is loaded as its recipe says."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.recipe = Recipe()  # until it is read: that needs the configuration
        self.recipe = self.make_recipe()

    def make_recipe(self) -> Recipe:
        return read_recipe(self)

    def load_part(self, kind: str, **options: Any) -> Any:
        return super().load_part(kind, **{**self.recipe.options.get(kind, {}), **options})

    def load_tokenizer(self) -> Any:
        found = super().load_tokenizer()
        if self.recipe.lowercase:
            lowercase_texts(found)
        return found

    def load_model(self, kind: str, device: str, reads: tuple[str, ...] = ()) -> Any:
        """The model; of an encoder-decoder only the encoder, where transformers has a class for it."""
        config = self.load_part("AutoConfig")
        encoders: Any = transformers.AutoModelForTextEncoding._model_mapping
        if type(config) in encoders and encoders[type(config)].__name__.endswith("EncoderModel"):
            kind = "AutoModelForTextEncoding"  # whatever the folder says: it may hold the encoder alone
        elif config.is_encoder_decoder and config.model_type not in SHIFTED:
            raise self.refusal(
                f"of an encoder-decoder of type {config.model_type!r} Soloist has no encoder alone, which is what "
                f"makes its vectors; {WAY}"
            )
        return super().load_model(kind, device, reads)


def lowercase_texts(tokenizer: Any) -> None:
    """`do_lower_case`: before all else that the tokenizer does to a text, unless it does that already."""
    if not tokenizer.is_fast:
        tokenizer.do_lower_case = True
        return
    backend = tokenizer.backend_tokenizer
    own: Any = backend.normalizer
    parts: Any = own if isinstance(own, normalizers.Sequence) else [own] if own else []
    given = list(parts)
    if not any(isinstance(one, normalizers.Lowercase) for one in given):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *given])
