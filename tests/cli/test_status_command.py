"""`soloist status`: each model as a row, or one prediction as it stands."""

from fake_gateway import MODELS, FakeGateway, prediction, problem


def test_status_shows_each_model_as_a_row(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    result = soloist("status")
    assert result.code == 0
    heading, first, more, second = (" ".join(line.split()) for line in result.out.splitlines())
    assert heading == "model state queued running oldest workers"
    assert first == "local/minilm busy 3 2 1.2 s pod-1 H200 [MIG] busy"
    assert more == "pod-2 cpu loading"
    assert second == "acme/idle - 0 0 - -"


def test_status_says_why_the_workers_of_a_model_cannot_start(gateway: FakeGateway, soloist) -> None:
    failure = {"code": "no_device", "detail": "no GPU [0] is visible", "seconds": 41.7}
    model = {"owner": "acme", "name": "broken", "state": "failing", "failure": failure}
    gateway.respond = lambda request: (200, {"results": [{**model, "workers": []}]}, {})
    said = " ".join(soloist("status").out.split())
    assert said.endswith(
        "acme/broken failing 0 0 - could not start 42 s ago: no GPU [0] is visible"
    )


def test_status_for_scripts_is_json(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    (rows,) = soloist("status", "--json").lines
    workers = rows[0].pop("workers")
    assert rows[0] == {
        "model": "local/minilm",
        "state": "busy",
        "queued": 3,
        "running": 2,
        "busy": 1,
        "oldest_seconds": 1.25,
        "eta_seconds": 0.5,
        "failure": None,
    }
    assert [worker["name"] for worker in workers] == ["pod-1", "pod-2"]
    assert (rows[1]["state"], rows[1]["workers"]) == (None, [])


def test_status_of_a_prediction_shows_what_is_known(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(
        "starting", queue_position=4, output=[0.12345] * 100, error="a [bold]text[/bold]"
    )
    shown = soloist("status", "p1").out
    assert gateway.requests[0].path == "/v1/predictions/p1"
    assert "queue_position" in shown
    assert "100 numbers" in shown
    assert "[bold]text[/bold]" in shown
    assert soloist("status", "p1", "--json").lines[0]["queue_position"] == 4


def test_an_unknown_prediction_is_one_sentence(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: problem(
        404, "there is no prediction x", "prediction_not_found"
    )
    result = soloist("status", "x")
    assert (result.code, result.out) == (1, "")
    assert result.err == "soloist: there is no prediction x\n"
