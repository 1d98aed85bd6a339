"""The `soloist` command: its parts by name."""

import io
import sys
from collections.abc import Sequence

import typer

from cli import cancel, console, dead, models, plan, predict, processes, purge, status, up
from contract import __version__

app = typer.Typer(
    name="soloist",
    help="Transformer models as durable, autoscaled prediction APIs on your own GPUs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(predict.predict)
app.command()(status.status)
app.command()(cancel.cancel)
app.command()(purge.purge)
app.command()(models.models)
app.command()(plan.plan)
app.add_typer(dead.dead, name="dead")
for process in (processes.gateway, processes.keeper, processes.worker, processes.bench):
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,  # all arguments go to the process, which knows best what it takes
    )(process)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    if version:
        sys.stdout.write(f"soloist {__version__}\n")
        raise typer.Exit


def run_soloist(arguments: Sequence[str]) -> int:
    """Run one `soloist` command; its exit code."""
    return console.run_command(app, "soloist", arguments)


def main() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            errors = "strict" if stream is sys.stdin else "backslashreplace"
            stream.reconfigure(encoding="utf-8", errors=errors)
    sys.exit(run_soloist(sys.argv[1:]))


if __name__ == "__main__":
    main()
