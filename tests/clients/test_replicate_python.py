"""The official Python client, replicate 1.0.7, as it is."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import replicate
from replicate.exceptions import ModelError, ReplicateError

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.ledger.transitions import note_start_failure
from contract.tasks.row import MEDIA
from tests.support.fake_worker import CONTENT
from worker.models import media


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[replicate.Client]:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.02")
    client = replicate.Client("x", base_url=url)
    yield client
    client._client.close()  # it has no way of its own


def test_run_gives_the_output(client: replicate.Client) -> None:
    assert client.run("local/echo", input={"text": "hello"}) == "hello"
    assert client.run("local/items", input={})[0] == {"label": "ham", "score": 0.5}


@pytest.mark.parametrize("wait", [True, False])
def test_run_goes_on_where_the_answer_warns_of_workers_that_cannot_start(
    client: replicate.Client, ledger: Ledger, wait: bool
) -> None:
    ledger.redis.delete(ledger.key("workers", "echo"))
    ledger.run(note_start_failure("echo", "w9", "no_device", "no GPU is visible"))
    body = client._client.post("/v1/models/local/echo/predictions", json={"input": {}}).json()
    assert body["warning"].startswith("no worker of local/echo can start at the moment (no GPU")
    assert client.run("local/echo", input={"text": "hello"}, wait=wait) == "hello"


def test_run_of_a_version_gives_the_output(client: replicate.Client, catalog: Catalog) -> None:
    ref = f"local/echo:{catalog['echo'].version(CONTENT)}"
    assert client.run(ref, input={"text": "hello"}) == "hello"


@pytest.mark.parametrize("wait", [True, 1, False])
def test_run_gives_the_output_of_what_takes_longer_than_the_wait(
    client: replicate.Client, wait: Any
) -> None:
    assert client.run("local/slow", input={"seconds": 0.8}, wait=wait) == "at last"


def test_run_raises_what_the_model_says(client: replicate.Client) -> None:
    with pytest.raises(ModelError, match="no good") as caught:
        client.run("local/fail", input={})
    assert caught.value.prediction.status == "failed"


def test_run_of_an_unknown_model_raises_its_problem(client: replicate.Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run("local/nobody", input={})
    assert (caught.value.status, caught.value.title) == (404, "Model not found")


def test_a_file_is_sent_in_the_input_and_whoever_uploads_it_is_told_so(
    client: replicate.Client, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF and what follows")
    with path.open("rb") as file:
        with pytest.raises(ReplicateError, match=r"file_encoding_strategy=.*base64") as caught:
            client.run("local/echo", input={"text": file})
        assert caught.value.status == 404
        inside = {"file_encoding_strategy": "base64", "use_file_output": False}
        text = client.run("local/echo", input={"text": file}, **inside)
    assert re.search(MEDIA["pattern"], text)
    assert media.decode_base64(text) == path.read_bytes()


def test_create_wait_and_reload(client: replicate.Client, catalog: Catalog) -> None:
    version = catalog["echo"].version(CONTENT)
    for prediction in (
        client.predictions.create(model="local/echo", input={"text": "hello"}),
        client.predictions.create(version=version, input={"text": "hello"}),
        client.predictions.create(version="local/echo", input={"text": "hello"}, wait=5),
        client.models.predictions.create(model="local/echo", input={"text": "hello"}),
        client.deployments.predictions.create("local/echo", input={"text": "hello"}),
    ):
        prediction.wait()
        assert (prediction.status, prediction.output) == ("succeeded", "hello")
        assert prediction.model == "local/echo"
        assert prediction.version == version
        assert prediction.metrics is not None
        assert prediction.metrics["predict_time"] == 0.5
        assert prediction.progress is not None
        assert (prediction.progress.current, prediction.progress.total) == (5, 10)


def test_get_and_list_lead_through_all_pages(
    client: replicate.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.predictions.PAGE", 2)
    made = [client.predictions.create(model="local/echo", input={"n": n}) for n in range(5)]
    pages = list(replicate.pagination.paginate(client.predictions.list))
    assert [len(page.results) for page in pages] == [2, 2, 1]
    ids = [prediction.id for page in pages for prediction in page.results]
    assert ids == [prediction.id for prediction in reversed(made)]
    second = client.predictions.list(pages[0].next)
    assert second.previous is not None
    first = client.predictions.list(second.previous)
    assert [prediction.id for prediction in first.results] == ids[:2]
    assert client.predictions.get(ids[0]).input == {"n": 4}


def test_cancel_ends_a_running_prediction(client: replicate.Client) -> None:
    prediction = client.predictions.create(model="local/slow", input={"seconds": 20})
    prediction.cancel()
    assert prediction.status == "canceled"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(prediction.wait).result(10)
    again = client.predictions.create(model="local/slow", input={"seconds": 20})
    assert client.predictions.cancel(again.id).status == "canceled"


def test_stream_gives_the_pieces_as_text(client: replicate.Client) -> None:
    events = list(client.stream("local/pieces", input={"text": "one two three"}))
    assert [event.event.value for event in events] == ["output"] * 3 + ["done"]
    assert "".join(str(event) for event in events) == "one two three"


def test_a_stream_that_is_not_the_output_raises_and_the_record_is_right(
    client: replicate.Client,
) -> None:
    prediction = client.predictions.create(model="local/changing", input={}, stream=True)
    with pytest.raises(RuntimeError, match="the output is not what was streamed"):
        list(prediction.stream())
    prediction.reload()
    assert (prediction.status, prediction.output) == ("succeeded", "Hello")


def test_a_predictions_stream_raises_its_error(client: replicate.Client) -> None:
    prediction = client.predictions.create(model="local/fail", input={}, stream=True)
    with pytest.raises(RuntimeError, match="no good"):
        list(prediction.stream())


def test_what_does_not_stream_streams_its_output_whole(client: replicate.Client) -> None:
    events = list(client.stream("local/echo", input={"text": "hello"}))
    assert [event.event.value for event in events] == ["logs", "output", "done"]
    assert "".join(str(event) for event in events) == "hello"


def test_models_and_versions(client: replicate.Client, catalog: Catalog) -> None:
    models = client.models.list()
    assert [model.id for model in models.results] == [spec.id for spec in catalog.values()]
    model = client.models.get("local/echo")
    assert (model.owner, model.name) == ("local", "echo")
    assert model.latest_version is not None
    assert model.latest_version.id == catalog["echo"].version(CONTENT)
    (version,) = model.versions.list().results
    assert version == model.versions.get(version.id) == model.latest_version
    assert set(version.openapi_schema["components"]["schemas"]) == {"Input", "Output"}
    assert client.run(version, input={"text": "hello"}) == "hello"


def test_the_account(client: replicate.Client) -> None:
    assert client.accounts.current().username == "local"


def test_the_async_variants(client: replicate.Client, catalog: Catalog) -> None:
    async def story() -> None:
        assert await client.async_run("local/echo", input={"text": "hello"}) == "hello"
        ref = f"local/echo:{catalog['echo'].version(CONTENT)}"
        assert await client.async_run(ref, input={"text": "hello"}) == "hello"
        assert await client.async_run("local/slow", input={"seconds": 0.8}, wait=1) == "at last"
        with pytest.raises(ModelError, match="no good"):
            await client.async_run("local/fail", input={})
        prediction = await client.predictions.async_create(model="local/echo", input={"text": "a"})
        await prediction.async_wait()
        assert (await client.predictions.async_get(prediction.id)).output == "a"
        assert (await client.predictions.async_list()).results[0].id == prediction.id
        slow = await client.predictions.async_create(model="local/slow", input={"seconds": 20})
        await slow.async_cancel()
        assert slow.status == "canceled"
        stream = await client.async_stream("local/pieces", input={"text": "one two"})
        assert "".join([str(event) async for event in stream]) == "one two"
        made = await client.predictions.async_create(model="local/pieces", input={"text": "a b"})
        assert [e.data async for e in made.async_stream()] == ["a ", "b", "{}"]
        models = await client.models.async_list()
        assert len(models.results) == len(catalog)
        model = await client.models.async_get("local/echo")
        assert (await model.versions.async_list()).results == [model.latest_version]
        assert (await client.accounts.async_current()).name == "local"

    finish(client, story())


def test_twenty_runs_at_once(client: replicate.Client) -> None:
    async def story() -> list[Any]:
        runs = (client.async_run("local/echo", input={"text": str(n)}) for n in range(20))
        return list(await asyncio.gather(*runs))

    assert finish(client, story()) == [str(n) for n in range(20)]


def finish(client: replicate.Client, story: Coroutine[Any, Any, Any]) -> Any:
    async def run() -> Any:
        try:
            async with asyncio.timeout(30):
                return await story
        finally:
            await client._async_client.aclose()

    return asyncio.run(run())
