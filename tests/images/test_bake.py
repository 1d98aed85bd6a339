"""docker-bake.json: both images for two architectures, with arguments that the Dockerfiles take."""

import json
import re
import subprocess
from string import Template
from typing import Any

import pytest
from dockerfile import ROOT, parse

from contract import __version__

BAKE = json.loads((ROOT / "docker-bake.json").read_text(encoding="utf-8"))
DEFAULTS = {name: variable["default"] for name, variable in BAKE["variable"].items()}
LABELS = {"VERSION", "REVISION", "CREATED", "SOURCE"}


def baked(name: str, **environment: str) -> dict[str, Any]:
    """A target with what it inherits, its variables filled in from the environment or their defaults."""
    target = BAKE["target"][name]
    whole: dict[str, Any] = {"args": {}}
    for inherited in target.get("inherits", []):
        above = BAKE["target"][inherited]
        whole |= {**above, "args": {**whole["args"], **above["args"]}}
    whole |= {**target, "args": {**whole["args"], **target.get("args", {})}}
    text = Template(json.dumps(whole)).substitute({**DEFAULTS, **environment})
    return dict(json.loads(text))


@pytest.fixture(params=BAKE["group"]["default"]["targets"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def arguments(name: str) -> dict[str, str]:
    """The arguments that a Dockerfile takes, with their defaults."""
    stages = parse(ROOT / f"Dockerfile.{name}")
    found = [one.value for stage in stages for one in stage if one.name == "ARG"]
    return {key: default.strip('"') for key, _, default in (each.partition("=") for each in found)}


def test_both_images_are_baked() -> None:
    assert BAKE["group"]["default"]["targets"] == ["api", "worker"]


def test_an_image_is_for_both_architectures(name: str) -> None:
    target = baked(name)

    assert target["platforms"] == ["linux/amd64", "linux/arm64"]
    assert target["dockerfile"] == f"Dockerfile.{name}"
    assert (ROOT / target["context"] / target["dockerfile"]).is_file()


def test_an_image_is_called_as_the_chart_calls_it(name: str) -> None:
    assert baked(name)["tags"] == [f"soloist-{name}:{__version__}"]
    tags = baked(name, REGISTRY="registry.example.org/ml/", VERSION="9.9.9")["tags"]
    assert tags == [f"registry.example.org/ml/soloist-{name}:9.9.9"]


def test_an_image_gets_every_argument_with_the_default_of_its_dockerfile(name: str) -> None:
    assert baked(name)["args"] == arguments(name)
    given = dict.fromkeys(DEFAULTS, "mine")
    assert set(baked(name, **given)["args"].values()) == {"mine"}


def test_every_variable_is_used() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(BAKE["target"])))

    assert used == DEFAULTS.keys()


def test_nothing_in_a_dockerfile_is_of_one_architecture(name: str) -> None:
    text = (ROOT / f"Dockerfile.{name}").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))

    assert not re.search(r"x86|amd64|aarch64|arm64|--platform", code)
    # A local version, as 2.13.0+cu130, is one of an index that has not every architecture.
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"^[^#\n]+\+", pinned, re.MULTILINE)


def make(*words: str) -> str:
    """What `make` would run."""
    asked = ["make", "--dry-run", "--no-print-directory", *words]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_tells_both_builders_what_the_labels_say() -> None:
    commit = "git rev-parse HEAD", "git log -1 --format=%cI"
    revision, created = (
        subprocess.check_output(each.split(), cwd=ROOT, text=True).strip() for each in commit
    )
    values = f"VERSION={__version__} REVISION={revision} CREATED={created} SOURCE=https://a"
    built = make("images", "REGISTRY=here/ml", "SOURCE=https://a").splitlines()
    pushed = make("publish", "REGISTRY=here/ml", "SOURCE=https://a")

    assert [line.split()[5] for line in built] == [
        f"here/ml/soloist-{name}:{__version__}" for name in ("api", "worker")
    ]
    for line in built:
        assert " ".join(f"--build-arg {value}" for value in values.split()) in line
    assert f"REGISTRY=here/ml/ {values} docker buildx bake --file docker-bake.json --push" in pushed
    assert {value.partition("=")[0] for value in values.split()} == LABELS <= DEFAULTS.keys()
