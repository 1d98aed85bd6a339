"""Models that make vectors of texts, against sentence-transformers asked for one text at a time."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import embedding_models, task_models, text_encoders

WIDTH = 32
LONG = "the dog sat on the mat , " * 20
LENGTHS = [
    Asked("the"),
    Asked("the cat"),
    Asked("a very good movie"),
    Asked("bob is red , anna is in london"),
    Asked("what is the capital of france ? " * 6),
]
LIMIT = [Asked("cat"), Asked("the " * 60 + "good"), Asked("bob " * 61 + "bad"), Asked(LONG)]
LISTS = [
    Asked(["the cat", "a very good movie about big red car", "sat"]),
    Asked("anna ran in park ."),
    Asked(["bob", LONG]),
]
PARAMETERS = [
    Asked("the cat", {"normalize": True}),
    Asked("anna ran in park .", {"dimensions": 5}),
    Asked(["bob", LONG], {"dimensions": 7, "normalize": True}),
    Asked(LONG + "bad", {"truncation_direction": "left"}),
    Asked(LONG, {"truncation_direction": "right"}),
    Asked("a very good movie"),
]
NEIGHBOURS = [
    Asked("the cat sat"),
    Asked(LONG, {"truncate": False}, fails="more than"),
    Asked(["bob", LONG], {"truncate": False}, fails="more than"),
    Asked("bob", {"prompt_name": "nobodys"}, fails="no prompt"),
    Asked("bob", {"dimensions": 4096}, fails="dimensions"),
    Asked(["bob", "a cat"], {"truncate": False, "prompt_name": "document"}),
]
MARKS = [Asked("the cat </s> sat on"), Asked("bob <pad>"), Asked("<s> the dog <mask>")]
NOTHING = [Asked("the cat"), Asked("  "), Asked(["bob", "\u200d", "a good dog"])]
NO_TOKEN = [
    Asked("the cat sat on the mat"),
    Asked("  ", fails="no token"),
    Asked(["bob", " "], fails="no token"),
]
PROMPTS = [
    Asked("the cat"),
    Asked("anna ran in park .", {"prompt_name": "q"}),
    Asked(["bob", LONG], {"prompt_name": "d"}),
    Asked("a very good movie", {"prompt_name": "document", "normalize": True}),
    Asked("the capital of france", {"prompt_name": "q", "dimensions": 3}),
]
SITUATIONS: Mapping[str, Sequence[Asked]] = {
    "lengths": LENGTHS,
    "up to the limit": LIMIT,
    "lists": LISTS,
    "parameters": PARAMETERS,
    "a neighbour that fails": NEIGHBOURS,
    "marks in the text": MARKS,
}
FRAMED = {**SITUATIONS, "nothing but the frame": NOTHING}
BARE = {**SITUATIONS, "no token": NO_TOKEN}
PROMPTED = {**SITUATIONS, "prompts": PROMPTS}


def embedded(folder: Path) -> Answering:
    """feature-extraction, by `SentenceTransformer.encode`."""

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        return embedding_models.encoded(
            folder,
            text,
            side=parameters.get("truncation_direction"),
            prompt_name=parameters.get("prompt_name"),
            truncate_dim=parameters.get("dimensions"),
            normalize_embeddings=parameters.get("normalize", False),
        )

    return answer


def read_apart(folder: Path) -> Answering:
    """feature-extraction without pooling: `SentenceTransformer.encode` for tokens."""

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        side = parameters.get("truncation_direction")
        return embedding_models.encoded(
            folder, text, side=side, output_value="token_embeddings"
        ).numpy()

    return answer


def compared(folder: Path) -> Answering:
    """sentence-similarity, by `SentenceTransformer.similarity`."""
    return lambda asked, parameters: embedding_models.similar(
        folder, asked["source_sentence"], asked["sentences"], parameters.get("prompt_name")
    )


def body(name: str, folder: Path) -> Path:
    return text_encoders.family(folder, name, "Model")


def recipe(
    base: Callable[[Path], Path],
    modules: Callable[[Any], Sequence[Any]],
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    **transformer: Any,
) -> Path:
    """A model with a recipe; `transformer` is added to what the file of that module says."""
    chosen = modules(embedding_models.quiet().models)
    base(folder.with_name("base"))
    embedding_models.saved(folder, folder.with_name("base"), *chosen, settings=dict(settings or {}))
    if transformer:
        embedding_models.say(folder / "sentence_bert_config.json", **transformer)
    return folder


def pooled(mode: Any, *, include_prompt: bool = True) -> Callable[[Any], Sequence[Any]]:
    return lambda st: [st.Pooling(WIDTH, mode, include_prompt=include_prompt)]


def projected(st: Any) -> Sequence[Any]:
    return [
        st.Pooling(WIDTH, ("mean", "cls")),
        st.Dense(2 * WIDTH, 24, activation_function=torch.nn.ReLU()),
        st.LayerNorm(24),
        st.Dense(24, 16),
        st.Normalize(),
    ]


PLAIN = {
    **dict.fromkeys(
        (
            *("albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert"),
            *("electra", "ernie", "esm", "ibert", "megatron-bert", "mobilebert"),
            *("modernbert", "mpnet", "nystromformer", "rembert", "roberta", "roformer"),
            *("squeezebert", "t5", "umt5", "xlm-roberta", "xlnet", "bart", "mbart", "fnet"),
            *("longformer", "bigbird", "xlm", "flaubert", "yoso"),
        ),
        FRAMED,
    ),
    "funnel": SITUATIONS,  # it reads no frame alone
    **dict.fromkeys(
        (
            *("bloom", "falcon", "gemma", "gpt2", "gpt-neo", "gpt-neox", "gptj", "llama"),
            *("mistral", "opt", "phi", "qwen3", "stablelm"),
        ),
        BARE,
    ),
}
"""Families without files of sentence-transformers: the mean."""
SETTINGS = {"prompts": {"q": "what is ", "d": "food : "}, "default_prompt_name": "q"}
RECIPES: dict[str, tuple[str, Callable[[Any], Sequence[Any]], dict[str, Any]]] = {
    "bert of 9 tokens": ("bert", pooled("cls"), {"max_seq_length": 9}),
    "bert that lower-cases": ("bert", pooled("max"), {"do_lower_case": True}),
    "bert cut at the left": (
        "bert",
        pooled("mean"),
        {"max_seq_length": 6, "tokenizer_args": {"truncation_side": "left"}},
    ),
    "bert with Dense": ("bert", projected, {}),
    "roberta by all poolings": (
        "roberta",
        pooled(("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")),
        {},
    ),
    "mpnet without the prompt": ("mpnet", pooled("mean", include_prompt=False), {}),
    "xlnet by the last token": ("xlnet", pooled("lasttoken"), {}),
    "xlnet by the first token": ("xlnet", pooled("cls"), {}),
    "xlnet without the prompt": ("xlnet", pooled("weightedmean", include_prompt=False), {}),
    "llama by the last token": ("llama", pooled("lasttoken"), {}),
    "qwen3 by the last token": (
        "qwen3",
        lambda st: [st.Pooling(WIDTH, "lasttoken"), st.Normalize()],
        {"tokenizer_args": {"padding_side": "left"}},
    ),
    "gpt2 by the weighted mean": ("gpt2", pooled("weightedmean", include_prompt=False), {}),
    "t5 with Dense": (
        "t5",
        lambda st: [
            st.Pooling(WIDTH),
            st.Dense(WIDTH, 16, bias=False, activation_function=torch.nn.Identity()),
            st.Normalize(),
        ],
        {},
    ),
    "modernbert by the first token": ("modernbert", pooled("cls"), {}),
    "deberta-v2 by the mean": ("deberta-v2", pooled("mean"), {"max_seq_length": 12}),
}

SIMILAR = {
    "sentences": [
        Asked({"source_sentence": "the cat", "sentences": ["the dog", "a very good movie", LONG]}),
        Asked({"source_sentence": LONG, "sentences": ["bob"]}),
        Asked({"source_sentence": "paris", "sentences": ["paris", "the capital of france"]}),
    ],
    "a neighbour that fails": [
        Asked(
            {"source_sentence": "bob", "sentences": [LONG]}, {"truncate": False}, fails="more than"
        ),
        Asked({"source_sentence": "bob", "sentences": ["cat", "dog"]}),
    ],
}

FAMILIES = (
    *(
        Family(
            name=name,
            task="feature-extraction",
            build=partial(body, name),
            reference=embedded,
            situations=situations,
        )
        for name, situations in PLAIN.items()
    ),
    *(
        Family(
            name=name,
            task="feature-extraction",
            build=partial(recipe, partial(body, base), modules, settings=SETTINGS, **transformer),
            reference=embedded,
            situations={
                situation: [one for one in asked if one.parameters.get("normalize") is not False]
                for situation, asked in PROMPTED.items()
            },
        )
        for name, (base, modules, transformer) in RECIPES.items()
    ),
    *(
        Family(
            name=f"{base} by token",
            task="feature-extraction",
            build=partial(recipe, partial(body, base), pooled("mean")),
            reference=read_apart,
            situations={"lengths": LENGTHS, "up to the limit": LIMIT, "lists": LISTS},
            catalog={"pooling": "none"},
        )
        for base in ("bert", "xlnet", "llama", "t5")
    ),
    Family(
        name="byte tokens of a tokenizer in Python",
        task="feature-extraction",
        build=partial(task_models.byte_classifier, model="BertModel"),
        reference=embedded,
        situations={"lengths": LENGTHS, "lists": LISTS, "limit": LIMIT, "neighbours": NEIGHBOURS},
    ),
    *(
        Family(
            name=f"{base} by {name}",
            task="sentence-similarity",
            build=partial(
                recipe, partial(body, base), pooled("mean"), settings={"similarity_fn_name": name}
            ),
            reference=compared,
            situations=SIMILAR,
            tolerance=1e-4,
        )
        for base in ("bert", "xlnet", "llama")
        for name in ("cosine", "dot", "euclidean", "manhattan")
    ),
)
