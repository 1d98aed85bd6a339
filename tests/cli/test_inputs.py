"""Inputs as people write them: texts, JSON objects, files and pipes, and one sentence for what is none."""

import pytest

from cli.inputs import parse_line


@pytest.mark.parametrize(
    ("piped", "arguments", "sentence"),
    [
        ("", (), "there is nothing to predict: the input is empty"),
        ('good\n{"text": \n', (), "line 2 is no JSON object"),
        ("", ("--file", "missing.jsonl"), "cannot read missing.jsonl: No such file or directory"),
        ("", ("x", "--file", "y"), "give texts or --file, not both"),
        ("x", ("--url", "localhost:8000"), "'localhost:8000' is no address of a gateway"),
        ("x", ("--concurrency", "0"), "Invalid value for '--concurrency'"),
        ("x", ("--nonsense",), "No such option: --nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence(soloist, piped: str, arguments, sentence: str) -> None:
    result = soloist("predict", "minilm", *arguments, piped=piped)
    assert result.code in (1, 2)
    assert result.out == ""
    assert sentence in result.err
    assert result.err.startswith("soloist: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "input"),
    [
        ('{"inputs": {"question": "?"}}', {"inputs": {"question": "?"}}),
        ('"a \\"text\\""', {"text": 'a "text"'}),
        ('"Hi" he said', {"text": '"Hi" he said'}),
        ("42", {"text": "42"}),
        ("[1, 2]", {"text": "[1, 2]"}),
    ],
)
def test_a_line_is_an_object_or_a_text(line: str, input: dict[str, object]) -> None:
    assert parse_line(line) == input
