"""`soloist status` and `soloist cancel`: what is under way, and how to stop it."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.client import Gateway
from cli.console import Failure, complain, out, plain, print_json, shorten
from contract.settings import load_settings
from local.run_file import gateway_url

Url = Annotated[
    str | None, typer.Option("--url", help="The gateway; found by itself on this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for scripts.")]


def status(
    id: Annotated[str | None, typer.Argument(help="A prediction; without one, all models.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show each model's state, queue and workers, or one prediction as it stands."""
    address = gateway_url(load_settings(), url)
    if id:
        prediction = asyncio.run(_prediction(address, id))
        if as_json:
            print_json(prediction)
        else:
            _show(prediction)
        return
    found = asyncio.run(models_of(address))
    if as_json:
        print_json([_state(model) for model in found])
        return
    table = Table("model", "state", box=None, pad_edge=False, header_style="bold")
    for heading in ("queued", "running", "oldest"):
        table.add_column(heading, justify="right")
    table.add_column("workers")
    for model in found:
        state = _state(model)
        oldest = f"{state['oldest_seconds']:.1f} s" if state["queued"] else "-"
        counts = (str(state[name]) for name in ("queued", "running"))
        lines = [*map(_worker, state["workers"]), *_failure(state["failure"])]
        workers = "\n".join(map(plain, lines)) or "-"
        table.add_row(public_id(model), state["state"] or "-", *counts, oldest, workers)
    out().print(table)


def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Predictions to cancel.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Cancel predictions, waiting or running. One that is over already stays as it is."""
    failures = asyncio.run(_cancel(gateway_url(load_settings(), url), ids, as_json))
    for failure in failures:
        complain(failure)
    if failures:
        raise typer.Exit(1)


async def _prediction(url: str, id: str) -> dict[str, Any]:
    async with Gateway(url) as gateway:
        return await gateway.prediction(id)


async def models_of(url: str) -> list[dict[str, Any]]:
    async with Gateway(url) as gateway:
        return await gateway.models()


async def _cancel(url: str, ids: list[str], as_json: bool) -> list[str]:
    """Cancel each; the sentences about those that could not be."""
    failures = []
    async with Gateway(url) as gateway:
        for id in ids:
            try:
                prediction = await gateway.cancel(id)
            except Failure as failure:
                if not gateway.reached:
                    raise
                failures.append(f"{id}: {failure.sentence}")
                continue
            if as_json:
                print_json(prediction)
            else:
                out().print(f"{id} {prediction.get('status')}", markup=False)
    return failures


def public_id(model: dict[str, Any]) -> str:
    return f"{model.get('owner', 'local')}/{model.get('name', '?')}"


def _state(model: dict[str, Any]) -> dict[str, Any]:
    """What a gateway of any version says of a model's state."""
    known = model.get("queue") or {}
    names = ("queued", "running", "busy", "oldest_seconds")
    return {
        "model": public_id(model),
        "state": model.get("state"),
        **{name: known.get(name) or 0 for name in names},
        "eta_seconds": known.get("eta_seconds"),
        "failure": model.get("failure"),
        "workers": model.get("workers") or [],
    }


def _failure(failure: dict[str, Any] | None) -> list[str]:
    """Why the last worker could not start, if one could not."""
    if not failure:
        return []
    return [f"could not start {failure.get('seconds') or 0:.0f} s ago: {failure.get('detail')}"]


def _worker(worker: dict[str, Any]) -> str:
    """One worker in a line: name, device, what it does."""
    device = worker.get("gpu_name") or worker.get("device") or ""
    doing = worker.get("phase") or worker.get("state") or ""
    return " ".join(filter(None, (str(worker.get("name", "?")), str(device), str(doing))))


SHOWN = (
    "model",
    "status",
    "queue_position",
    "eta_seconds",
    "progress",
    "attempt",
    "priority",
    "created_at",
    "started_at",
    "completed_at",
    "deadline",
    "error_code",
    "error",
    "output",
)


def _show(prediction: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    for name in SHOWN:
        value = prediction.get(name)
        if value is not None:
            text = value if isinstance(value, str) and name != "output" else shorten(value, 500)
            table.add_row(f"[bold]{name}[/bold]", plain(text))
    out().print(table)
