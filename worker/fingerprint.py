"""What the files behind a model hold, in 32 hex digits: a model that was trained again is another version.

Cheap enough for every start. Weights are not read in full, but a piece of each tensor is: training moves
every number of what it trains. What is only moved or copied stays the same version.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import BinaryIO

from contract.catalog import ModelSpec, source_folder
from contract.errors import StartRefused
from contract.versions import HALF, UNTOLD

WEIGHTS = ".safetensors"
PIECE_BYTES = 4096
MOST_WHOLE_BYTES = 64 * 1024 * 1024
"""Of a longer file that is no safetensors file, its size, its beginning and its end."""
MOST_HEADER_BYTES = 100_000_000
"""The safetensors format allows no more."""


def compute_fingerprint(spec: ModelSpec) -> str:
    """The second half of the version's name: of a folder its files, of a Hugging Face id the commit in the
    cache, of a Python class its module's source. UNTOLD where there is nothing, which loading refuses.
    """
    digest = hashlib.sha256()
    try:
        if not (_add_module if spec.python else _add_source)(digest, spec):
            return UNTOLD
    except (OSError, StartRefused):
        return UNTOLD
    return digest.hexdigest()[:HALF]


def _add(digest: "hashlib._Hash", *parts: bytes) -> None:
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)


def _add_module(digest: "hashlib._Hash", spec: ModelSpec) -> bool:
    """The source of its module; not of what that imports."""
    file = find_source_file((spec.python or "").partition(":")[0])
    _add(digest, b"module", file.read_bytes() if file else b"")
    return True


def find_source_file(module: str) -> Path | None:
    """Where a module's source is, found without importing anything; None if it has none that is seen."""
    origin: str | None = None
    path: list[str] | None = None
    parts = module.split(".")
    for number, part in enumerate(parts, 1):
        folders = [str(Path(folder, part)) for folder in path or sys.path]
        try:
            found = _find(".".join(parts[:number]), path)
        except KeyError:  # a folder without __init__.py, in a package that is not imported
            origin, path = None, folders
            continue
        if found is None:
            return None
        origin = found.origin
        # To ask a folder without __init__.py for its places would need the import, too.
        path = list(found.submodule_search_locations or []) if origin else folders
    return Path(origin) if origin and origin.endswith(".py") else None


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    specs = (find(name, path) for find in finders if find)
    return next((spec for spec in specs if spec is not None), None)


def _add_source(digest: "hashlib._Hash", spec: ModelSpec) -> bool:
    from worker.models.files import fetching

    source = source_folder(spec.source or "")
    repository = fetching.hub_id(source)
    if repository is not None:
        commit = fetching.find_cached_commit(repository, spec.revision)
        _add(digest, b"commit", (commit or "").encode())
        return commit is not None
    folder = Path(source)
    files = sorted(_files(folder, [*fetching.BESIDE, f"*{WEIGHTS}"], fetching.ELSEWHERE))
    for name in files:
        with (folder / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _add(digest, name.encode(), str(size).encode())
            (_add_weights if name.endswith(WEIGHTS) else _add_file)(digest, file, size)
    return bool(files)


def _files(folder: Path, wanted: list[str], elsewhere: list[str]) -> Iterator[str]:
    """What a worker reads of a folder, and what it would if its index or configuration said so."""
    from worker.models.files.fetching import find_module_files

    modules = list(find_module_files(folder))
    inside = (path for name in modules for path in (folder / name).glob("*"))
    for path in {*folder.glob("*"), *folder.glob("[0-9]*/*"), *inside}:
        name = path.relative_to(folder).as_posix()
        away = any(fnmatch(name, pattern) for pattern in elsewhere)
        if (
            away and path.parent.relative_to(folder).as_posix() not in modules
        ) or not path.is_file():
            continue
        if any(fnmatch(path.name, pattern) for pattern in wanted):
            yield name


def _add_file(digest: "hashlib._Hash", file: BinaryIO, size: int) -> None:
    if size <= MOST_WHOLE_BYTES:
        _add(digest, file.read())
    else:
        _add(digest, _piece(file, 0), _piece(file, size - PIECE_BYTES))


def _add_weights(digest: "hashlib._Hash", file: BinaryIO, size: int) -> None:
    """The header, and of each tensor a piece out of its middle (huggingface/safetensors, README: Format)."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(size, MOST_HEADER_BYTES):  # no safetensors file: loading refuses it
        _add_file(digest, file, size)
        return
    header = file.read(length)
    _add(digest, header)
    for start, end in sorted(_spans(header)):
        middle = max(start, (start + end - PIECE_BYTES) // 2)
        _add(digest, _piece(file, 8 + length + middle, min(PIECE_BYTES, end - middle)))


def _spans(header: bytes) -> Iterator[tuple[int, int]]:
    try:
        tensors = json.loads(header)
        for name, tensor in tensors.items():
            if name != "__metadata__":
                start, end = tensor["data_offsets"]
                yield max(0, int(start)), max(0, int(end))
    except (ValueError, TypeError, KeyError, AttributeError):  # loading refuses it
        return


def _piece(file: BinaryIO, start: int, length: int = PIECE_BYTES) -> bytes:
    return os.pread(file.fileno(), max(0, length), max(0, start))
