"""`soloist cancel`: each is ended, and one that cannot be is named."""

from fake_gateway import FakeGateway, prediction, problem


def test_cancel_goes_on_after_one_that_cannot_be(gateway: FakeGateway, soloist) -> None:
    def respond(request):
        if "/gone/" in request.path:
            return problem(404, "there is no such prediction")
        return prediction("canceled")

    gateway.respond = respond
    result = soloist("cancel", "a", "gone", "b")
    assert result.code == 1
    assert result.out == "a canceled\nb canceled\n"
    assert result.err == "soloist: gone: there is no such prediction\n"
    assert gateway.requests[0].method == "POST"
    assert gateway.requests[0].path == "/v1/predictions/a/cancel"


def test_cancel_for_scripts_prints_the_prediction(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction("canceled")
    assert soloist("cancel", "a", "--json").lines == [prediction("canceled")[1]]
