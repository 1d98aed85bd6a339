"""The chart as Helm renders it: values in, Kubernetes objects out. The same is rendered once (`renders.py`)."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.charts.renders import digest, stored

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "soloist"
HELM = {4: ROOT / ".venv/helm4/helm", 3: ROOT / ".venv/helm3/helm"}
KUBERNETES = "1.35.0"
TOGETHER = 30
"""Parts of one chart."""

Object = dict[str, Any]
Values = Mapping[str, Any]
Rendered = Callable[[Values], list[Object]]
"""What was rendered of these values before."""


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
    return _made(helm, "template", dump(values), kube, release, namespace, chart)


def refusal(values: Values, helm: int = 4, **more: Any) -> str:
    """Why Helm renders nothing."""
    try:
        render(values, helm=helm, **more)
    except Refusal as refused:
        return str(refused)
    raise AssertionError("Helm has rendered this")


def install_notes(values: Values, helm: int = 4) -> str:
    """NOTES.txt as `helm install` prints it."""
    return str(_made(helm, "notes", dump(values))).split("\nNOTES:\n", 1)[1]


def lint(values: Values, helm: int = 4) -> str:
    """What `helm lint --strict` says.

    Raises:
        Refusal: it is not content.
    """
    return str(_made(helm, "lint", dump(values)))


def dump(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


@cache
def _made(
    helm: int,
    what: str,
    values: str,
    kube: str = KUBERNETES,
    release: str = "soloist",
    namespace: str = "team",
    chart: Path = CHART,
) -> Any:
    """Objects of `template`, text of the others. Not to be changed: everybody gets the same ones."""

    def make() -> Any:
        try:
            text = _run(helm, what, values, kube, release, namespace, chart)
        except Refusal as refused:
            return refused
        return documents(text) if what == "template" else text

    made = stored((helm_version(helm), digest(chart), what, values, kube, release, namespace), make)
    if isinstance(made, Refusal):
        raise made
    return made


def helm_version(helm: int) -> str:
    return HELM[helm].with_name("wheel").read_text("utf-8")


def _run(
    helm: int, what: str, values: str, kube: str, release: str, namespace: str, chart: Path
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
    """A home without plugins and without a cluster. Helm ends before its garbage would matter."""
    home = Path(tempfile.gettempdir()) / "no-helm"
    folders = {
        f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")
    }
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(home),
        "GOGC": "off",
        **folders,
    }


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


def render_together(many: Iterable[Values], *, helm: int = 4, chart: Path = CHART) -> Rendered:
    """What `render` makes of each of these values, in a third of the time: they are parts of a few large charts.

    Half of a render is the start of Helm. That a part is what it is alone is a test of its own
    (test_chart_part.py).
    """
    texts = list(dict.fromkeys(map(dump, many)))
    chunks = [texts[at : at + TOGETHER] for at in range(0, len(texts), TOGETHER)]
    with ThreadPoolExecutor(2) as threads:
        made = threads.map(lambda chunk: _parts(helm, tuple(chunk), chart), chunks)
        found = dict(zip(texts, (part for parts in made for part in parts), strict=True))
    return lambda values: found[dump(values)]


@cache
def _parts(helm: int, texts: tuple[str, ...], chart: Path) -> list[list[Object]]:
    names = [f"part{number:04}" for number in range(len(texts))]

    def make() -> list[list[Object]]:
        values = dump({name: json.loads(text) for name, text in zip(names, texts, strict=True)})
        with tempfile.TemporaryDirectory() as folder:
            whole = chart_of_parts(Path(folder), chart, names)
            text = _run(helm, "template", values, KUBERNETES, "soloist", "team", whole)
        found: dict[str, str] = dict.fromkeys(names, "")
        for document in re.split(r"^---\n(?=# Source: )", text, flags=re.MULTILINE)[1:]:
            (name,) = re.findall(r"\A# Source: whole/charts/(\w+)/", document)
            found[name] += "---\n" + document.replace(name, "soloist")
        return [documents(text) for text in found.values()]

    return list(stored(("parts", helm_version(helm), digest(chart), *texts), make))


def chart_of_parts(folder: Path, part: Path, names: Iterable[str] = ("soloist",)) -> Path:
    """A chart that has nothing but a chart, under each of these names, as `helm dependency build` leaves it."""
    parts = [
        {"name": "soloist", "version": "*", "alias": name, "condition": f"{name}.enabled"}
        for name in names
    ]
    whole = {"apiVersion": "v2", "name": "whole", "version": "1.0.0", "dependencies": parts}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    (folder / "values.yaml").write_text("global: {team: ml}\n", encoding="utf-8")
    (folder / "charts").mkdir()
    (folder / "charts" / "soloist").symlink_to(part)
    return folder


def copy_of_chart(folder: Path, **changes: str) -> Path:
    """The chart with other fields in its Chart.yaml."""
    copied = folder / CHART.name
    shutil.copytree(CHART, copied)
    described = yaml.safe_load((copied / "Chart.yaml").read_text(encoding="utf-8"))
    (copied / "Chart.yaml").write_text(yaml.safe_dump({**described, **changes}), encoding="utf-8")
    return copied
