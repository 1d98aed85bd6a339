"""Mutants: copies of the product with one fault each, which the verdict must find by name."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.processes import PROJECT

PACKAGES = ("contract", "service", "worker")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: these texts of the product's source in place of those."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    """(file, text, other text); each text stands exactly once in its file."""

    def build(self, folder: Path) -> Path:
        """A copy of the product with this fault.

        Raises:
            LookupError: a text is not there any more, or more than once: write the fault anew.
        """
        for package in PACKAGES:
            shutil.copytree(
                PROJECT / package,
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        for file, text, other in self.changes:
            path = folder / file
            source = path.read_text(encoding="utf-8")
            if (times := source.count(text)) != 1:
                raise LookupError(f"{self.name}: {file} has {times} times {text!r}")
            path.write_text(source.replace(text, other), encoding="utf-8")
        return folder


UNFENCED_FINISH = Mutant(
    "a finish that is not fenced",
    (
        (
            "contract/ledger/scripts/finish.lua",
            "if (status == 'processing' or status == 'starting') and tonumber(attempt) == p.attempt then",
            "if status then",
        ),
    ),
)
LATE_CREATE = Mutant(
    "a create that ignores not_after",
    (
        (
            "contract/ledger/scripts/create.lua",
            "if p.not_after and now > p.not_after then",
            "if false then",
        ),
    ),
)
EARLY_ANSWER = Mutant(
    "a 201 before the record",
    (
        (
            "service/gateway/recorder.py",
            "            result = await self._creates.submit_item(new, started + ANSWER_SECONDS)\n",
            "            asyncio.ensure_future(self._creates.submit_item(new, started + ANSWER_SECONDS))\n"
            "            return Created(new.prediction)\n",
        ),
    ),
)
LOST_WAKE_UP = Mutant(
    "a lost message that nobody sends again",
    (
        (
            "service/keeper/sweeper.py",
            "            self._notifier.send_wakeups(model, seen.wakeups)\n",
            "",
        ),
    ),
)
BARE_ERROR = Mutant(
    "a 500 where the ledger is away",
    (("service/http/problems.py", "    errors.LedgerUnavailable: 503,\n", ""),),
)
FORGOTTEN_KEY = Mutant(
    "an Idempotency-Key that is not looked for",
    (
        (
            "contract/ledger/scripts/create.lua",
            "  if p.idempotency_key then\n    id = redis.call('HGET'",
            "  if false then\n    id = redis.call('HGET'",
        ),
    ),
)

ALL = (UNFENCED_FINISH, LATE_CREATE, EARLY_ANSWER, LOST_WAKE_UP, BARE_ERROR, FORGOTTEN_KEY)
