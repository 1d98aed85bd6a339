"""`python -m k8s.package`: the chart as a package that names the images which were built for it by their digests."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
import yaml

from cli import console
from cli.console import Failure
from k8s.render import find_helm
from k8s.values import CHART

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def package(
    api: Annotated[str, typer.Option(help="The digest of soloist-api, sha256:...")],
    worker: Annotated[str, typer.Option(help="The digest of soloist-worker, sha256:...")],
    registry: Annotated[str, typer.Option(help="Where both images are.")],
    out: Annotated[Path, typer.Option(help="The folder for the package.")] = Path("dist"),
) -> None:
    """Package the chart for these images."""
    images = {"api": {"digest": api}, "worker": {"digest": worker}, "registry": registry}
    print(make(find_helm(), out, images))


def make(helm: str, out: Path, images: dict[str, Any], chart: Path = CHART) -> Path:
    """The package, in which these are the values of `images`; all others are the chart's.

    Raises:
        Failure: what was given for a digest is none, or Helm does not like the chart.
    """
    for name in ("api", "worker"):
        digest = images[name]["digest"]
        if not DIGEST.fullmatch(digest):
            raise Failure(
                f"--{name}: {digest!r} is no digest; give sha256: and 64 hex digits, as the builder "
                "prints it (dist/images.json of `make publish`)",
                2,
            )
    if not images["registry"]:
        raise Failure("--registry: say where the images are, as in registry.example.org/ml", 2)
    if "://" in images["registry"]:
        raise Failure(f"--registry: {images['registry']!r} has a scheme; leave it out", 2)
    with TemporaryDirectory() as folder:
        copied = Path(folder) / chart.name
        shutil.copytree(chart, copied)
        values = copied / "values.yaml"
        values.write_text(fill_in_digests(values.read_text("utf-8"), images), "utf-8")
        command = [helm, "package", str(copied), "--destination", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise Failure(f"helm: {done.stderr.strip()}")
    described = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    return out / f"{described['name']}-{described['version']}.tgz"


def fill_in_digests(text: str, images: dict[str, Any]) -> str:
    """values.yaml with the registry and the digests in it, and every comment where it was."""
    registry = images["registry"]
    text = re.sub(r'^  registry: ""$', f'  registry: "{registry}"', text, flags=re.MULTILINE)
    for name in ("api", "worker"):
        line = rf'^(  {name}: {{repository: .*, digest: )""}}$'
        text = re.sub(line, rf'\g<1>"{images[name]["digest"]}"}}', text, flags=re.MULTILINE)
    found = yaml.safe_load(text)["images"]
    if found["registry"] != registry or any(
        found[name]["digest"] != images[name]["digest"] for name in ("api", "worker")
    ):
        raise Failure("values.yaml has no `images` with a registry and two digests to fill in")
    return text


if __name__ == "__main__":
    sys.exit(console.run_command(app, "python -m k8s.package", sys.argv[1:]))
