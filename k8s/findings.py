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
Look = Callable[[A, B], Findings]
"""One look at the cluster, for a plan or a release."""


def ok(subject: str, sentence: str) -> Finding:
    return Finding("ok", subject, sentence)


def warn(subject: str, sentence: str, way_out: str) -> Finding:
    return Finding("warn", subject, sentence, way_out)


def error(subject: str, sentence: str, way_out: str) -> Finding:
    return Finding("error", subject, sentence, way_out)


def all_of(looks: Iterable[Look[A, B]], cluster: A, what: B) -> Findings:
    """Every look's findings. One that the API server refuses becomes a warning that says why."""
    for look in looks:
        try:
            yield from look(cluster, what)
        except Unanswered as refused:
            yield warn(look.__name__.replace("_", " "), str(refused), refused.way_out)


def show(findings: Iterable[Finding], *, as_json: bool) -> int:
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
