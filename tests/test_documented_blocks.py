"""Each block of the pages on clusters runs as it stands, up to the cluster's API; and no block is left out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from contract.catalog import load_catalog
from k8s.required_objects import secrets_of
from k8s.values import Plan, load_values
from tests import test_readme
from tests.charts.rendering import HELM, render
from tests.charts.scenarios import SPAM, merged
from tests.k8s.api_server import ApiServer
from tests.k8s.release_objects import add_prerequisites
from tests.support.doc_blocks import (
    BLOCKS,
    MORE,
    PAGES,
    ROOT,
    Block,
    charts_of_others,
    checkout,
    commands,
    programs,
    run_in_shell,
)
from tests.support.external_tools import missing
from tests.support.fake_api_server import served

WITH_A_CLUSTER = {"helm", "kubectl", "python-m-k8s", "docker", "kind", "echo"}
ELSEWHERE = {
    "make run": test_readme.test_make_run_and_make_test_are_what_the_readme_says_they_are,
    "make test": test_readme.test_make_run_and_make_test_are_what_the_readme_says_they_are,
    "curl": test_readme.test_the_readmes_curl_answers_as_it_says,
    '{"id"': test_readme.test_the_readmes_curl_answers_as_it_says,
    ".venv/bin/soloist": test_readme.test_the_readmes_soloist_commands_run,
    "import replicate": test_readme.test_the_readmes_python_client_example_prints_a_vector,
}
"""What a block begins with, and the test that runs it."""
VALUES = yaml.safe_load((ROOT / "charts" / "soloist" / "values.yaml").read_text("utf-8"))


def kind_of(block: Block) -> str | None:
    """How a block is run; None if no test does."""
    if block.language == "sh" and WITH_A_CLUSTER.issuperset(commands(block)):
        return "shell"
    if any(block.text.startswith(beginning) for beginning in ELSEWHERE):
        return "elsewhere"
    if block.language == "python":
        return "test" if "\ndef test_" in block.text else "class"
    if block.language != "yaml":
        return None
    content = yaml.safe_load(block.text)
    if "resources" in content:
        return "kustomization"
    if any("source" in (model or {}) for model in content.get("models", {}).values()):
        return "catalog"
    return "values" if content.keys() <= VALUES.keys() else None


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if kind_of(block) == kind]


def test_every_block_is_run_by_a_test() -> None:
    assert {block.page for block in BLOCKS} == {*PAGES, *MORE}
    assert not [str(each) for each in BLOCKS if kind_of(each) is None and each.page in PAGES]


# --- commands ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not HELM[4].exists():
        missing("Helm is not there: make helm")
    with charts_of_others(tmp_path_factory.mktemp("charts") / "of", HELM[4]) as address:
        yield address


def answer(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    """A gateway that predicts at once."""
    if method == "POST":
        return 201, {"id": "a", "status": "succeeded", "output": [0.5]}
    models = [{"id": "local/minilm"}]
    return 200, {"status": "ok"} if path == "/readyz" else {"results": models}


def cluster() -> ApiServer:
    """With what others install, a default StorageClass and a node with GPUs, and a gateway behind each release."""
    api = ApiServer()
    add_prerequisites(api)
    gpus = {"nvidia.com/gpu": "8"}
    api.add("/api/v1/nodes", "a", spec={}, status={"allocatable": gpus, "capacity": gpus})
    for namespace in ("argocd", "monitoring"):
        api.make_namespace(namespace)
    api.behind["soloist-gateway:http"] = answer
    return api


def make_secrets(api: ApiServer, folder: Path, block: Block) -> None:
    """Those that values of an example's take as given."""
    for file in re.findall(r"--values (examples/\S+)", block.text):
        for wanted in secrets_of(Plan(load_values([folder / file]))):
            data = dict.fromkeys(wanted.keys, "")
            api.add("/api/v1/namespaces/soloist/secrets", wanted.name, kind="Secret", data=data)


RUNS = [
    (block, helm)
    for block in of_kind("shell")
    for helm in HELM
    if helm == 4 or "helm" in commands(block)
]


@pytest.mark.slow
@pytest.mark.parametrize(("block", "helm"), RUNS, ids=str)
def test_the_commands_run_from_a_fresh_clone(
    block: Block, helm: int, charts: str, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "clone")
    path = programs(tmp_path / "bin", HELM[helm], HELM[4].with_name("kubectl"), ("docker", "kind"))
    (values,) = [each for each in of_kind("values") if each.page == "README.md"]
    (folder / "my-values.yaml").write_text(values.text, "utf-8")
    api = cluster()
    make_secrets(api, folder, block)
    with served(api, tmp_path) as kubeconfig:
        done = run_in_shell(block.text, folder, path, charts, KUBECONFIG=str(kubeconfig))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {"helm", "kubectl"} & set(commands(block)) or _written(api)


def _written(api: ApiServer) -> bool:
    return any(method in ("POST", "PATCH") for method, _ in api.requests)


# --- values, catalogs ----------------------------------------------------------------------


@pytest.mark.parametrize("helm", HELM)
@pytest.mark.parametrize("block", of_kind("values"), ids=str)
def test_the_values_render(block: Block, helm: int) -> None:
    values = yaml.safe_load(block.text)
    # What is laid over values of a reader's own, as `soloist plan` writes it, has no catalog.
    models = {name: {"catalog": SPAM} for name in values.get("models", {})}
    assert render(merged({"models": models}, values), helm=helm)


@pytest.mark.parametrize("block", of_kind("catalog"), ids=str)
def test_the_catalogs_are_read(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(block.text, "utf-8")
    assert list(load_catalog(file)) == list(yaml.safe_load(block.text)["models"])


@pytest.mark.parametrize("block", of_kind("kustomization"), ids=str)
def test_a_kustomization_over_ours_is_built(block: Block, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "clone") / "k8s"
    (folder / "rendered" / "ledger-password").write_text("password=a")
    (folder / "mine").mkdir()
    (folder / "mine" / "kustomization.yaml").write_text(block.text, "utf-8")
    command = [HELM[4].with_name("kubectl"), "kustomize", folder / "mine"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for image in yaml.safe_load(block.text)["images"]:
        assert f"image: {image['newName']}:" in done.stdout


# --- a model that is a Python class -------------------------------------------------------------------


@pytest.mark.slow
def test_the_class_passes_its_test_from_a_folder_of_the_readers_own(tmp_path: Path) -> None:
    (model,), (test,) = of_kind("class"), of_kind("test")
    assert {model.page, test.page} == {"docs/models.md"}
    (tmp_path / "shout.py").write_text(model.text, "utf-8")
    (tmp_path / "test_shout.py").write_text(test.text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--rootdir", tmp_path]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


# --- a Python without packages ----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["check"], ["smoke"], []])
def test_without_its_packages_it_says_the_way_out_in_one_sentence(arguments: list[str]) -> None:
    command = [sys.executable, "-S", "-m", "k8s", *arguments]  # without site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("soloist: python -m k8s needs the package typer, which ")
    for way_out in ("`make run`", ".venv/bin/pip install '.[gateway,cli]'"):
        assert way_out in done.stderr
        assert way_out in (ROOT / "README.md").read_text("utf-8")


ONLY = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Absent())
from k8s.__main__ import run
sys.exit(run(["check", "--help"]))
"""


@pytest.mark.slow
def test_the_small_environment_has_all_that_it_needs() -> None:
    brought = installed_by("soloist", {"gateway", "cli"}) | {"soloist"}
    homes = metadata.packages_distributions()
    absent = [name for name, its in homes.items() if not brought & {*map(canonical, its)}]
    assert "torch" in absent
    command = [sys.executable, "-c", ONLY, json.dumps(absent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--namespace" in done.stdout


def installed_by(package: str, extras: set[str]) -> set[str]:
    """The names of all that pip brings for it."""
    found: set[str] = set()
    waiting = [(package, frozenset(extras))]
    while waiting:
        name, extras = waiting.pop()
        for line in metadata.requires(name) or []:
            its = Requirement(line)
            takes = [{"extra": extra} for extra in ("", *extras)]
            if its.marker and not any(its.marker.evaluate(each) for each in takes):
                continue
            if canonical(its.name) not in found:
                found.add(canonical(its.name))
                waiting.append((its.name, frozenset(its.extras)))
    return found
