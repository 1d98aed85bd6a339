"""The `soloist` command: its parts by name, and how each failure becomes one sentence and an exit code."""

import io
import os
import sys
from collections.abc import Sequence

import typer

from cli import capacity, dead, models, predict, predictions, processes, up
from cli.console import Failure, complain
from contract import __version__
from contract.errors import EXIT_REFUSED, SoloistError, StartRefused

app = typer.Typer(
    name="soloist",
    help="Transformer models as durable, autoscaled prediction APIs on your own GPUs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(predict.predict)
app.command()(predictions.status)
app.command()(predictions.cancel)
app.command()(models.models)
app.command()(capacity.plan)
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


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code: 0, 1 (it failed), 2 (wrong usage), 78 (must not start), 130 (Ctrl-C)."""
    try:
        result = typer.main.get_command(app).main(
            list(arguments), prog_name="soloist", standalone_mode=False
        )
    except Failure as failure:
        complain(failure.sentence)
        return failure.exit_code
    except SoloistError as error:
        complain(error.detail)
        return EXIT_REFUSED if isinstance(error, StartRefused) else 1
    except typer.TyperException as error:
        if error.format_message():
            complain(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads on: fall silent
        return 1
    return result if isinstance(result, int) else 0


def main() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            errors = "strict" if stream is sys.stdin else "backslashreplace"
            stream.reconfigure(encoding="utf-8", errors=errors)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
