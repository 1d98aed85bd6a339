"""Refusals: one shape for every error, and no input that ends in a 500 or takes long."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from contract.ledger.client import Ledger
from local.redis import EmbeddedRedis
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.waiting import until

CREATE = "/v1/models/local/echo/predictions"
JSON = {"content-type": "application/json"}
LEAKS = ("Traceback", "site-packages", "/work", "redis://", 'File "', "PredictionRequest")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The one shape of every error (RFC 9457), without anything of our insides."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"pointer", "prediction"} == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
    }
    assert body["type"] == f"urn:soloist:error:{code}"
    assert body["status"] == status
    assert body["instance"] == answer.request.url.path
    assert body["title"]
    assert body["detail"]
    assert len(answer.content) < 3000 + len(body["instance"])
    assert not [leak for leak in LEAKS if leak in answer.text]
    if status in (429, 503, 504):
        assert int(answer.headers["retry-after"]) >= 1
    return body


def send(http: httpx.Client, content: bytes, url: str = CREATE, **headers: str) -> httpx.Response:
    return http.post(url, content=content, headers={**JSON, **headers})


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "code"),
    [
        ("POST", CREATE, {"input": "text"}, 422, "invalid_request"),
        ("POST", CREATE, {"input": None}, 422, "invalid_request"),
        ("POST", CREATE, {}, 422, "invalid_request"),
        ("POST", CREATE, [], 422, "invalid_request"),
        ("POST", CREATE, None, 422, "invalid_request"),
        ("POST", CREATE, "text", 422, "invalid_request"),
        ("POST", CREATE, {"input": {}, "more": 1}, 422, "invalid_request"),
        ("POST", CREATE, {"input": {}, "priority": "urgent"}, 422, "invalid_request"),
        ("POST", CREATE, {"input": {}, "stream": 10**30}, 422, "invalid_request"),
        ("POST", CREATE, {"input": {}, "version": 10**30}, 422, "invalid_request"),
        ("POST", CREATE, {"input": {}, "webhook": "https://x.example"}, 422, "invalid_request"),
        ("POST", "/v1/predictions", {"input": {}}, 422, "invalid_request"),
        ("POST", "/v1/predictions", {"version": "a/b", "input": {}}, 404, "model_not_found"),
        ("POST", "/v1/predictions", {"version": "", "input": {}}, 404, "model_not_found"),
        ("POST", "/v1/predictions", {"version": "echo", "input": {}}, 404, "model_not_found"),
        (
            "POST",
            "/v1/predictions",
            {"version": f"local/echo:{'0' * 64}", "input": {}},
            404,
            "model_not_found",
        ),
        ("POST", "/v1/models/local/nobody/predictions", {"input": {}}, 404, "model_not_found"),
        (
            "POST",
            "/v1/models/acme/sentiment/predictions",
            {"input": {"txt": "a"}},
            422,
            "invalid_input",
        ),
        ("GET", "/v1/models/local/nobody", None, 404, "model_not_found"),
        ("GET", "/v1/models/local/nobody/versions", None, 404, "model_not_found"),
        ("GET", f"/v1/models/local/echo/versions/{'0' * 64}", None, 404, "not_found"),
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("GET", "/page/", None, 404, "not_found"),
        ("GET", "/page/..%2Fapp.py", None, 404, "not_found"),
        ("POST", "/", {}, 405, "method_not_allowed"),
        ("POST", "/v1/predictions/x/y/z", {}, 404, "not_found"),
        ("DELETE", "/v1/predictions", None, 405, "method_not_allowed"),
        ("PATCH", "/v1/predictions/x", {}, 405, "method_not_allowed"),
        ("GET", CREATE, None, 405, "method_not_allowed"),
        ("POST", "/v1/models", {}, 405, "method_not_allowed"),
        ("POST", "/v1/predictions/nobody/cancel", None, 404, "prediction_not_found"),
    ],
)
def test_a_request_that_cannot_be_accepted_is_a_problem(
    http: httpx.Client, method: str, url: str, body: Any, status: int, code: str
) -> None:
    content = json.dumps(body).encode() if method in ("POST", "PATCH") else None
    answer = http.request(method, url, content=content, headers=JSON if content else None)
    assert_problem(answer, status, code)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"input": {}, "more": 1}, "/more"),
        ({"input": {}, "a/b~c": 1}, "/a~1b~0c"),
        ({"input": [1]}, "/input"),
        ({"input": {}, "webhook_events_filter": ["a", 1]}, "/webhook_events_filter/1"),
        ({"input": {}, "webhook": "https://hooks.example/x"}, "/webhook"),
        ({"input": {}, "webhook_completed": "https://hooks.example/x"}, "/webhook_completed"),
    ],
)
def test_the_pointer_leads_to_the_place(http: httpx.Client, body: Any, pointer: str) -> None:
    answer = http.post(CREATE, json=body)
    assert assert_problem(answer, 422, "invalid_request")["pointer"] == pointer


@pytest.mark.parametrize(
    ("input", "pointer"),
    [
        ({"number": -1}, "/input/number"),
        ({"number": "1"}, "/input/number"),
        ({"number": -(10**30)}, "/input/number"),
        ({"number": 0.5}, "/input/number"),
        ({"a/b~c": 1}, "/input/a~1b~0c"),
    ],
)
def test_an_input_that_does_not_fit_the_model_says_where(
    http: httpx.Client, input: Any, pointer: str
) -> None:
    answer = http.post("/v1/models/local/strict/predictions", json={"input": input})
    problem = assert_problem(answer, 422, "invalid_input")
    assert problem["pointer"] == pointer
    assert "/v1/models/local/strict" in problem["detail"]


def test_large_whole_numbers_fit_a_model_that_wants_whole_numbers(http: httpx.Client) -> None:
    for number in (2**63, 2**64, 10**30, 10**4000):
        url = "/v1/models/local/strict/predictions"
        answer = http.post(url, json={"input": {"number": number}})
        assert answer.status_code == 201, answer.text
        assert answer.json()["input"] == {"number": number}


def test_webhooks_are_refused_clearly(http: httpx.Client) -> None:
    body = {"input": {}, "webhook": "http://169.254.169.254/", "webhook_events_filter": ["start"]}
    problem = assert_problem(http.post(CREATE, json=body), 422, "invalid_request")
    assert problem["detail"].startswith("this version serves no webhooks")
    assert http.get("/v1/predictions").json()["results"] == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("x-priority", value) for value in ("urgent", "", "1", "\xe4")),
        *(
            ("cancel-after", value)
            for value in ("", "0", "0.5s", "25h", "-1", "soon", "1d", "\xb2")
        ),
        ("cancel-after", "9" * 9 + "m"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(
    http: httpx.Client, header: str, value: str
) -> None:
    headers = {header: value.encode("latin-1")}
    answer = http.post(CREATE, json={"input": {}}, headers=headers)
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("method", ["get", "cancel", "stream"])
def test_unknown_malformed_and_another_owners_ids_are_not_found_alike(
    http: httpx.Client, ledger: Ledger, method: str
) -> None:
    foreign = http.post(CREATE, json={"input": {}}).json()["id"]
    ledger.redis.hset(ledger.key("prediction", foreign), "owner", "other")
    ids = ["a" * 26, "A", "x" * 5000, "%00", "%0d%0aSet-Cookie:x", "..%5c..", "*", "%ff", foreign]
    seen = []
    for id in ids:
        url = f"/v1/predictions/{id}" + ("" if method == "get" else f"/{method}")
        answer = http.request("POST" if method == "cancel" else "GET", url)
        body = assert_problem(answer, 404, "prediction_not_found")
        seen.append({"title": body["title"], "pointer": body.get("pointer")})
        assert "set-cookie" not in answer.headers
    assert all(one == seen[0] for one in seen)
    assert ledger.redis.hget(ledger.key("prediction", foreign), "status") == b"starting"


DEEP = 20_000
HOSTILE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "no JSON": (b"input=1", 400),
    "half an object": (b'{"input": {', 400),
    "two values": (b'{"input":{}} {}', 400),
    "a byte order mark": (b'\xef\xbb\xbf{"input":{}}', 400),
    "UTF-16": ('{"input":{}}'.encode("utf-16"), 400),
    "invalid UTF-8": (b'{"input":{"a":"\xff\xfe"}}', 400),
    "an overlong slash": (b'{"input":{"a":"\xc0\xaf"}}', 400),
    "a raw newline in a string": (b'{"input":{"a":"x\ny"}}', 400),
    "NaN": (b'{"input":{"a":NaN}}', 400),
    "Infinity": (b'{"input":{"a":-Infinity}}', 400),
    "1e999": (b'{"input":{"a":1e999}}', 400),
    "a lone surrogate": (b'{"input":{"a":"\\ud800"}}', 400),
    "a lone surrogate as key": (b'{"input":{"\\udfff":1}}', 400),
    "a duplicate key": (b'{"input":{"a":1,"a":2}}', 400),
    "input twice": (b'{"input":{},"input":{}}', 400),
    "deep lists": (b'{"input":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}", 400),
    "deep objects": (b'{"input":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", 400),
    "65 levels": (b'{"input":{"a":' + b"[" * 63 + b"]" * 63 + b"}}", 400),
    "64 levels": (b'{"input":{"a":' + b"[" * 62 + b"]" * 62 + b"}}", 201),
    "4,301 digits": (b'{"input":{"a":' + b"9" * 4301 + b"}}", 400),
    "4,300 digits": (b'{"input":{"a":' + b"9" * 4300 + b"}}", 201),
    "a million digits": (b'{"input":{"a":' + b"9" * 1_000_000 + b"}}", 400),
    "a million lists": (b'{"input":{"a":[' + b"[]," * 340_000 + b"[]]}}", 201),
    "many keys": (
        b'{"input":{' + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}}",
        400,
    ),
    "a very long unknown key": (b'{"input":{},"' + b"k" * 900_000 + b'":1}', 422),
    "a key that forges a line": (b'{"input":{},"\\n\\u001b[2J{\\"level\\":\\"error\\"}":1}', 422),
    "a body over the limit": (b'{"input":{"a":"' + b"x" * 1_048_576 + b'"}}', 413),
    "a pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_answered_clearly_and_fast(http: httpx.Client, name: str) -> None:
    content, status = HOSTILE[name]
    answer = send(http, content)
    assert answer.status_code == status, answer.text[:500]
    if status != 201:
        code = {400: "invalid_json", 413: "too_large", 422: "invalid_request"}[status]
        assert_problem(answer, status, code)
    assert http.get("/livez").status_code == 200


def test_a_very_long_key_in_the_input_is_not_thrown_back(http: httpx.Client) -> None:
    body = {"input": {"k" * 500_000: 1}}
    answer = http.post("/v1/models/local/strict/predictions", json=body)
    assert_problem(answer, 422, "invalid_input")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-python-serialize"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
    ],
)
def test_what_is_not_said_to_be_json_is_refused(
    http: httpx.Client, headers: dict[str, str], code: int
) -> None:
    answer = send(http, b'{"input":{}}', **headers)
    assert_problem(answer, code, "unsupported_media_type")


def test_a_missing_content_type_is_refused(http: httpx.Client) -> None:
    answer = http.post(CREATE, content=b'{"input":{}}')
    assert_problem(answer, 415, "unsupported_media_type")


def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"input":{"a":"'
        for _ in range(20):
            yield b"x" * 65_536

    assert_problem(http.post(CREATE, content=chunks(), headers=JSON), 413, "too_large")


def test_the_body_limit_is_a_setting(start_gateway, client_of) -> None:
    http: httpx.Client = client_of(start_gateway(body_limit_bytes=100))
    assert send(http, b'{"input":{"a":"%s"}}' % (b"x" * 80)).status_code == 201
    assert_problem(send(http, b'{"input":{"a":"%s"}}' % (b"x" * 90)), 413, "too_large")


def test_a_full_queue_is_429_and_nothing_is_recorded(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = "/v1/models/local/small/predictions"
    headers = {"idempotency-key": "first"}
    first = http.post(url, json={"input": {}}, headers=headers).json()["id"]
    second = http.post(url, json={"input": {}}).json()["id"]
    answer = http.post(url, json={"input": {}})
    problem = assert_problem(answer, 429, "queue_full")
    assert "2 predictions wait" in problem["detail"]
    assert len(http.get("/v1/predictions").json()["results"]) == 2
    assert http.post(CREATE, json={"input": {}}).status_code == 201
    assert http.post(url, json={"input": {}}, headers=headers).status_code == 200
    assert [one.id for one in worker.claim("small")] == [first, second]
    assert http.post(url, json={"input": {}}).status_code == 201


def test_retry_after_is_the_time_until_there_is_room(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = "/v1/models/local/small/predictions"
    http.post(url, json={"input": {}})
    worker.succeed(worker.take("small"), model="small", seconds=7.2)
    for _ in range(2):
        http.post(url, json={"input": {}})
    answer = http.post(url, json={"input": {}})
    assert_problem(answer, 429, "queue_full")
    assert answer.headers["retry-after"] == "8"


def test_without_its_ledger_the_gateway_says_503_in_time_and_comes_back(
    settings, catalog, client_of, tmp_path
) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own,
        GatewayThread(settings.model_copy(update={"redis_url": SecretStr(own.url)}), catalog) as it,
    ):
        http: httpx.Client = client_of(it)
        created = http.post(CREATE, json={"input": {}}).json()
        models = http.get("/v1/models").json()
        assert models["results"][0]["queue"]["queued"] == 1
        own.pause()
        for ask, status, code in (
            (lambda: http.post(CREATE, json={"input": {}}), 504, "outcome_unknown"),
            (lambda: http.get(f"/v1/predictions/{created['id']}"), 503, "ledger_unavailable"),
        ):
            assert_problem(ask(), status, code)
        own.kill()
        assert_problem(http.post(CREATE, json={"input": {}}), 503, "ledger_unavailable")
        assert_problem(http.get("/v1/predictions"), 503, "ledger_unavailable")
        assert http.get("/readyz").status_code == 503
        assert http.get("/livez").status_code == 200
        away = http.get("/v1/models").json()["results"][0]
        assert (away["id"], away["queue"]) == ("local/echo", None)
        own.start()
        # It subscribes to outcomes again, too.
        until("it is ready again", lambda: http.get("/readyz").status_code == 200)
        assert len(http.get("/v1/predictions").json()["results"]) == 1
        assert http.post(CREATE, json={"input": {}}).status_code == 201


def test_a_full_ledger_is_503_and_what_runs_can_still_end(
    start_gateway, client_of, tmp_path, catalog, settings
) -> None:
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        http: httpx.Client = client_of(start_gateway(redis_url=SecretStr(own.url)))
        created = http.post(CREATE, json={"input": {}}).json()
        ledger = Ledger(settings.model_copy(update={"redis_url": SecretStr(own.url)}))
        worker = FakeWorker(ledger, catalog)
        claimed = worker.take()
        ledger.redis.config_set("maxmemory", 1)
        assert_problem(http.post(CREATE, json={"input": {}}), 503, "ledger_full")
        assert http.get(f"/v1/predictions/{created['id']}").json()["status"] == "processing"
        assert worker.succeed(claimed) == []
        ledger.redis.config_set("maxmemory", 0)
        assert http.get(f"/v1/predictions/{created['id']}").json()["status"] == "succeeded"
        ledger.close()


def test_a_fault_of_ours_is_a_500_that_tells_nothing(
    http: httpx.Client, gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def break_down(*_: Any) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr(gateway.app.state.context.predictions, "read_prediction", break_down)
    answer = http.get("/v1/predictions/x")
    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "secret insides" in caplog.text
    assert orjson.loads(answer.content)["detail"] == "this is a fault of ours"


def test_after_a_fault_of_ours_a_client_must_not_create_again_by_itself(
    http: httpx.Client, gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> None:
        raise RuntimeError("after it was recorded")

    monkeypatch.setattr("service.routes.predictions.represent_created", break_down)
    answer = http.post(CREATE, json={"input": {}})
    assert_problem(answer, 500, "internal_error")
    assert answer.headers["x-should-retry"] == "false"


def test_405_says_what_is_allowed(http: httpx.Client) -> None:
    allowed = {
        "/v1/predictions": {"GET", "POST"},
        "/v1/predictions/x": {"DELETE", "GET", "PUT"},
        "/v1/models": {"GET"},
        CREATE: {"POST"},
    }
    for url, methods in allowed.items():
        answer = http.patch(url)
        assert set(answer.headers["allow"].split(", ")) == methods
