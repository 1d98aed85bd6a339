"""Answers are whole words where there are words."""

import re
from pathlib import Path
from typing import Any

import pytest
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from contract.catalog import ModelSpec
from tests.worker.models.answers import ask
from tests.worker.models.builders.task_models import BERT, made, save
from worker.models import Model, open_model
from worker.models.texts.word_boundaries import align_to_words

pytestmark = pytest.mark.slow

JAPANESE = "東京は日本の首都です。大阪は西の大きな町です。"
THAI = "กรุงเทพเป็นเมืองหลวงของประเทศไทย"
KOREAN = "서울은 한국의 수도입니다"
ENGLISH = "concertos were played by violinists"


class Window:
    """One token a character; words are what stands between blanks."""

    def __init__(self, text: str) -> None:
        self.offsets = [(place, place + 1) for place in range(len(text))]
        self._words = [match.span() for match in re.finditer(r"\S+", text)]

    def token_to_word(self, token: int) -> int | None:
        found = (n for n, (first, stop) in enumerate(self._words) if first <= token < stop)
        return next(found, None)

    def token_to_sequence(self, token: int) -> int | None:
        return 1

    def word_to_chars(self, word: int, sequence: int) -> tuple[int, int]:
        return self._words[word]


@pytest.mark.parametrize(
    ("text", "first", "last", "answer"),
    [
        (ENGLISH, 2, 3, "concertos"),
        (ENGLISH, 2, 11, "concertos were"),
        (JAPANESE, 3, 4, "日本"),
        (THAI, 4, 8, THAI[4:9]),
        (KOREAN, 0, 1, "서울은"),
        ("in 東京 today", 3, 3, "東"),
        ("東京 today", 0, 4, "東京 today"),
    ],
)
def test_a_span_is_widened_to_words_in_scripts_with_blanks_only(
    text: str, first: int, last: int, answer: str
) -> None:
    begin, end = align_to_words(text, Window(text), first, last)
    assert text[begin:end] == answer


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that reads characters, with a tokenizer that splits at blanks."""
    letters = sorted(set(JAPANESE + THAI + KOREAN + ENGLISH) - {" "})
    words = ["<pad>", "<unk>", "<s>", "</s>", *letters, *(f"##{letter}" for letter in letters)]
    numbered = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(numbered, unk_token=words[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 2), ("</s>", 3)],
    )
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=96, **special)
    config = tf.BertConfig(vocab_size=len(words), max_position_embeddings=96, **BERT)
    folder = Path(tmp_path_factory.mktemp("reader")) / "m"
    save(folder, made(tf.BertForQuestionAnswering, config), fast)
    spec = ModelSpec(name="tiny", source=str(folder), task="question-answering")
    model = open_model(spec)
    model.load(spec, "cpu")
    return model


def answers(reader: Model, context: str, **parameters: Any) -> list[str]:
    asked = {"question": "by", "context": context}
    (found,) = ask(reader, asked, top_k=20, max_answer_len=4, **parameters)
    return [one["answer"] for one in found]


@pytest.mark.parametrize("context", [JAPANESE, THAI])
def test_an_answer_in_a_script_without_blanks_is_no_longer_than_asked_for(
    reader: Model, context: str
) -> None:
    assert all(0 < len(answer) <= 4 for answer in answers(reader, context))


@pytest.mark.parametrize("context", [ENGLISH, KOREAN])
def test_an_answer_in_a_script_with_blanks_is_of_whole_words_unless_pieces_are_asked_for(
    reader: Model, context: str
) -> None:
    words = context.split()
    assert all(set(answer.split()) <= set(words) for answer in answers(reader, context))
    pieces = answers(reader, context, align_to_words=False)
    assert any(not set(piece.split()) <= set(words) for piece in pieces)
