"""Texts from texts, against plain `generate`: summaries, translations, languages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as tf

from contract.errors import BadItem
from tests.worker.models.answers import ask, copied, item, written
from tests.worker.models.builders.generative_models import owning, rewriter
from worker.models import Model

pytestmark = pytest.mark.slow

LONG = {"max_new_tokens": 24}


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}], ids=["greedy", "beams"])
@pytest.mark.parametrize(
    ("task", "builder", "name"),
    [("summarization", "t5", "summary_text"), ("translation", "marian", "translation_text")],
)
def test_texts_are_rewritten_as_by_plain_generate(
    task: str,
    builder: str,
    name: str,
    options: dict[str, Any],
    folder: Callable[..., Path],
    loaded: Callable[..., Model],
) -> None:
    texts = ["the cat sat on the mat", "anna", "a very good movie about food , is it ?"]
    outputs = ask(loaded(task, folder(builder)), *texts, **LONG, **options)
    for text, output in zip(texts, outputs, strict=True):
        plain = written(folder(builder), tf.AutoModelForSeq2SeqLM, text, **LONG, **options)
        assert output == {name: plain}


def test_a_rewritten_text_ends_at_a_stop(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("translation", folder("marian"))
    (whole,) = ask(model, "the cat", **LONG)
    word = whole["translation_text"].split()[-1]
    (cut,) = ask(model, "the cat", **LONG, stop=[word])
    assert cut["translation_text"].count(word) == 1
    assert cut["translation_text"].endswith(word)


def test_a_summary_is_asked_for_in_the_models_own_words(
    folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    plain = ask(loaded("summarization", folder("t5")), "about the cat", max_new_tokens=7)
    own = copied(folder("t5"), tmp_path)
    config = json.loads((own / "config.json").read_text())
    task = {"prefix": "about ", "max_length": 8}  # the start token is one of them
    config["task_specific_params"] = {"summarization": task}
    (own / "config.json").write_text(json.dumps(config))
    assert ask(loaded("summarization", own), "the cat") == plain


def test_a_model_of_many_languages_writes_the_one_asked_for(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("m2m")
    model = loaded("translation", path)
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    plain = tf.AutoModelForSeq2SeqLM.from_pretrained(path).eval()
    languages = [("eng_Latn", "fra_Latn"), ("deu_Latn", "eng_Latn"), ("eng_Latn", "deu_Latn")]
    outputs = model.predict(
        [
            item("ab cd", f"id{n}", src_lang=source, tgt_lang=target, max_new_tokens=8)
            for n, (source, target) in enumerate(languages)
        ]
    )
    for (source, target), output in zip(languages, outputs, strict=True):
        tokenizer.src_lang = source
        tokens = plain.generate(
            **tokenizer("ab cd", return_tensors="pt"),
            forced_bos_token_id=tokenizer.convert_tokens_to_ids(target),
            max_new_tokens=8,
        )[0]
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        assert output == {"translation_text": text}


def test_a_language_in_the_models_own_file_need_not_be_named(
    folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    """As in models of many languages to one."""
    asked = ask(
        loaded("translation", folder("m2m")), "ab cd", max_new_tokens=8, tgt_lang="fra_Latn"
    )
    own = copied(folder("m2m"), tmp_path)
    token = tf.AutoTokenizer.from_pretrained(own).convert_tokens_to_ids("fra_Latn")
    owning(own, {"forced_bos_token_id": token})
    assert ask(loaded("translation", own), "ab cd", max_new_tokens=8) == asked


def test_a_decoder_that_begins_with_the_language_does_not_say_it_twice(
    folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    own = copied(folder("m2m"), tmp_path)
    token = tf.AutoTokenizer.from_pretrained(own).convert_tokens_to_ids("deu_Latn")
    owning(own, {"decoder_start_token_id": token})
    model = loaded("translation", own)
    plain = {"translation_text": written(own, tf.AutoModelForSeq2SeqLM, "ab", max_new_tokens=8)}
    named, unnamed = model.predict(
        [
            item("ab", "a", max_new_tokens=8, tgt_lang="deu_Latn"),
            item("ab", "b", max_new_tokens=8),
        ]
    )
    assert named == unnamed == plain


def test_a_task_of_the_models_own_is_named_by_its_languages(
    folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    """T5 has `translation_en_to_de` with a prefix and lengths of its own."""
    plain = loaded("translation", folder("t5"))
    own = copied(folder("t5"), tmp_path)
    config = json.loads((own / "config.json").read_text())
    config["task_specific_params"] = {
        "translation_en_to_de": {"prefix": "paris ", "max_length": 6, "num_beams": 2},
        "translation_en_to_fr": {"prefix": "london ", "max_length": 9, "early_stopping": True},
    }
    (own / "config.json").write_text(json.dumps(config))
    german, french, words = loaded("translation", own).predict(
        [
            item("the cat", "a", src_lang="en", tgt_lang="de"),
            item("the cat", "b", src_lang="en", tgt_lang="fr"),
            item("the cat", "c", src_lang="English", tgt_lang="German", max_new_tokens=4),
        ]
    )
    assert [german] == ask(plain, "paris the cat", max_new_tokens=5, num_beams=2)
    assert [french] == ask(plain, "london the cat", max_new_tokens=8)
    assert [words] == ask(plain, "translate English to German: the cat", max_new_tokens=4)


NAMED = [
    ("bart", {"tgt_lang": "zz"}, "`tgt_lang` 'zz' is not known to be a language of this model:"),
    ("marian", {"src_lang": "zz"}, "`src_lang` 'zz' is not known"),
    ("marian", {"src_lang": "en", "tgt_lang": "zz"}, "(its own is de): leave `tgt_lang` out"),
    ("t5", {"tgt_lang": "German"}, "give `src_lang` and `tgt_lang`"),
]


@pytest.mark.parametrize(("builder", "given", "reason"), NAMED)
def test_a_language_that_a_model_of_one_pair_would_not_hear_fails_alone(
    builder: str,
    given: dict[str, Any],
    reason: str,
    folder: Callable[..., Path],
    loaded: Callable[..., Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = folder(builder) if builder != "bart" else rewriter(tmp_path / "bart", "bart")
    model: Any = loaded("translation", path)
    if builder == "marian":
        monkeypatch.setattr(model.tokenizer, "source_lang", "en", raising=False)
        monkeypatch.setattr(model.tokenizer, "target_lang", "de", raising=False)
    bad, good = model.predict(
        [item("the cat", "a", **given), item("the cat", "b", max_new_tokens=3)]
    )
    assert isinstance(bad, BadItem)
    assert reason in str(bad)
    assert "translation_text" in good


def test_a_marian_hears_its_own_languages(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the one that it is to write in front of the text, if it has several."""
    model: Any = loaded("translation", folder("marian"))
    plain = ask(model, ">>fra<< the cat", max_new_tokens=5)
    monkeypatch.setattr(model.tokenizer, "source_lang", "en", raising=False)
    monkeypatch.setattr(model.tokenizer, "target_lang", "de", raising=False)
    pair = {"src_lang": "en", "tgt_lang": "de", "max_new_tokens": 5}
    assert ask(model, "the cat", **pair) == ask(model, "the cat", max_new_tokens=5)
    codes = [">>fra<<", ">>ita<<"]
    monkeypatch.setattr(model.tokenizer, "supported_language_codes", codes, raising=False)
    bare, coded, other = model.predict(
        [
            item("the cat", "a", src_lang="en", tgt_lang="fra", max_new_tokens=5),
            item("the cat", "b", tgt_lang=">>fra<<", max_new_tokens=5),
            item("the cat", "c", tgt_lang="zz"),
        ]
    )
    assert [bare] == [coded] == plain
    assert "(it has >>fra<<, >>ita<<)" in str(other)


@pytest.mark.parametrize("own", [True, False])
def test_blanks_are_cleaned_up_where_the_tokenizer_or_the_caller_says_so(
    own: bool, folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    path = copied(folder("t5"), tmp_path)
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    tokenizer.clean_up_tokenization_spaces = own
    tokenizer.save_pretrained(path)
    model = loaded("summarization", path)
    texts = ["about the cat", "anna"]
    outputs = model.predict(
        [
            item(texts, "a", max_new_tokens=24),
            item(texts, "b", max_new_tokens=24, clean_up_tokenization_spaces=True),
            item(texts, "c", max_new_tokens=24, clean_up_tokenization_spaces=False),
        ]
    )
    plain = [
        {"summary_text": written(path, tf.AutoModelForSeq2SeqLM, text, max_new_tokens=24)}
        for text in texts
    ]
    cleaned = [
        {"summary_text": tokenizer.clean_up_tokenization(one["summary_text"])} for one in outputs[2]
    ]
    assert outputs[0] == plain
    assert outputs[1] == cleaned != outputs[2]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "needs `tgt_lang`"),
        ({"tgt_lang": "klingon"}, "klingon"),
        ({"tgt_lang": "</s>"}, "not a"),
    ],
)
def test_a_language_that_the_model_does_not_know_fails_alone(
    given: dict[str, Any], reason: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("translation", folder("m2m"))
    bad, good = model.predict(
        [item("ab", "a", **given), item("ab", "b", tgt_lang="fra_Latn", max_new_tokens=3)]
    )
    assert isinstance(bad, BadItem)
    assert reason in str(bad)
    assert "translation_text" in good
