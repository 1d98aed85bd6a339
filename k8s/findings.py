"""Findings: what a look at the cluster brought, in one line each with the way out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from rich.text import Text

from cli.console import out, print_json
from k8s.cluster import Unanswered

Level = Literal["ok", "warn", "error"]
STYLES = {"ok": "green", "warn": "yellow", "error": "bold red"}

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Finding:
    """`way_out` is what to do; a finding that is ok needs none."""

    level: Level
    subject: str
    sentence: str
    way_out: str = ""


Findings = Iterator[Finding]
Check = Callable[[A, B], Findings]
"""One question to the cluster, for a plan or a release."""


def ok(subject: str, sentence: str) -> Finding:
    return Finding("ok", subject, sentence)


def warn(subject: str, sentence: str, way_out: str) -> Finding:
    return Finding("warn", subject, sentence, way_out)


def error(subject: str, sentence: str, way_out: str) -> Finding:
    return Finding("error", subject, sentence, way_out)


def run_checks(checks: Iterable[Check[A, B]], cluster: A, what: B) -> Findings:
    """Every check's findings. One that the API server refuses becomes a warning that says why."""
    for check in checks:
        try:
            yield from check(cluster, what)
        except Unanswered as refused:
            yield warn(_subject(check), str(refused), refused.way_out)


def _subject(check: Check[A, B]) -> str:
    """`check_network_policy` -> "network policy"."""
    return check.__name__.removeprefix("check_").replace("_", " ")


def print_findings(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they come; how many are errors."""
    errors = 0
    console = out()
    for finding in findings:
        errors += finding.level == "error"
        if as_json:
            print_json(asdict(finding))
            continue
        line = Text(f"{finding.level:<5} ", STYLES[finding.level])
        line.append(f"{finding.subject}: ", "bold")
        line.append(" ".join(finding.sentence.split()))
        if finding.way_out:
            line.append(f"; {finding.way_out}")
        console.print(line)
    return errors
