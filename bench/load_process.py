"""The load generator: a process that speaks raw HTTP/1.1 over kept connections, as cheaply as Python can.

It reads one JSON command a line and writes one JSON event a line (`python -m bench.load_process`, see LoadGenerator).
A closed loop has N callers, each of which sends when its last answer is there. An open loop sends at
random instants of a given rate, whatever is still unanswered, and counts latency from the instant at
which a request was due, so a slow stack cannot hide behind a generator that waits for it.
"""

import asyncio
import contextlib
import gc
import json
import random
import sys
import time
from array import array
from collections import deque
from itertools import cycle
from pathlib import Path
from threading import Thread
from time import perf_counter as now  # that of uvloop counts whole milliseconds
from typing import Any

import uvloop

from bench.caller import Caller
from bench.http import Response
from bench.target import Target

DRAIN_SECONDS = 60.0
MOST_CONNECTIONS = 1024
LONGEST_WARM_UP_SECONDS = 10.0
WAIT_AFTER_ERROR_SECONDS = 0.05


class LoadRun:
    """One measurement: warm up, measure for a while, let what is under way come back."""

    def __init__(self, target: Target, warm_seconds: float, seconds: float) -> None:
        self.target = target
        self.loop = asyncio.get_running_loop()
        self.messages = cycle([message.encode() for message in target.requests])
        self.warm_seconds = warm_seconds
        self.seconds = seconds
        self.callers: list[Caller] = []
        self.latencies = array("d")
        self.errors = 0
        self.last_error = ""
        self.stopping = False
        self.idle = asyncio.Event()
        self._cpu = 0.0
        self._began = self._ended = float("inf")

    async def connect(self) -> Caller:
        _, caller = await self.loop.create_connection(
            lambda: Caller(self.target, self.take_answer), "127.0.0.1", self.target.port
        )
        self.callers.append(caller)
        return caller

    def take_answer(self, caller: Caller, answer: Response | None) -> None:
        raise NotImplementedError

    def start_callers(self) -> None:
        raise NotImplementedError

    def count(self, caller: Caller, answer: Response | None) -> None:
        if answer is None:
            self.errors += 1
            self.last_error = caller.trouble
        else:
            self.latencies.append(now() - caller.due)

    def unanswered(self) -> int:
        return sum(caller.busy for caller in self.callers)

    def check_idle(self) -> None:
        if self.stopping and not self.unanswered():
            self.idle.set()

    async def run(self) -> dict[str, Any]:
        self.start_callers()
        await self.warm_up()
        self._open()
        await asyncio.sleep(self.seconds)
        self._close()
        self.check_idle()
        try:
            await asyncio.wait_for(self.idle.wait(), DRAIN_SECONDS)
        except TimeoutError:
            self.errors += self.unanswered()
            self.last_error = f"no answer within {DRAIN_SECONDS:g} s"
        for caller in self.callers:
            caller.close()
        return self.summary()

    async def warm_up(self) -> None:
        await asyncio.sleep(self.warm_seconds)

    def _open(self) -> None:
        write_event({"event": "begin"})
        self._began, self._cpu = now(), time.process_time()

    def _close(self) -> None:
        self._ended, self._cpu = now(), time.process_time() - self._cpu
        self.stopping = True
        write_event({"event": "end"})

    def summary(self) -> dict[str, Any]:
        elapsed = self._ended - self._began
        return {
            "predictions": len(self.latencies),
            "seconds": elapsed,
            "per_second": len(self.latencies) / elapsed,
            "latency_ms": {
                name: value * 1e3 for name, value in latency_summary(self.latencies).items()
            },
            "errors": self.errors,
            "last_error": self.last_error,
            "generator_busy": self._cpu / elapsed,
        }


class ClosedLoop(LoadRun):
    """N callers, each with one prediction under way.

    Answers come by the batch, so the rate is taken from the last answer before the measurement to the last
    one in it: between two ends of a batch, not between two instants within one.
    """

    async def connect_callers(self, callers: int) -> None:
        self.answered = 0
        self.last_before = self.last_within = 0.0
        self.warm = asyncio.Event()
        for _ in range(callers):
            await self.connect()

    def start_callers(self) -> None:
        for caller in self.callers:
            caller.send(next(self.messages), now())

    def take_answer(self, caller: Caller, answer: Response | None) -> None:
        at = now()
        self.answered += 1
        if self.answered >= len(self.callers):
            self.warm.set()
        if at < self._began:
            self.last_before = at
        elif not self.stopping:
            self.last_within = self.last_within if answer is None else at
            self.count(caller, answer)
        if self.stopping:
            self.check_idle()
        elif answer is not None:
            caller.send(next(self.messages), now())
        else:
            self.loop.call_later(WAIT_AFTER_ERROR_SECONDS, self._again, caller)

    async def warm_up(self) -> None:
        await super().warm_up()
        with contextlib.suppress(TimeoutError):  # the drain counts those without an answer
            await asyncio.wait_for(self.warm.wait(), LONGEST_WARM_UP_SECONDS)

    def summary(self) -> dict[str, Any]:
        result = super().summary()
        if self.latencies and self.last_before:
            result["per_second"] = len(self.latencies) / (self.last_within - self.last_before)
        return result

    def _again(self, caller: Caller) -> None:
        if not self.stopping and caller.connected:
            caller.send(next(self.messages), now())


class OpenLoop(LoadRun):
    """Predictions at random instants: a Poisson process of the given rate."""

    def __init__(
        self, target: Target, warm_seconds: float, seconds: float, rate: float, seed: int
    ) -> None:
        super().__init__(target, warm_seconds, seconds)
        self._gap = random.Random(seed).expovariate
        self._rate = rate
        self._free: list[Caller] = []
        self._waiting: deque[float] = deque()
        self._growing: set[asyncio.Task[None]] = set()
        self._clock = Thread(target=self._arrivals, daemon=True)

    async def connect_callers(self, callers: int) -> None:
        for _ in range(callers):
            self._free.append(await self.connect())

    def start_callers(self) -> None:
        self._clock.start()

    async def run(self) -> dict[str, Any]:
        result = await super().run()
        self._clock.join()
        return result

    def _arrivals(self) -> None:
        # A thread, because the timers of the event loop are whole milliseconds.
        due = now()
        while not self.stopping:
            due += self._gap(self._rate)
            time.sleep(max(due - now(), 0.0))
            self.loop.call_soon_threadsafe(self._start, due)

    def _start(self, due: float) -> None:
        if due >= self._ended:
            return
        while self._free:
            caller = self._free.pop()
            if caller.connected:
                caller.send(next(self.messages), due)
                return
            self.callers.remove(caller)
        self._waiting.append(due)
        if len(self.callers) + len(self._growing) < MOST_CONNECTIONS:
            task = self.loop.create_task(self._grow())
            self._growing.add(task)
            task.add_done_callback(self._growing.discard)

    async def _grow(self) -> None:
        try:
            self._release(await self.connect())
        except OSError as error:
            self.last_error = str(error)

    def _release(self, caller: Caller) -> None:
        self._free.append(caller)
        if self._waiting:
            self._start(self._waiting.popleft())

    def take_answer(self, caller: Caller, answer: Response | None) -> None:
        # It belongs to the measurement if it was due in it, whenever its answer comes.
        if self._began <= caller.due < self._ended:
            self.count(caller, answer)
        self._release(caller)
        self.check_idle()

    def unanswered(self) -> int:
        return super().unanswered() + len(self._waiting)


class SinglePass(LoadRun):
    """Every request once, from N callers; the answers are kept."""

    async def connect_callers(self, callers: int) -> None:
        self.answers: list[str | None] = [None] * len(self.target.requests)
        self._left = enumerate(self.target.requests)
        for _ in range(min(callers, len(self.target.requests))):
            await self.connect()

    def start_callers(self) -> None:
        for caller in self.callers:
            self._next(caller)
        self.stopping = True

    def _next(self, caller: Caller) -> None:
        number, message = next(self._left, (0, ""))
        if message:
            caller.send(message.encode(), now(), number)

    def take_answer(self, caller: Caller, answer: Response | None) -> None:
        if answer is None:
            self.last_error = caller.trouble
        else:
            self.answers[caller.number] = answer.body.decode()
        if caller.connected:
            self._next(caller)
        self.check_idle()

    def summary(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "errors": self.answers.count(None),
            "last_error": self.last_error,
        }


def latency_summary(values: "array[float] | list[float]") -> dict[str, float]:
    """Median, tail, largest and mean; empty if there is no value."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {
        "p50": ordered[round(last * 0.5)],
        "p90": ordered[round(last * 0.9)],
        "p99": ordered[round(last * 0.99)],
        "max": ordered[-1],
        "mean": sum(ordered) / len(ordered),
    }


def write_event(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


async def run_load(target: Target, command: dict[str, Any]) -> dict[str, Any]:
    """Do what one command says: `once`, `closed` or `open`."""
    gc.collect()
    times = command.get("warm_seconds", 0.0), command.get("seconds", 0.0)
    run: SinglePass | ClosedLoop | OpenLoop
    if command["do"] == "once":
        run = SinglePass(target, *times)
    elif command["do"] == "closed":
        run = ClosedLoop(target, *times)
    else:
        run = OpenLoop(target, *times, command["rate"], command["seed"])
    await run.connect_callers(command["callers"])
    return await run.run()


def main() -> None:
    gc.disable()  # a pause of the generator would be counted as one of the stack; runs are short
    target: Target | None = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "target":
            target = Target.from_json(command["target"])
            write_event({"event": "ready"})
            continue
        assert target, "the first command names the target"
        try:
            result = uvloop.run(run_load(target, command))
            if "answers" in result:
                # A file, because they are megabytes: on one machine a reader of a pipe was seen to
                # sleep on beside a writer that had finished.
                Path(command["answers"]).write_text(json.dumps(result.pop("answers")))
            write_event({"event": "result", **result})
        except OSError as error:
            write_event({"event": "failed", "error": str(error)})


if __name__ == "__main__":
    main()
