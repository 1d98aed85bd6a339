"""`soloist cancel`: ends predictions that wait or run."""

import asyncio
from typing import Annotated

import typer

from cli.client import GatewayClient
from cli.console import Failure, out, print_error, print_json
from cli.options import Json, Url
from contract.settings import load_settings
from local.run_file import gateway_url


def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Predictions to cancel.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Cancel predictions, waiting or running. One that is over already stays as it is."""
    failures = asyncio.run(_cancel_each(gateway_url(load_settings(), url), ids, as_json))
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(1)


async def _cancel_each(url: str, ids: list[str], as_json: bool) -> list[str]:
    """Cancel each; a sentence for each that could not be."""
    failures = []
    async with GatewayClient(url) as gateway:
        for id in ids:
            try:
                prediction = await gateway.cancel_prediction(id)
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
