"""`soloist purge`: removes the data of predictions that are over, or cancels those that are not, in bulk."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.console import Failure, err, out, print_json
from cli.options import Json
from contract.catalog import Catalog
from contract.errors import ModelNotFound
from contract.ledger.client import Ledger
from contract.ledger.transitions import cancel as cancel_one
from contract.ledger.transitions import erase, list_page
from contract.prediction import Prediction, Status
from local.run_file import open_ledger

OWNER = "local"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGE = re.compile(r"(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which predictions are purged."""

    model: str | None
    statuses: frozenset[Status]
    older_than_seconds: float

    def selects(self, prediction: Prediction, now: float) -> bool:
        """Whether this one is purged; `now` is the ledger's clock."""
        return (
            prediction.status in self.statuses
            and not prediction.data_removed
            and now - prediction.created_at >= self.older_than_seconds
        )


def purge(
    model: Annotated[str | None, typer.Option(help="Of one model: owner/name.")] = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="With this status; may be given again.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Accepted so long ago: 90s, 30m, 12h, 7d.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Needed where no filter is given.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel those that wait or run, in place of removing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove input, output and logs of predictions that are over, for good. With --cancel, cancel predictions
    that are not.
    """
    if not (model or status or older_than or every):
        raise Failure("purge needs a filter (--model, --status, --older-than), or --all", 2)
    statuses = frozenset(status or (each for each in Status if each.terminal is not cancel))
    wrong = sorted(each for each in statuses if each.terminal is cancel)
    if wrong:
        way_out = "without --cancel" if cancel else "with --cancel"
        raise Failure(f"--status {wrong[0]}: such a prediction is for purge {way_out}", 2)
    with open_ledger() as (_, catalog, ledger):
        name = ledger_name(model, catalog) if model else None
        selection = Selection(name, statuses, parse_age(older_than) if older_than else 0.0)
        found = [prediction.id for prediction in find_selected(ledger, selection)]
        what = "canceled" if cancel else "removed"
        if dry_run or not found or not (yes or confirm(len(found), cancel)):
            print_counts({"found": len(found), what: 0}, as_json)
            return
        done = sum(purge_one(ledger, id, cancel) for id in found)
    print_counts({"found": len(found), what: done}, as_json)


def ledger_name(model: str, catalog: Catalog) -> str:
    """The model's name in the ledger. A model that left the catalog can only be named by that."""
    try:
        return catalog.find(model if "/" in model else f"local/{model}").name
    except ModelNotFound:
        return model.removeprefix("local/")


def parse_age(age: str) -> float:
    """An age like `7d` in seconds.

    Raises:
        Failure: it is none.
    """
    found = AGE.fullmatch(age.strip())
    if not found:
        raise Failure(f"--older-than {age!r} is no age; say it like 90s, 30m, 12h or 7d", 2)
    return float(found[1]) * SECONDS[found[2]]


def find_selected(ledger: Ledger, selection: Selection) -> Iterator[Prediction]:
    """The selected predictions, newest first, without its data."""
    before = None
    while True:
        page = ledger.run(list_page(OWNER, before=before, model=selection.model, brief=True))
        yield from (one for one in page.predictions if selection.selects(one, page.now))
        if not page.more or page.last is None:
            return
        before = page.last


def purge_one(ledger: Ledger, id: str, cancel: bool) -> bool:
    """Cancel one, or remove its data; False if it was gone, or over, or not over, in the meantime."""
    if cancel:
        prediction = ledger.run(cancel_one(id, OWNER))
        return prediction is not None and prediction.status is Status.CANCELED
    prediction = ledger.run(erase(id, OWNER))
    return prediction is not None and prediction.data_removed


def confirm(count: int, cancel: bool) -> bool:
    """Ask the person at the terminal.

    Raises:
        Failure: nobody answers.
    """
    what = "Cancel" if cancel else "Remove input, output and logs of"
    try:
        return typer.confirm(f"{what} {count} prediction{'s' * (count > 1)}?", err=True)
    except typer.Abort:
        err().print()
        raise Failure("nobody answered; --yes answers in advance") from None


def print_counts(counts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        out().print(", ".join(f"{number} {what}" for what, number in counts.items()))
