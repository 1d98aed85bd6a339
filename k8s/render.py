"""`python -m k8s.render`: the chart as plain manifests in k8s/rendered/, for people without Helm."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from cli.console import Failure, print_error
from k8s.values import CHART

ROOT = Path(__file__).parents[1]
RENDERED = Path(__file__).parent / "rendered"
NAME = "soloist"
"""The release and its namespace."""
SETTINGS = ("ledger.existingSecret=soloist-ledger-password",)

MADE = "# Made by `python -m k8s.render` from charts/soloist with its default values; not to be edited.\n"
HELMS_OWN = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
SOURCE = re.compile(r"^# Source: .*\n", re.MULTILINE)

NAMESPACE = f"""\
{MADE}apiVersion: v1
kind: Namespace
metadata:
  name: {NAME}
"""

KUSTOMIZATION = """\
{made}# First make the ledger's password, once:
#   echo "password=$(openssl rand -hex 16)" > k8s/rendered/ledger-password
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {name}
resources:
{resources}
secretGenerator:
  - name: soloist-ledger-password
    # Not `files`: a newline at its end would be part of the password.
    envs: [ledger-password]
    options: {{disableNameSuffixHash: true}}
"""


def find_helm() -> str:
    """Where Helm is: the one that `make helm` fetches, or the one on the PATH.

    Raises:
        Failure: there is none.
    """
    own = ROOT / ".venv" / "helm4" / "helm"
    found = str(own) if own.is_file() else shutil.which("helm")
    if found is None:
        raise Failure("there is no Helm here; `make helm` fetches it", 2)
    return found


def render(helm: str, chart: Path = CHART) -> dict[str, str]:
    """The files by name.

    Raises:
        Failure: Helm does not like the chart.
    """
    command = [helm, "template", NAME, str(chart), "--namespace", NAME, "--no-hooks"]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise Failure(f"helm: {done.stderr.strip()}")
    parts: dict[str, list[str]] = {}
    for document in re.split(r"^---\n", done.stdout, flags=re.MULTILINE):
        content = yaml.safe_load(document)
        if content is None:
            continue
        component = content["metadata"].get("labels", {}).get("app.kubernetes.io/component", "more")
        if component != "test":
            parts.setdefault(component, []).append(_plain(document))
    files = {f"{name}.yaml": MADE + "---\n".join(parts[name]) for name in sorted(parts)}
    files["namespace.yaml"] = NAMESPACE
    resources = "\n".join(f"  - {name}" for name in files)
    files["kustomization.yaml"] = KUSTOMIZATION.format(made=MADE, name=NAME, resources=resources)
    return files


def _plain(document: str) -> str:
    """A document without the labels and remarks that only Helm's own would bear."""
    return HELMS_OWN.sub("", SOURCE.sub("", document)).strip("\n") + "\n"


def write(files: dict[str, str], folder: Path = RENDERED) -> None:
    """Write the files, and take away those of components that are gone."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.yaml"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def main() -> int:
    try:
        write(render(find_helm()))
    except Failure as failure:
        print_error(failure.sentence)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
