"""Fetching of a model from the Hugging Face hub into the local cache, the only place workers load from.

What a worker never loads is not fetched: pickles, code, weights of other frameworks.
"""

import errno
import json
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from threading import Event, Thread
from typing import Any

from huggingface_hub import (
    HfApi,
    constants,
    get_cached_repo_tree,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable, StartRefused
from worker.models.files import obstacles
from worker.models.torch_errors import first_line

logger = logging.getLogger(__name__)

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
BESIDE = ["*.json", "*.txt", "*.jinja", "*.model", "*.spm", "*.codes", "*.tokenizer", "*.tiktoken"]
"""What is read beside the weights: configurations, tokenizers, chat templates."""
ELSEWHERE = ["[!0-9]*/*"]
"""Folders of other frameworks. Those of sentence-transformers' modules mostly begin with a digit."""
MODULES = "modules.json"
PACKAGE = "sentence_transformers."
WEIGHTY = ("Dense", "LayerNorm")
"""Modules of sentence-transformers behind the model that have weights of their own."""

TELL_SECONDS = 5.0
STALE_SECONDS = 600.0
"""A part of a file that has not grown for so long was abandoned."""

TOKEN = "HF_TOKEN (in a cluster: hub.tokenSecret)"  # noqa: S105 - where it is, not what
AGAIN = "save it anew with `SentenceTransformer(folder).save_pretrained(folder)`"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


def hub_id(source: str | None) -> str | None:
    """The source if it is a Hugging Face id; None if it is a folder, or in a Python package, or nothing."""
    if source is None or source.startswith("package:"):
        return None
    path = Path(source)
    return None if path.is_dir() or path.is_absolute() or len(path.parts) != 2 else source


def find_weight_files(folder: Path, names: Collection[str]) -> list[str]:
    """Which of a model's files hold its weights: one, or those that the index in `folder` names."""
    if SINGLE in names:
        return [SINGLE]
    if INDEX not in names:
        return []
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return sorted(set(index["weight_map"].values()))


def find_module_files(folder: Path) -> dict[str, list[str]]:
    """What sentence-transformers' modules.json names, by folder: its configuration, and weights if any."""
    try:
        listed = json.loads((folder / MODULES).read_text(encoding="utf-8"))
        modules = {str(one["path"]): str(one["type"]).rpartition(".")[2] for one in listed}
    except (OSError, ValueError, TypeError, KeyError):  # there is none, or loading refuses it
        return {}
    return {
        path: [f"{path}/{CONFIG}", *([f"{path}/{SINGLE}"] if kind in WEIGHTY else [])]
        for path, kind in modules.items()
        if path and not Path(path).is_absolute() and ".." not in Path(path).parts
    }


def find_cached_commit(repository: str, revision: str | None) -> str | None:
    """The commit that a worker will load out of the cache; None if it is not there. Without the network."""
    found = try_to_load_from_cache(repository, CONFIG, revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def fetch_model(spec: ModelSpec) -> None:
    """Download what a worker loads of this model, unless it is in the cache already.

    A branch is not followed: what was fetched for it stays, so that all workers of a cache are alike.

    Raises:
        ModelUnloadable: the hub does not give it, or it is not a model that a worker can load.
    """
    facts = {"model": spec.name, "source": spec.source, "revision": spec.revision or "main"}
    repository = hub_id(spec.source)
    if repository is None:
        logger.info("nothing to fetch: the model is not on the hub", extra=facts)
        return
    _prepare()
    started = time.monotonic()
    try:
        if _is_cached(repository, spec.revision):
            logger.info("nothing to fetch: the model is in the cache", extra=facts)
            return
        logger.info("fetching", extra={**facts, "cache": constants.HF_HUB_CACHE})
        _download(repository, spec.revision, facts)
    except Exception as error:
        raise ModelUnloadable(
            f"model {spec.name!r}: {_reason(error, spec)} ({spec.source})"
        ) from error
    logger.info("fetched", extra={**facts, "seconds": round(time.monotonic() - started, 3)})


def _prepare() -> None:
    # Images set HF_HUB_OFFLINE=1 for workers; a fetch needs the network.
    constants.HF_HUB_OFFLINE = False
    disable_progress_bars()
    logging.captureWarnings(True)
    logging.getLogger("huggingface_hub").handlers.clear()  # its lines go where ours go
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def _is_cached(repository: str, revision: str | None) -> bool:
    """True if all that a worker needs is on this machine. Without the network."""
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=BESIDE,
                ignore_patterns=ELSEWHERE,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return False
    found = find_weight_files(folder, {path.name for path in folder.iterdir()})
    beside = [name for names in find_module_files(folder).values() for name in names[1:]]
    return bool(found) and all((folder / name).is_file() for name in (CONFIG, *found, *beside))


def _download(repository: str, revision: str | None, facts: dict[str, Any]) -> None:
    commit = HfApi().resolve_revision(repository, revision=revision)  # a branch may move meanwhile
    folder = Path(
        snapshot_download(
            repository, revision=commit, allow_patterns=BESIDE, ignore_patterns=ELSEWHERE
        )
    )
    sizes = {file.path: file.size for file in get_cached_repo_tree(repository, revision=commit)}
    wanted = find_weight_files(folder, sizes)
    _check(wanted, sizes)
    for path, names in find_module_files(folder).items():
        if any(name not in sizes for name in names[1:]):
            raise ModelUnloadable(
                f"its {path} has no {SINGLE}, and workers load no pickles; {AGAIN}"
            )
        wanted += [name for name in names if name in sizes]
    missing = sum(sizes[name] for name in wanted if not (folder / name).is_file())
    parts = folder.parents[1] / "blobs"
    _sweep(parts)
    with _logging_progress(parts, missing, facts):
        snapshot_download(
            repository, revision=commit, allow_patterns=[escape(name) for name in wanted]
        )


def _check(wanted: list[str], names: Collection[str]) -> None:
    if reason := obstacles.explain_adapter(names, None):
        raise ModelUnloadable(reason)
    if CONFIG not in names:
        raise ModelUnloadable(obstacles.explain_no_config(names))
    if not wanted:
        raise ModelUnloadable(
            f"{obstacles.explain_no_weights(names, None)}; or take a `revision` that has a {SINGLE}"
        )
    if strange := [n for n in wanted if n not in names or not n.endswith(".safetensors")]:
        raise ModelUnloadable(f"its index names {strange[0]!r}, which is no safetensors file of it")


def _sweep(parts: Path) -> None:
    """Remove what a fetch left that was killed: on a volume it would be in the way for ever."""
    for part in parts.glob("*.incomplete"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


@contextmanager
def _logging_progress(parts: Path, total: int, facts: dict[str, Any]) -> Iterator[None]:
    """Says every few seconds how much has come; where several fetch into one cache, all of it."""
    over = Event()
    before = _bytes(parts)

    def log_progress() -> None:
        while not over.wait(TELL_SECONDS):
            done = min(_bytes(parts) - before, total)
            logger.info("fetching", extra={**facts, "fetched_bytes": done, "total_bytes": total})

    thread = Thread(target=log_progress, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _bytes(folder: Path) -> int:
    size = 0
    for path in folder.iterdir():
        with suppress(OSError):  # renamed by now
            size += path.stat().st_size
    return size


def _reason(error: Exception, spec: ModelSpec) -> str:
    """What went wrong and the way out, in one sentence."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, StartRefused):
            return cause.detail
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause, spec)
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return f"no space is left in the cache {_cache()} (in a cluster: cache.size)"
        if isinstance(cause, OSError) and cause.errno in NO_RIGHT:
            return f"the cache {_cache()} cannot be written: {cause.strerror}"
    if any(
        isinstance(cause, LocalEntryNotFoundError | RevisionResolutionError) for cause in causes
    ):
        return (
            f"{constants.ENDPOINT} does not answer, and the model is not in the cache {_cache()}; "
            "HF_ENDPOINT names a mirror (in a cluster: hub.endpoint)"
        )
    return f"it cannot be fetched: {type(error).__name__}: {first_line(error)}"


def _refused(error: HfHubHTTPError, spec: ModelSpec) -> str:
    if isinstance(error, GatedRepoError):
        return f"it is gated: accept its terms on the hub and give a token as {TOKEN}"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {spec.revision or 'main'!r}"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no such model, or it is private and wants a token as {TOKEN}"
    status = error.response.status_code
    if status in (401, 403):
        return f"the hub refused it; give a token that may read it as {TOKEN}"
    return f"{constants.ENDPOINT} answered {status}; try again later"


def _cache() -> str:
    return constants.HF_HUB_CACHE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
