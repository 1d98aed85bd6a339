"""`soloist status`: each model's state, queue and workers, or one prediction."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.client import GatewayClient, public_id
from cli.console import escape_cell, out, print_json, shorten
from cli.options import Json, Url
from contract.settings import load_settings
from local.run_file import gateway_url

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


def status(
    id: Annotated[str | None, typer.Argument(help="A prediction; without one, all models.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show each model's state, queue and workers, or one prediction as it stands."""
    address = gateway_url(load_settings(), url)
    if id:
        prediction = asyncio.run(_get_prediction(address, id))
        if as_json:
            print_json(prediction)
        else:
            _print_prediction(prediction)
        return
    models = asyncio.run(_list_models(address))
    if as_json:
        print_json([_model_state(model) for model in models])
    else:
        _print_models(models)


async def _get_prediction(url: str, id: str) -> dict[str, Any]:
    async with GatewayClient(url) as gateway:
        return await gateway.get_prediction(id)


async def _list_models(url: str) -> list[dict[str, Any]]:
    async with GatewayClient(url) as gateway:
        return await gateway.list_models()


def _model_state(model: dict[str, Any]) -> dict[str, Any]:
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


def _print_models(models: list[dict[str, Any]]) -> None:
    table = Table("model", "state", box=None, pad_edge=False, header_style="bold")
    for heading in ("queued", "running", "oldest"):
        table.add_column(heading, justify="right")
    table.add_column("workers")
    for model in models:
        state = _model_state(model)
        oldest = f"{state['oldest_seconds']:.1f} s" if state["queued"] else "-"
        counts = (str(state[name]) for name in ("queued", "running"))
        lines = [*map(_worker_line, state["workers"]), *_failure_lines(state["failure"])]
        workers = "\n".join(map(escape_cell, lines)) or "-"
        table.add_row(public_id(model), state["state"] or "-", *counts, oldest, workers)
    out().print(table)


def _worker_line(worker: dict[str, Any]) -> str:
    """One worker in a line: name, device, what it does."""
    device = worker.get("gpu_name") or worker.get("device") or ""
    doing = worker.get("phase") or worker.get("state") or ""
    return " ".join(filter(None, (str(worker.get("name", "?")), str(device), str(doing))))


def _failure_lines(failure: dict[str, Any] | None) -> list[str]:
    """Why the last worker could not start, if one could not."""
    if not failure:
        return []
    return [f"could not start {failure.get('seconds') or 0:.0f} s ago: {failure.get('detail')}"]


def _print_prediction(prediction: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    for name in SHOWN:
        value = prediction.get(name)
        if value is not None:
            text = value if isinstance(value, str) and name != "output" else shorten(value, 500)
            table.add_row(f"[bold]{name}[/bold]", escape_cell(text))
    out().print(table)
