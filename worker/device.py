"""Chooses this process's one device and hides the others, before torch is imported.

On a host with several GPUs each worker takes one that no other worker holds, whoever runs it: a lock per
device, named by its UUID, held for as long as the process lives.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from contract.errors import NoDevice
from contract.gpus import VISIBLE, list_gpus

LOCK_NAME = "soloist-device-"


@dataclass(slots=True)
class Device:
    """One device: `torch_name` is what torch calls it once the others are hidden."""

    torch_name: str
    uuid: str = ""
    name: str = ""
    lock: Any = field(default=None, repr=False)
    """Holds the device until the process ends, or until it is closed."""


def choose_device(
    wanted: str,
    gpus: Callable[[], list[tuple[str, str]]] = list_gpus,
) -> Device:
    """Take a device of the kind the catalog wants (`auto`, `cuda` or `cpu`) and hide all others.

    Raises:
        NoDevice: a GPU is wanted and there is none, or other workers hold all of them.
    """
    if wanted == "cpu":
        os.environ[VISIBLE] = ""
        return Device("cpu")
    found = gpus()
    if not found and wanted == "cuda":
        raise NoDevice("the catalog says `device: cuda`, and no GPU is visible to this worker")
    if not found:
        os.environ[VISIBLE] = ""
        return Device("cpu")
    for uuid, name in found:
        lock = take_lock(LOCK_NAME + uuid)
        if lock is not None:
            os.environ[VISIBLE] = uuid
            return Device("cuda:0", uuid, name, lock)
    raise NoDevice(f"other workers hold all {len(found)} GPUs of this host")


def take_lock(name: str) -> Any:
    """A lock of this name that one process of the host can have at a time; None if another has it.

    On Linux it is a name in the abstract namespace of Unix sockets (man 7 unix): the kernel gives it to one
    process of whichever user, and takes it back when that ends. There is no file that another user could
    leave behind, own or put a link in place of. Elsewhere it is a file in the user's own temporary folder.
    """
    if sys.platform == "linux":
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0{name}")
        except OSError:
            lock.close()
            return None
        return lock
    file = FileLock(Path(tempfile.gettempdir()) / f"{name}.lock")
    try:
        file.acquire(timeout=0)
    except Timeout:
        return None
    return file
