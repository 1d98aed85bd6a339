"""The plain manifests: they are what the chart says now, and kubectl takes them."""

import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.console import Failure
from k8s import render as module
from k8s.render import RENDERED, ROOT, find_helm, render, write
from tests.support.external_tools import missing

VENV = ROOT / ".venv"


def tool(major: str, name: str) -> str:
    """A tool that `make helm` fetches."""
    path = VENV / f"helm{major}" / name
    if not path.is_file():
        missing(f"no {path.relative_to(ROOT)}: make helm")
    return str(path)


def files_on_disk() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in RENDERED.glob("*.yaml")}


def documents() -> list[dict[str, Any]]:
    texts = (text for name, text in files_on_disk().items() if name != "kustomization.yaml")
    return [document for text in texts for document in yaml.safe_load_all(text)]


@pytest.mark.parametrize("major", ["3", "4"])
def test_the_manifests_are_what_the_chart_says_now(major: str) -> None:
    assert render(tool(major, "helm")) == files_on_disk(), "run: python -m k8s.render"


def test_no_password_is_in_them() -> None:
    kinds = {document["kind"] for document in documents()}

    assert "Secret" not in kinds
    assert {"Namespace", "Deployment", "ScaledObject"} <= kinds


def test_nothing_of_helms_own_is_in_them() -> None:
    text = "\n".join(files_on_disk().values())

    assert "helm.sh" not in text
    assert "managed-by" not in text
    assert "# Source" not in text
    assert "component: test" not in text


def test_kubectl_builds_them_with_the_password_that_was_made(tmp_path: Path) -> None:
    kubectl = tool("4", "kubectl")
    folder = tmp_path / "rendered"
    shutil.copytree(RENDERED, folder)
    (folder / "ledger-password").write_text("password=s3cret\n")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    objects = list(yaml.safe_load_all(done.stdout))

    (secret,) = [each for each in objects if each["kind"] == "Secret"]
    assert secret["metadata"]["name"] == "soloist-ledger-password"
    assert b64decode(secret["data"]["password"]) == b"s3cret"
    assert len(objects) == len(documents()) + 1
    outside = [each["kind"] for each in objects if each["metadata"].get("namespace") != "soloist"]
    assert outside == ["Namespace"]


def test_git_ignores_the_password() -> None:
    file = (RENDERED / "ledger-password").relative_to(ROOT)

    assert subprocess.run(["git", "check-ignore", "-q", file], cwd=ROOT).returncode == 0


def test_files_of_what_is_gone_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / "broker.yaml").write_text("old")
    (tmp_path / "ledger-password").write_text("kept")
    write({"gateway.yaml": "new"}, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"gateway.yaml", "ledger-password"}


def test_helm_is_the_one_of_the_checkout_or_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    own = tmp_path / ".venv" / "helm4" / "helm"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_helm() == str(own)

    own.unlink()
    other = tmp_path / "helm"
    other.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_helm() == str(other)


def test_without_helm_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert module.main() == 2
    assert capsys.readouterr().err == "soloist: there is no Helm here; `make helm` fetches it\n"


def test_what_helm_says_of_a_broken_chart_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="helm: Error: "):
        render(tool("4", "helm"), tmp_path)
