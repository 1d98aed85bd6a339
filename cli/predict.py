"""`soloist predict`: inputs from arguments, a file or a pipe in; one line of JSON for each out, in order."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.client import GatewayClient, GatewayRefused, GatewayUnreachable
from cli.console import Failure, err, out, print_json
from cli.inputs import Input, gather_inputs
from cli.options import Url
from contract.prediction import TERMINAL
from contract.settings import load_settings
from local.run_file import gateway_url

Line = dict[str, Any]
RETRY_SECONDS = 60.0
"""How long a line is tried again while the gateway is away or answers with 5xx."""
WAIT_SECONDS = 30
POLL_SECONDS = (0.1, 2.0)


def predict(
    model: Annotated[str, typer.Argument(help="The model, as in local/minilm.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...", help="Texts or JSON objects; `-` reads lines from stdin."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A file of inputs, one a line: a JSON object or a text."),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", "-c", min=1, max=1000, help="Predictions under way at once."),
    ] = 32,
    priority: Annotated[str | None, typer.Option(help="high, normal or low.")] = None,
    deadline: Annotated[
        str | None, typer.Option(help="Cancel what is not over after this long, as in 90s or 5m.")
    ] = None,
    url: Url = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The whole line also for a single text.")
    ] = False,
) -> None:
    """Predict one input or many. Each line out is {"index", "id", "status", "output" or "error"}.

    Exits with 1 if any prediction did not succeed. A full queue is waited for.
    """
    settings = load_settings()
    inputs = gather_inputs(texts or [], file)
    lone = len(inputs) == 1 and bool(texts) and texts != ["-"] and not as_json
    asked = InputSet(model, inputs, priority, deadline)
    write = _print_output if lone else print_json
    failed = asyncio.run(_predict_all(gateway_url(settings, url), asked, concurrency, write))
    if failed:
        if not lone:
            err().print(f"{failed} of {len(inputs)} predictions did not succeed", markup=False)
        raise typer.Exit(1)


def _print_output(line: Line) -> None:
    """The output alone, for a single text."""
    if line["status"] != "succeeded":
        raise Failure(f"{line['status']}: {line['error']}")
    print_json(line["output"])


@dataclass(frozen=True, slots=True)
class InputSet:
    """The inputs of one command, and what their predictions have in common."""

    model: str
    inputs: list[Input]
    priority: str | None = None
    deadline: str | None = None


async def _predict_all(
    url: str, asked: InputSet, concurrency: int, write: Callable[[Line], None]
) -> int:
    """Predict all inputs, `concurrency` at a time, and write their lines in order; how many failed."""
    command = uuid.uuid4().hex
    waiting = iter(enumerate(asked.inputs))
    done: dict[int, Line] = {}
    written = failed = 0
    stderr = err()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        redirect_stdout=False,
        disable=len(asked.inputs) == 1 or not stderr.is_terminal or out().is_terminal,
    ) as progress:
        bar = progress.add_task(asked.model, total=len(asked.inputs))
        async with GatewayClient(url, concurrency) as gateway:

            async def submit_inputs() -> None:
                nonlocal written, failed
                for index, input in waiting:
                    line = await _predict(gateway, asked, input, key=f"{command}-{index}")
                    done[index] = {"index": index, **line}
                    failed += line["status"] != "succeeded"
                    progress.advance(bar)
                    while written in done:
                        write(done.pop(written))
                        written += 1

            try:
                async with asyncio.TaskGroup() as submitters:
                    for _ in range(min(concurrency, len(asked.inputs))):
                        submitters.create_task(submit_inputs())
            except* (Failure, BrokenPipeError) as errors:
                raise errors.exceptions[0] from None
    return failed


class Backoff:
    """Ever longer pauses between tries, and an end to them."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._pause = 0.1

    async def pause(self, failure: Failure, seconds: float | None = None) -> None:
        """Pause before the next try, or raise `failure` when it has gone on for too long."""
        now = time.monotonic()
        self._until = self._until or now + RETRY_SECONDS
        if now > self._until:
            raise failure
        await asyncio.sleep(self._pause if seconds is None else seconds)
        self._pause = min(2 * self._pause, 5.0)


async def _predict(gateway: GatewayClient, asked: InputSet, input: Input, key: str) -> Line:
    """See one prediction through to its end.

    Raises:
        Failure: going on is pointless for the other inputs too.
    """
    try:
        prediction = await _create(gateway, asked, input, key)
        pause = POLL_SECONDS[0]
        while prediction.get("status") not in TERMINAL:
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, POLL_SECONDS[1])
            prediction = await _get(gateway, str(prediction["id"]))
    except GatewayRefused as refusal:
        if refusal.code == "model_not_found" or refusal.status in (401, 403):
            raise
        return {
            "id": None,
            "status": "failed",
            "error": refusal.sentence,
            "error_code": refusal.code or f"http_{refusal.status}",
        }
    return result_line(prediction)


async def _create(
    gateway: GatewayClient, asked: InputSet, input: Input, key: str
) -> dict[str, Any]:
    """Submit until it is accepted or refused for good. The key keeps a second try from being a second one."""
    backoff = Backoff()
    first = True
    while True:
        try:
            return await gateway.create_prediction(
                asked.model,
                input,
                key=key,
                wait=WAIT_SECONDS,
                priority=asked.priority,
                deadline=asked.deadline,
            )
        except GatewayRefused as refusal:
            if found := await _recorded(gateway, refusal):
                return found
            pause = refusal.retry_after if refusal.retry_after is not None else 1.0
            if refusal.status == 429:  # the queue is full: that is no fault, however long it lasts
                await asyncio.sleep(pause * random.uniform(1.0, 1.2))  # noqa: S311
            elif refusal.status >= 500:
                await backoff.pause(refusal, pause)
            else:
                raise
        except GatewayUnreachable as away:
            if first and not gateway.reached:
                raise
            await backoff.pause(away)
        first = False


async def _recorded(gateway: GatewayClient, refusal: GatewayRefused) -> dict[str, Any] | None:
    """The prediction that a 504 names, if it is recorded. None also when the gateway cannot say, or was not asked."""
    if refusal.prediction is None:
        return None
    with suppress(GatewayUnreachable, GatewayRefused):
        return await gateway.get_prediction(refusal.prediction)
    return None


async def _get(gateway: GatewayClient, id: str) -> dict[str, Any]:
    """The prediction as it stands; asked for again while the gateway is away."""
    backoff = Backoff()
    while True:
        try:
            return await gateway.get_prediction(id)
        except GatewayUnreachable as away:
            await backoff.pause(away)
        except GatewayRefused as refusal:
            if refusal.status < 500 and refusal.status != 429:
                raise
            await backoff.pause(refusal, refusal.retry_after)


def result_line(prediction: dict[str, Any]) -> Line:
    """A prediction that is over, as one line of output."""
    line = {"id": prediction.get("id"), "status": prediction.get("status")}
    if prediction.get("status") == "succeeded":
        return {**line, "output": prediction.get("output")}
    error = prediction.get("error") or f"the prediction was {prediction.get('status')}"
    code = prediction.get("error_code")
    return {**line, "error": error, **({"error_code": code} if code else {})}
