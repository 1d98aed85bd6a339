"""Reads a Dockerfile and its .dockerignore, and does what a build stage says in a folder, without a container."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined: `COPY`, `contract contract`."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        return self.value.split()

    @property
    def flags(self) -> list[str]:
        """`--from=build` of a COPY; of a RUN only what stands before the command."""
        return list(takewhile(lambda word: word.startswith("--"), self.words))

    @property
    def operands(self) -> list[str]:
        """The words that are no flags: sources and, last, the target of a COPY."""
        return [word for word in self.words if not word.startswith("--")]


def parse(path: Path) -> list[list[Instruction]]:
    """The instructions by stage; the first is what stands before any FROM."""
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    stages: list[list[Instruction]] = [[]]
    for line in re.sub(r"\\\n\s*", "", code).splitlines():
        name, _, value = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, value.strip()))
    return stages


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps this file, a path from the root, out of the build. The last rule wins."""
    answer = False
    for rule in (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n"):
        if rule and not rule.startswith("#"):
            pattern = re.escape(rule.removeprefix("!"))
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if re.fullmatch(pattern + "(/.*)?", path):
                answer = not rule.startswith("!")
    return answer


def sent() -> list[str]:
    """The files of this checkout that .dockerignore lets into a build."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    names = sorted(set(listed.stdout.splitlines()))
    return [name for name in names if not ignored(name) and (ROOT / name).is_file()]


class Build:
    """A build stage, done in `folder` as if that were the root of the image."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = dict(env)
        self._place = folder

    def run(self, stage: list[Instruction], **arguments: str) -> None:
        for one in stage:
            match one.name:
                case "ARG":
                    name, _, default = one.value.partition("=")
                    self._env[name] = arguments.get(name, default.strip('"'))
                case "WORKDIR":
                    self._place = self.folder / one.value.lstrip("/")
                    self._place.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(*one.operands)
                case "RUN":
                    self._do(one.value)

    def _copy(self, *operands: str) -> None:
        *sources, target = operands
        for source in sources:
            for name in sent():
                if name == source or name.startswith(source + "/"):
                    # The content of a folder, or a file by its name: no COPY of ours gives another.
                    rest = name.removeprefix(source).lstrip("/") or Path(name).name
                    place = self._place / target / rest
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, place)

    def _do(self, command: str) -> None:
        command = command.replace("/opt/", f"{self.folder}/opt/")
        subprocess.run(["sh", "-ec", command], cwd=self._place, env=self._env, check=True)
