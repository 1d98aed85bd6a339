"""`python -m k8s`: check and smoke."""

import sys
from collections.abc import Sequence

OURS = ("cli", "contract", "k8s")

try:
    import typer

    from cli import console
    from k8s.check import check
    from k8s.smoke import smoke
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] in OURS:
        raise
    # A fresh clone, and a Python of the machine's: the way out is worth more than a traceback.
    sys.stderr.write(
        f"soloist: python -m k8s needs the package {missing.name}, which {sys.executable} has not: call it as "
        ".venv/bin/python -m k8s after `make run`, or after: python3 -m venv .venv && "
        ".venv/bin/pip install '.[gateway,cli]'\n"
    )
    sys.exit(2)

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
    """Run one command; its exit code: 0, 1 (something is wrong), 2 (wrong usage, no cluster), 78 (a catalog that cannot be read), 130 (Ctrl-C)."""
    return console.run_command(app, "python -m k8s", arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
