"""What Helm has made of a chart, kept in a folder: processes that test at once, and later runs, make it once."""

import contextlib
import fcntl
import hashlib
import os
import pickle
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".soloist" / "renders"
KEPT_SECONDS = 24 * 3600


@cache
def digest(chart: Path) -> str:
    """Of all files of a chart: another one with each change."""
    found = hashlib.sha256()
    for folder, _, names in sorted(os.walk(chart, followlinks=True)):
        for name in sorted(names):
            path = Path(folder) / name
            for part in (path.relative_to(chart).as_posix().encode(), path.read_bytes()):
                found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def stored(key: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """What was made for this key, or is made now. The key says all that it depends on."""
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()
    file = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"lock-{name[:2]}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            fresh = file.with_suffix(".fresh")
            fresh.write_bytes(zlib.compress(pickle.dumps(make()), 1))
            fresh.rename(file)
        os.utime(file)
        return pickle.loads(zlib.decompress(file.read_bytes()))  # noqa: S301 - we wrote it


def forget_old_renders() -> None:
    """Delete what nobody asked for in a day; somebody may hold a lock, and another may delete too."""
    for file in FOLDER.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            old = time.time() - file.stat().st_mtime > KEPT_SECONDS
            if old and not file.name.startswith("lock-"):
                file.unlink()
