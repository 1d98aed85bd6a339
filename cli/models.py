"""`soloist models`: what is served, or whether a catalog file is right."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.client import GatewayClient, public_id
from cli.console import escape_cell, out, print_json
from cli.options import Json, Url
from contract.catalog import load_catalog, source_folder
from contract.errors import CatalogInvalid
from contract.settings import load_settings
from local.run_file import gateway_url


def models(
    catalog: Annotated[
        Path | None, typer.Option(help="Check this catalog file instead of asking the gateway.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the models that are served, or check a catalog file."""
    rows = (
        catalog_rows(catalog)
        if catalog
        else asyncio.run(_served_rows(gateway_url(load_settings(), url)))
    )
    if as_json:
        print_json(rows)
        return
    table = Table("model", "task or class", "version", "description", box=None, header_style="bold")
    for row in rows:
        cells = (row["model"], row["what"], row["version"][:12], row["description"])
        table.add_row(*map(escape_cell, cells))
    out().print(table)


def catalog_rows(path: Path) -> list[dict[str, str]]:
    """The models of a catalog file, checked.

    Raises:
        CatalogInvalid: an entry is wrong, or names a package or folder that is not on this machine.
    """
    rows = []
    for name, spec in load_catalog(path).items():
        if spec.source:
            folder = source_folder(spec.source)
            if folder.startswith(("/", ".", "~")) and not Path(folder).is_dir():
                raise CatalogInvalid(f"{path}: models.{name}: the folder {folder} does not exist")
        rows.append(
            {
                "model": spec.id,
                "what": spec.task or spec.python or "",
                "version": spec.entry,
                "description": spec.description,
            }
        )
    return rows


async def _served_rows(url: str) -> list[dict[str, str]]:
    async with GatewayClient(url) as gateway:
        models = await gateway.list_models()
    return [
        {
            "model": public_id(model),
            "what": str(model.get("task") or ""),
            "version": str((model.get("latest_version") or {}).get("id") or ""),
            "description": str(model.get("description") or ""),
        }
        for model in models
    ]
