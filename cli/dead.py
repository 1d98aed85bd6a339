"""`soloist dead`: predictions whose every worker was lost, and how to run one again."""

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from cli.console import Failure, escape_cell, out, print_error, print_json
from cli.options import Json
from contract.catalog import Catalog
from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.transitions import NoRoom, Transition, read_predictions, replay
from contract.ledger.transitions import read_dead_list as dead_list
from contract.prediction import Prediction, new_id
from local.run_file import open_ledger

if TYPE_CHECKING:
    from contract.broker import Notifier

OTHER_COLUMNS = 72
"""The width of the columns beside the id."""

T = TypeVar("T")

dead = typer.Typer(no_args_is_help=True, help="Predictions whose every worker was lost.")


@dead.command("list")
def list_dead(
    model: Annotated[str | None, typer.Argument(help="One model; without one, all.")] = None,
    as_json: Json = False,
) -> None:
    """List the dead predictions, newest first."""
    with open_ledger() as (_, catalog, ledger):
        names = (
            [catalog.find(model if "/" in model else f"local/{model}").name] if model else catalog
        )
        rows = [
            _row(catalog[name].id, prediction)
            for name in names
            for prediction in ledger.run(dead_list(name))
        ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        out().print("no dead predictions")
        return
    table = Table("id", "model", "attempts", "failed at", "error", box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(escape_cell, row.values()))
    # An id is there to be copied: the terminal may break a line, and nothing is cut.
    table.columns[0].no_wrap = True
    console = out()
    console.width = max(console.width, OTHER_COLUMNS + max(len(str(row["id"])) for row in rows))
    console.print(table)


@dead.command("replay")
def replay_dead(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Dead predictions.")],
    as_json: Json = False,
) -> None:
    """Give dead predictions another life, each as a new prediction; prints the new ids."""
    from contract.broker import Notifier  # imports Celery, which no other command needs

    failed = False
    with (
        open_ledger() as (settings, catalog, ledger),
        contextlib.closing(Notifier(settings)) as notifier,
    ):
        for id in ids:
            try:
                fresh = _replay_one(catalog, ledger, notifier, id)
            except Failure as failure:
                print_error(failure.sentence)
                failed = True
                continue
            if as_json:
                print_json({"id": fresh.id, "replay_of": id, "status": fresh.status.value})
            else:
                out().print(f"{fresh.id} replays {id}", markup=False)
        notifier.open_queues([]).result()  # closing drops what still waits to be sent
    if failed:
        raise typer.Exit(1)


def _replay_one(catalog: Catalog, ledger: Ledger, notifier: "Notifier", id: str) -> Prediction:
    """The new prediction.

    Raises:
        Failure: it is not on the dead list, its model is not in the catalog, there is no room for it, or
            the ledger's answer is lost.
    """
    (view,) = ledger.run(read_predictions([(id, -1)]))
    if view is None:
        raise Failure(f"there is no prediction {id}")
    spec = catalog.get(view.prediction.model)
    if spec is None:
        raise Failure(f"{id}: its model {view.prediction.model!r} is not in the catalog")
    reserve = ledger.settings.ledger_reserve_bytes
    again = replay(id, fresh_id := new_id(), spec.max_batch_size, reserve_bytes=reserve)
    answer = _run_twice(
        ledger, again, f"{id}: the ledger did not say whether {fresh_id} replays it"
    )
    if isinstance(answer, NoRoom):
        raise Failure(f"{id}: the memory that the ledger has left is for what was accepted already")
    if answer is None:
        raise Failure(f"{id} is not on the dead list; its status is {view.prediction.status}")
    fresh, wakeups = answer
    notifier.send_wakeups(fresh.model, wakeups)  # if this fails, the keeper sends them later
    return fresh


def _run_twice(ledger: Ledger, transition: Transition[T], unknown: str) -> T:
    """Run a transition that may be sent twice, and send it again if its answer is lost.

    Raises:
        Failure: the second answer is lost too; `unknown` is the sentence for that.
    """
    for _ in range(2):
        try:
            return ledger.run(transition)
        except LedgerUnavailable as error:
            if not error.sent:
                raise
    raise Failure(unknown)


def _row(public_id: str, prediction: Prediction) -> dict[str, str | int]:
    failed_at = datetime.fromtimestamp(prediction.completed_at or prediction.created_at, UTC)
    return {
        "id": prediction.id,
        "model": public_id,
        "attempts": prediction.attempt,
        "failed_at": failed_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "error": prediction.error or "",
    }
