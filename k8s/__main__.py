"""`python -m k8s`: check and smoke, and how each failure becomes one sentence and an exit code."""

import sys
from collections.abc import Sequence

import typer

from cli.console import Failure, complain
from contract.errors import SoloistError
from k8s.check import check
from k8s.smoke import smoke

app = typer.Typer(
    name="k8s",
    help="Look at Soloist on Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check)
app.command()(smoke)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code: 0, 1 (something is wrong), 2 (wrong usage, no cluster), 130 (Ctrl-C)."""
    try:
        result = typer.main.get_command(app).main(
            list(arguments), prog_name="python -m k8s", standalone_mode=False
        )
    except Failure as failure:
        complain(failure.sentence)
        return failure.exit_code
    except SoloistError as error:
        complain(error.detail)
        return 1
    except typer.TyperException as error:
        if error.format_message():
            complain(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
