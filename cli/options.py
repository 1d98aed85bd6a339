"""Options that several commands take."""

from typing import Annotated

import typer

Url = Annotated[
    str | None, typer.Option("--url", help="The gateway; found by itself on this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for scripts.")]
