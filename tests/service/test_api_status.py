"""The status page as it is served, and the answer that it asks for."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import httpx
import pytest

from contract.ledger.client import Ledger
from contract.ledger.transitions import announce
from contract.ledger.workers import Worker
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"
FOLDER = files("service") / "page"
FILES = sorted(file.name for file in FOLDER.iterdir())


def test_one_answer_has_all_models_and_the_newest_predictions_without_their_data(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    ledger.run(announce("echo", Worker("w1", "ready", device="cuda:0", gpu_name="H200")))
    http.post(CREATE, json={"input": {"text": "a secret"}})
    worker.serve_one(output="another secret")
    for _ in range(20):
        http.post("/v1/models/acme/sentiment/predictions", json={"input": {"text": "a"}})
    answer = http.get("/v1/status")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert [model["id"] for model in body["models"]][-1] == "acme/sentiment"
    (echo,) = [model for model in body["models"] if model["id"] == "local/echo"]
    (seen,) = echo["workers"]
    assert (echo["state"], seen["name"], seen["gpu_name"]) == ("ready", "w1", "H200")
    assert [p["model"] for p in body["predictions"]] == ["acme/sentiment"] * 15
    assert body["models"][-1]["queue"]["queued"] == 20
    assert "secret" not in answer.text
    newest, oldest = body["predictions"][0], body["predictions"][-1]
    assert body["now"] >= newest["created_at"] >= oldest["created_at"]


def test_a_prediction_in_the_list_tells_how_it_ended_and_how_long_it_took(
    http: httpx.Client, worker: FakeWorker
) -> None:
    http.post(CREATE, json={"input": {}})
    worker.fail(worker.take(), "a secret")
    answer = http.get("/v1/status")
    (row,) = answer.json()["predictions"]
    assert (row["status"], row["error_code"]) == ("failed", "model_error")
    assert row["metrics"]["total_time"] >= row["metrics"]["queue_time"] >= 0
    assert "secret" not in answer.text


def test_a_status_without_a_ledger_is_refused_like_all_else(
    http: httpx.Client, gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract.errors import LedgerUnavailable

    async def away(transition: object) -> None:
        raise LedgerUnavailable("the ledger does not answer")

    monkeypatch.setattr(
        gateway.app.state.context.predictions, "run_transition", away, raising=False
    )
    answer = http.get("/v1/status")
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    models = http.get("/v1/models").json()["data"]
    assert [(m["state"], m["queue"], m["workers"]) for m in models] == [(None,) * 3] * len(models)


# --- the files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *FILES])
def test_each_file_of_the_page_is_served_with_its_type_and_its_rules(
    http: httpx.Client, name: str
) -> None:
    path = f"/page/{name}" if name else "/"
    kinds = {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
    answer = http.get(path)
    assert answer.status_code == 200
    kind = kinds[(name or "index.html").rpartition(".")[2]]
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    head = http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


def test_a_browser_that_has_the_page_gets_it_once(http: httpx.Client) -> None:
    etag = http.get("/").headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = http.get("/", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert http.get("/", headers={"if-none-match": '"other"'}).status_code == 200
    assert http.get("/page/page.js").headers["etag"] != etag


def test_the_page_needs_nothing_from_elsewhere_and_holds_no_script_of_its_own(
    http: httpx.Client,
) -> None:
    wanted: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = dict(attrs)
            assert not [name for name in names if name.startswith("on") or name == "style"], tag
            assert tag != "style"
            assert tag != "script" or names.get("src")
            if tag != "a":
                wanted.extend(filter(None, (names.get("src"), names.get("href"))))

    Reader().feed(http.get("/").text)
    assert set(wanted) == {"page/icon.svg", "page/page.css", "page/page.js"}
    for name in FILES:
        text = (FOLDER / name).read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        for module in re.findall(r'from "\./([\w.]+)"', text):
            assert module in FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_turns_text_into_markup(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert len(text.splitlines()) < 200
