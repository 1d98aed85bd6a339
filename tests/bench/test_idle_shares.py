"""What an idle Soloist asks is split by what was started, and by the number of models."""

from typing import Any

import pytest

from bench.idle import render_idle, shares


def step(models: int, part: str, rate: float) -> dict[str, Any]:
    return {"models": models, "part": part, "rates": {"get": rate - 1, "evalsha": 1.0}}


RESULTS = {
    "seconds": 30.0,
    "steps": [
        step(1, "keeper", 4),  # 3 and 1 a model
        step(1, "gateway", 6.5),  # 2 and 0.5 a model
        step(1, "worker", 9),
        step(1, "worker", 11),
        step(3, "keeper", 6),
        step(3, "gateway", 9.5),
        step(3, "worker", 17),
        step(3, "worker", 23),
    ],
}


def test_each_part_has_its_share_and_each_model_its_part_of_that() -> None:
    assert shares(RESULTS) == {
        "worker": pytest.approx((7.5 + 6) / 2 / 3),
        "keeper": 3,
        "keeper, a model": 1,
        "gateway": 2,
        "gateway, a model": 0.5,
    }


def test_the_table_says_what_was_asked_most_and_how_long_it_was_counted() -> None:
    text = render_idle(RESULTS)

    assert "in 30 s" in text
    assert "| 3 | worker | 23.0 | 1.0 |" in text
    assert "Asked most at last: get 22.0, evalsha 1.0." in text
