"""The chart as Helm renders it: values in, Kubernetes objects out."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "soloist"
HELM = {4: ROOT / ".venv/helm4/helm", 3: ROOT / ".venv/helm3/helm"}
KUBERNETES = "1.35.0"

Object = dict[str, Any]
Values = Mapping[str, Any]


class Refusal(Exception):
    """Helm renders nothing. The message is what a person reads, without Helm's own frame around it."""


class Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key may stand once, as Kubernetes wants it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        assert not twice, f"twice in the map of line {node.start_mark.line + 1}: {twice}"
        return super().construct_mapping(node, deep)


@cache
def documents(text: str) -> list[Object]:
    """The objects of a stream, in its order. Not to be changed: everybody gets the same ones."""
    return [found for found in yaml.load_all(text, Strict) if found]


def render(
    values: Values,
    *,
    helm: int = 4,
    kube: str = KUBERNETES,
    release: str = "soloist",
    namespace: str = "team",
    chart: Path = CHART,
) -> list[Object]:
    """What `helm template` makes of these values.

    Raises:
        Refusal: a guard or the schema says no.
    """
    return documents(_run(helm, "template", dump(values), kube, release, namespace, chart))


def refusal(values: Values, helm: int = 4, **more: Any) -> str:
    """Why Helm renders nothing."""
    try:
        render(values, helm=helm, **more)
    except Refusal as refused:
        return str(refused)
    raise AssertionError("Helm has rendered this")


def install_notes(values: Values, helm: int = 4) -> str:
    """NOTES.txt as `helm install` prints it."""
    return _run(helm, "notes", dump(values)).split("\nNOTES:\n", 1)[1]


def lint(values: Values, helm: int = 4) -> str:
    """What `helm lint --strict` says.

    Raises:
        Refusal: it is not content.
    """
    return _run(helm, "lint", dump(values))


def dump(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


@cache
def _run(
    helm: int,
    what: str,
    values: str,
    kube: str = KUBERNETES,
    release: str = "soloist",
    namespace: str = "team",
    chart: Path = CHART,
) -> str:
    commands = {
        "template": ["template", release, chart, "--kube-version", kube],
        "notes": ["install", release, chart, "--dry-run=client"],
        "lint": ["lint", chart, "--strict", "--kube-version", kube],
    }
    command = [HELM[helm], *commands[what], "--namespace", namespace, "--values", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise Refusal(unframed(done.stdout * (what == "lint") + done.stderr))
    return done.stdout


@cache
def environment() -> dict[str, str]:
    """A home without plugins and without a cluster."""
    home = Path(tempfile.gettempdir()) / "no-helm"
    folders = {
        f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")
    }
    return {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home), **folders}


def unframed(error: str) -> str:
    """The sentence of a guard or of the schema, out of Helm's message.

    >>> unframed('Error: execution error at (soloist/templates/guards.yaml:3:5): no')
    'no'
    """
    text = " ".join(line for line in error.splitlines() if "walk.go" not in line)
    text = re.sub(r"^.*?execution error at \([^)]*\): ", "", text)
    return re.sub(r"\s*Use --debug flag to render out invalid YAML\s*$", "", text).strip()


def render_all(jobs: Iterable[tuple[Values, Mapping[str, Any]]]) -> None:
    """Render these in two threads, so that who asks for them later finds them made."""

    def quietly(job: tuple[Values, Mapping[str, Any]]) -> None:
        try:
            render(job[0], **job[1])
        except Refusal:
            """Who asks later gets the same answer; only then does it matter."""

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(quietly, jobs))


def copy_of_chart(folder: Path, **changes: str) -> Path:
    """The chart with other fields in its Chart.yaml."""
    copied = folder / CHART.name
    shutil.copytree(CHART, copied)
    described = yaml.safe_load((copied / "Chart.yaml").read_text(encoding="utf-8"))
    (copied / "Chart.yaml").write_text(yaml.safe_dump({**described, **changes}), encoding="utf-8")
    return copied
