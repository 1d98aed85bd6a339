"""The clients of a storm: they ask, repeat, cancel, listen and write all of it into the history."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self

import httpx

from tests.storm.history import TERMINAL, History, Intent, Request, StreamReading
from tests.storm.sse import events

ANSWER_SECONDS = 3.0
"""Every request but a waiting one is answered in this time."""
GIVE_UP_SECONDS = 8.0
"""How long a client waits for an answer that should have come after ANSWER_SECONDS."""
SILENT_SECONDS = 20.0
"""How long a stream may say nothing: longer than the pause between two signs of life."""
REPEATS = 6
MOST_AT_ONCE = 64
POLL_SECONDS = 0.5
MOST_POLLS = 120
KINDS = {"echo": 60, "stream": 18, "refuse": 8, "raise": 6, "fragile": 1, "poison": 1}
MOST_DEADLY = 3
"""Predictions of a storm that kill their worker: each costs as many starts of a process."""


class Clients:
    """Many clients in one thread, `rate` intents a second, spread over the gateways.

    `seed` decides what they want, one after the other. What they do next depends on the answers.
    """

    def __init__(self, gateways: dict[str, int], seed: int, rate: float, models: list[str]) -> None:
        """`gateways` are the ports by name that clients use."""
        self.history = History()
        self._gateways = gateways
        self._wants = random.Random(f"wants {seed}")
        self._acts = random.Random(f"acts {seed}")
        self._rate = rate
        self._models = models
        self._versions: dict[str, str] = {}
        self._deadly = 0
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self.lags: list[tuple[float, float]] = []
        """When this thread was kept from running, and for how long: the machine's own share."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def start_asking(self) -> None:
        """Begin to ask; nothing is broken yet."""
        self._do(self._learn_versions())
        self._asking = True
        self._do(self._spawn(self._ask_on()))

    def stop_asking(self) -> None:
        """Ask for nothing new."""
        self._asking = False

    @property
    def busy(self) -> int:
        """Clients that still wait for something."""
        return len(self._tasks)

    def create(self, intent: Intent, gateway: str) -> Request:
        """Ask for a prediction, and return when it is answered."""
        self.history.intents[intent.n] = intent
        return self._do(self._create(intent, gateway))

    def get(self, id: str, gateway: str, wait: float = 0.0) -> Request:
        """Look at a prediction."""
        return self._do(self._get(id, gateway, "get", wait))

    def cancel(self, id: str, gateway: str) -> Request:
        """Cancel a prediction."""
        return self._do(self._cancel(id, gateway))

    def read_at_end(self, id: str, gateway: str) -> Request:
        """Look at a prediction once more, when all should be over; again where no answer comes."""
        for _ in range(5):
            request: Request = self._do(self._get(id, gateway, "final"))
            if request.status in (200, 404):
                break
        return request

    def intent(self, model: str | None = None, **more: Any) -> Intent:
        """A plain intent with a number of its own, written into the history."""
        self._next += 1
        input = {"n": self._next, "do": "echo", "seconds": 0.0} | more.pop("input", {})
        intent = Intent(self._next, model or self._models[0], input, **more)
        self.history.intents[intent.n] = intent
        return intent

    # What they do.

    async def _learn_versions(self) -> None:
        for model in self._models:
            answer = await self._http[self._any()].get(f"/v1/models/local/{model}")
            self._versions[model] = f"local/{model}:{answer.json()['latest_version']['id']}"

    async def _ask_on(self) -> None:
        while self._asking:
            await asyncio.sleep(self._wants.expovariate(self._rate))
            if len(self._tasks) < MOST_AT_ONCE and self._asking:
                await self._spawn(self._live(self._fancy()))

    def _fancy(self) -> Intent:
        """A intent of the kind that comes next."""
        draw = self._wants
        do = draw.choices(list(KINDS), list(KINDS.values()))[0]
        if do in ("fragile", "poison"):
            self._deadly += 1
            do = do if self._deadly <= MOST_DEADLY else "echo"
        seconds = draw.choice((0.0, 0.0, 0.02, 0.1, 0.4)) if do == "echo" else draw.uniform(0, 0.6)
        deadly = do in ("fragile", "poison")
        intent = self.intent(
            self._models[-1] if deadly else draw.choice(self._models + self._models[-1:]),
            input={"do": do, "seconds": round(seconds, 3), "salt": draw.randrange(10**9)},
        )
        match draw.choices(("plain", "key", "put"), (45, 35, 20))[0]:
            case "key":
                intent.key = f"key-{intent.n}-{draw.randrange(10**6)}"
            case "put":
                intent.put_id = f"mine-{intent.n}-{draw.randrange(10**6)}"
        intent.wait = draw.choice((0.0, 0.0, 0.0, 3.0))
        intent.deadline = draw.choice((None,) * 7 + (draw.uniform(2, 12),))
        intent.priority = draw.choice((None, None, None, "high", "low"))
        intent.version = draw.choice((None, None, self._versions[intent.model]))
        intent.then = draw.choices(("poll", "cancel", "repeat", "list", ""), (35, 10, 15, 5, 35))[0]
        if do == "stream" and draw.random() < 0.7:
            intent.then = "stream"
        return intent

    async def _live(self, intent: Intent) -> None:
        """One client: asks until it is accepted, as far as it may, and then does what it likes."""
        request = await self._create(intent, self._any())
        for number in range(REPEATS):
            if request.accepted or not await self._may_repeat(intent, request):
                break
            await asyncio.sleep(min(0.3 * 2**number, 3.0))
            request = await self._create(intent, self._any())
        if request.id is None or request.status not in (200, 201, 504):
            return
        match intent.then:
            case "poll":
                await self._poll(request.id)
            case "cancel":
                await asyncio.sleep(self._acts.uniform(0, 0.5))
                intent.canceled = True
                await self._cancel(request.id, self._any())
            case "stream" if request.accepted:
                await self._read_whole_stream(intent, request.id)
            case "repeat" if intent.repeatable:
                await asyncio.sleep(self._acts.uniform(0, 2))
                await self._create(intent, self._any())
            case "list":
                await self._list()

    async def _may_repeat(self, intent: Intent, request: Request) -> bool:
        """Whether to send it again makes no second prediction: nothing was recorded, or it has a name."""
        if request.refused or (intent.repeatable and request.status in (None, 504)):
            return True
        if request.status == 504 and request.id:
            # What GET answers now is final: with 404 it is not recorded, and never will be.
            return (await self._get(request.id, self._any(), "get")).status == 404
        return False

    async def _create(self, intent: Intent, gateway: str) -> Request:
        body: dict[str, Any] = {"input": intent.input}
        headers = {}
        if intent.priority:
            body["priority"] = intent.priority
        if intent.key:
            headers["idempotency-key"] = intent.key
        if intent.deadline:
            headers["cancel-after"] = f"{intent.deadline:.3f}s"
        if intent.wait:
            headers["prefer"] = f"wait={intent.wait:g}"
        method, path = "POST", f"/v1/models/local/{intent.model}/predictions"
        if intent.put_id:
            method, path = "PUT", f"/v1/predictions/{intent.put_id}"
            body["version"] = f"local/{intent.model}"
        if intent.version:
            path = path if intent.put_id else "/v1/predictions"
            body["version"] = intent.version
        request = Request("create", gateway, time.monotonic(), n=intent.n, wait=intent.wait)
        await self._send(request, method, path, json=body, headers=headers)
        return request

    async def _poll(self, id: str) -> None:
        for _ in range(MOST_POLLS):
            request = await self._get(id, self._any(), "get")
            seen = self.history.observations[-1] if request.status == 200 else None
            if seen is not None and seen.status in TERMINAL:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _cancel(self, id: str, gateway: str) -> Request:
        request = Request("cancel", gateway, time.monotonic(), id=id)
        await self._send(request, "POST", f"/v1/predictions/{id}/cancel")
        return request

    async def _get(self, id: str, gateway: str, kind: str, wait: float = 0.0) -> Request:
        request = Request(kind, gateway, time.monotonic(), id=id, wait=wait)
        headers = {"prefer": f"wait={wait:g}"} if wait else {}
        await self._send(request, "GET", f"/v1/predictions/{id}", headers=headers)
        return request

    async def _list(self) -> None:
        await self._send(
            Request("list", self._any(), time.monotonic()), "GET", "/v1/predictions", many=True
        )

    async def _send(
        self, request: Request, method: str, path: str, *, many: bool = False, **more: Any
    ) -> None:
        """Send it, and write down what came."""
        self.history.requests.append(request)
        timeout = request.wait + GIVE_UP_SECONDS
        try:
            answer = await self._http[request.gateway].request(
                method, path, timeout=timeout, **more
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            request.trouble = f"{type(error).__name__}: {error}"
            if isinstance(error, httpx.TimeoutException):
                request.answered = time.monotonic()
            return
        request.answered, request.status = time.monotonic(), answer.status_code
        try:
            body = answer.json()
        except ValueError:
            request.trouble = f"no JSON: {answer.text[:200]!r}"
            return
        if answer.status_code >= 400:
            self._note_problem(request, answer, body)
            return
        shown = body["results"] if many else [body]
        if not many:
            request.id = body["id"]
        for one in shown:
            self.history.note_observation(request.asked, request.answered, one, request.kind)

    def _note_problem(self, request: Request, answer: httpx.Response, body: Any) -> None:
        if answer.headers.get("content-type") != "application/problem+json":
            request.trouble = f"no problem document: {answer.text[:200]!r}"
            return
        request.code = body.get("code")
        if answer.status_code in (429, 503, 504) and "retry-after" not in answer.headers:
            request.trouble = "no Retry-After"
        if answer.status_code == 504:
            request.id = body.get("prediction")
            if request.kind == "create" and "location" not in answer.headers:
                request.trouble = "an unknown outcome without a Location"
            if not request.id:
                request.trouble = "an unknown outcome without an id"

    async def _read_whole_stream(self, intent: Intent, id: str) -> None:
        """Read a stream to its end, with Last-Event-ID after each break."""
        reading = StreamReading(id, intent.n)
        self.history.stream_readings.append(reading)
        last = ""
        for _ in range(MOST_POLLS):
            reading.connections += 1
            request = Request("stream", self._any(), time.monotonic(), id=id)
            self.history.requests.append(request)
            with contextlib.suppress(httpx.HTTPError):
                last = await self._read_stream(request, reading, last)
            if reading.done:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _read_stream(self, request: Request, reading: StreamReading, last: str) -> str:
        """Listen on one connection; the id of the last event."""
        async with self._http[request.gateway].stream(
            "GET",
            f"/v1/predictions/{reading.id}/stream",
            headers={"last-event-id": last} if last else {},
            timeout=httpx.Timeout(GIVE_UP_SECONDS, read=SILENT_SECONDS),
        ) as answer:
            request.answered, request.status = time.monotonic(), answer.status_code
            if answer.status_code != 200:
                await answer.aread()
                self._note_problem(request, answer, answer.json())
                return last
            with contextlib.suppress(httpx.HTTPError):
                async for name, number, data in events(answer):
                    last = number or last
                    reading.note_event(name, data)
        return last

    def _any(self) -> str:
        return self._acts.choice(list(self._gateways))

    # How they run.

    async def _open(self) -> None:
        self._http = {
            name: httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
            for name, port in self._gateways.items()
        }
        self._lag_task = asyncio.create_task(self._measure_lag())

    async def _measure_lag(self) -> None:
        """Notice when this thread does not run in time."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            late = time.monotonic() - before - 0.05
            if late > 0.05:
                self.lags.append((before + 0.05, late))

    async def _close(self) -> None:
        self._asking = False
        rest = [*self._tasks, self._lag_task]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for http in self._http.values():
            await http.aclose()

    async def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)
