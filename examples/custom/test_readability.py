"""How a model of one's own is tested: in memory, by its entry in the catalog. Run it with pytest."""

from pathlib import Path

import pytest

from contract.errors import InvalidInput
from worker.testing import InMemoryWorker

CATALOG = Path(__file__).with_name("catalog.yaml")


@pytest.fixture
def worker():
    return InMemoryWorker.of_catalog(CATALOG, "readability")


def test_short_words_are_easier_than_long_ones(worker):
    easy, hard = worker.predict(
        [
            {"text": "The cat sat. The dog ran."},
            {"text": "Incomprehensible terminology obfuscates communication."},
        ]
    )
    assert easy.output == {"ease": 119.2, "lines": 1}
    assert hard.output["ease"] < 0


def test_options_of_the_catalog_are_used(worker):
    (result,) = worker.predict([{"text": "word " * 25}])
    assert result.output["lines"] == 3


def test_an_input_that_does_not_fit_is_refused(worker):
    with pytest.raises(InvalidInput, match="input/text"):
        worker.predict([{"text": ""}])
