"""What a stack takes of the machine: CPU time and memory of its processes and their children."""

import contextlib
from collections.abc import Iterable, Iterator

import psutil


class ProcessTree:
    """The processes of a stack, found anew each time, since stacks start children as they please."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._cpu: dict[psutil.Process, float] = {}

    def processes(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield root
                yield from root.children(recursive=True)

    def cpu_seconds(self) -> float:
        """CPU time of all, user and system, since they started; of those that ended, as last seen."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._cpu[process] = times.user + times.system
        return sum(self._cpu.values())

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size, which counts a shared page once, of each process by its name."""
        sizes: dict[str, int] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                size = process.memory_full_info().pss
                sizes[f"{process.name()} {process.pid}"] = size
        return sizes
