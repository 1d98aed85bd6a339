"""Every stack is asked in its own way, and is measured only if it answers as the model does."""

from pathlib import Path

import pytest

from bench.models import BenchModel
from bench.stacks.litserve import LitServe
from bench.stacks.mosec import Mosec
from bench.stacks.ours import Ours
from bench.stacks.stack import Stack
from bench.stacks.usual import Usual
from bench.trial import WrongAnswers, check_answers


@pytest.fixture
def model(tmp_path: Path) -> BenchModel:
    return BenchModel("tiny", "text-classification", tmp_path, str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        (Ours, b"POST /v1/models/local/tiny/predictions ", '{"output": [1]}'),
        (Mosec, b"POST /inference ", "[1]"),
        (LitServe, b"POST /predict ", '{"output": [1]}'),
        (Usual, b"POST /predict ", '{"prediction": [1]}'),
    ],
)
def test_every_stack_is_asked_for_one_text_and_its_answer_is_read(
    kind: type[Stack], path: bytes, answer: str, model: BenchModel, tmp_path: Path
) -> None:
    stack = kind(model, tmp_path)
    message = stack.request_for('a "text"')
    assert message.startswith(path)
    assert rb"a \"text\"" in message
    assert stack.parse_answer(answer) == [1]


def test_a_stack_that_answers_otherwise_than_the_model_is_not_measured(
    model: BenchModel, tmp_path: Path
) -> None:
    expected = [[{"label": "a", "score": 0.9}], [{"label": "a", "score": 0.6}]]
    bodies = ['[{"label": "a", "score": 0.9}]', '[{"label": "a", "score": 0.6}]']
    assert check_answers(Mosec(model, tmp_path), bodies, expected) == 0
    with pytest.raises(WrongAnswers):
        check_answers(Mosec(model, tmp_path), bodies[::-1], expected)
