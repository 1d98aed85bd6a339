"""`python -m bench`: every part of it can be named, and what is unknown is refused."""

import subprocess
import sys

import pytest

from bench.__main__ import choice
from local.processes import PROJECT


def test_it_explains_itself() -> None:
    command = [sys.executable, "-m", "bench", "--help"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in ("stacks", "topologies", "scaling", "idle"):
        assert part in done.stdout


def test_names_are_given_by_comma_and_an_unknown_one_is_named() -> None:
    parse = choice(["tiny", "minilm"])
    assert parse("minilm,tiny") == ["minilm", "tiny"]
    with pytest.raises(Exception, match="'big' is none of tiny, minilm"):
        parse("tiny,big")
