"""Every error has one status and one shape."""

import pytest
from starlette.requests import Request

from contract.errors import (
    BadItem,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    OutcomeUnknown,
    QueueFull,
    SoloistError,
)
from service.http.problems import (
    INTERNAL_ERROR,
    STATUS,
    answer_problem,
    describe_problem,
    status_of,
)
from service.http.schemas import Problem

REQUEST = Request({"type": "http", "path": "/a/b"})


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_every_error_has_the_one_shape(kind: type[SoloistError]) -> None:
    error = OutcomeUnknown(prediction="p") if kind is OutcomeUnknown else kind("A sentence.")
    problem = describe_problem(error, "/a/b")
    assert problem.keys() - {"prediction"} == Problem.__required_keys__
    assert problem["type"] == f"urn:soloist:error:{kind.code}"
    assert (problem["title"], problem["instance"]) == (kind.title, "/a/b")
    assert problem["status"] == STATUS[kind]
    assert problem["detail"]


def test_a_place_in_the_body_and_a_prediction_are_named_where_they_are_known() -> None:
    assert "pointer" not in describe_problem(NotFound("x"), "/")
    assert describe_problem(InvalidInput("x", pointer=""), "/")["pointer"] == ""
    assert describe_problem(OutcomeUnknown(prediction="p"), "/")["prediction"] == "p"


def test_an_error_that_should_not_reach_a_client_is_a_fault_of_ours() -> None:
    assert status_of(BadItem()) == status_of(INTERNAL_ERROR) == 500


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (QueueFull(retry_after_seconds=0.01), "1"),
        (QueueFull(retry_after_seconds=1.2), "2"),
        (LedgerUnavailable(), "1"),
        (OutcomeUnknown(prediction="p"), "1"),
        (NotFound(), None),
    ],
)
def test_who_may_come_again_is_told_after_how_many_whole_seconds(
    error: SoloistError, seconds: str | None
) -> None:
    answer = answer_problem(REQUEST, error)
    assert answer.headers.get("retry-after") == seconds
    assert answer.status_code == STATUS[type(error)]
    assert answer.headers["content-type"] == "application/problem+json"
