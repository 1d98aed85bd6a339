"""What contributors, their editors and a forge go by: it is valid, runs, and says the same as `make` and `.ci/run`."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.markdown import ROOT, tracked
from tests.test_readme import recipe

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = [
    line.rpartition(" ")[2]
    for line in PYPROJECT["project"]["classifiers"]
    if line.startswith("Programming Language :: Python :: 3.")
]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
TEXT = {".md", ".py", ".yaml", ".yml", ".toml", ".lua", ".js", ".css", ".json", ".tpl"}


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


# --- the workflow -----------------------------------------------------------------------------------


def test_the_workflow_runs_what_ci_runs_and_the_fast_tests_on_newer_pythons() -> None:
    jobs = load(".github/workflows/ci.yml")["jobs"]
    oldest, *newer = DECLARED
    assert jobs["everything"]["container"] == f"python:{oldest}-bookworm"
    assert jobs["everything"]["steps"][-1] == {"run": ".ci/run"}
    assert jobs["fast"]["strategy"]["matrix"]["python"] == newer
    assert jobs["fast"]["steps"][-1] == {"run": "make test-fast"}


def test_the_declared_pythons_begin_with_the_one_that_everything_runs_on() -> None:
    assert DECLARED == ["3.11", "3.12", "3.13"]
    assert PYPROJECT["project"]["requires-python"] == f">={DECLARED[0]}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == DECLARED[0]
    for page in ("README.md", "CONTRIBUTING.md"):
        assert "Python 3.11, 3.12 or 3.13" in (ROOT / page).read_text(encoding="utf-8")


def test_the_workflow_may_read_the_code_and_nothing_else() -> None:
    workflow = load(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 120
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(action.startswith("actions/") for action in actions)


# --- the forms of the forge -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda p: p.stem)
def test_an_issue_form_has_what_a_forge_asks_of_it(path: Path) -> None:
    """https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests"""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    asked = [each for each in form["body"] if each["type"] != "markdown"]
    assert asked
    for each in asked:
        assert each["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert each["attributes"]["label"]
    ids = [each["id"] for each in asked]
    assert len(ids) == len(set(ids))


def test_the_test_that_contributors_are_shown_is_the_one_that_its_command_runs() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"`(test_\w+)`", text)
    ((path, words),) = re.findall(r"`\.venv/bin/python -m pytest (\S+) -k (\w+)`", text)
    assert words in name
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_pull_request_asks_for_commands_that_exist() -> None:
    text = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text(encoding="utf-8")
    for target in ("check", "test-fast", "test", "rendered"):
        assert f"`make {target}`" in text
        assert recipe(target)


# --- before a commit --------------------------------------------------------------------------------


def hooks() -> dict[str, dict[str, Any]]:
    (repo,) = load(".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local", "a hook from elsewhere is fetched"
    return {hook["id"]: hook for hook in repo["hooks"]}


def test_the_hooks_are_what_make_check_runs() -> None:
    of_make = [shlex.split(line)[:2] for line in recipe("check").splitlines() if "bin/" in line]
    programs = {command[0] for command in of_make if command[0].startswith(".venv/bin/")}
    of_hooks = {shlex.split(hook["entry"])[0] for hook in hooks().values()}
    assert of_hooks == {name for name in programs if "python" not in name}


@pytest.mark.slow
def test_a_commit_of_unformatted_code_is_stopped_and_mended(tmp_path: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache"), "SKIP": "mypy"}
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    (clone / ".pre-commit-config.yaml").write_bytes((ROOT / ".pre-commit-config.yaml").read_bytes())
    module = clone / "contract" / "versions.py"
    module.write_text(f"{module.read_text()}\nA = {{'b':1}}\n")
    run("git", "add", "--all")

    first = run(sys.executable, "-m", "pre_commit", "run")
    assert first.returncode == 1, first.stdout + first.stderr
    assert "ruff format" in first.stdout
    assert 'A = {"b": 1}' in module.read_text()

    run("git", "add", "--all")
    second = run(sys.executable, "-m", "pre_commit", "run")
    assert second.returncode == 0, second.stdout + second.stderr


# --- editors ----------------------------------------------------------------------------------------


def test_files_are_as_the_editors_are_told() -> None:
    settings = (ROOT / ".editorconfig").read_text(encoding="utf-8")
    assert "insert_final_newline = true" in settings
    assert "trim_trailing_whitespace = true" in settings
    wrong = []
    for name in sorted(tracked()):
        if Path(name).suffix in TEXT and (ROOT / name).is_file():
            text = (ROOT / name).read_bytes()
            if b"\r\n" in text or (text and not text.endswith(b"\n")) or b" \n" in text:
                wrong.append(name)
    assert wrong == []
