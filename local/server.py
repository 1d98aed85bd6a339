"""A server that runs as a child of this process, with its data in one folder."""

from pathlib import Path
from types import TracebackType
from typing import Self

from local.processes import Process, free_port


class Server:
    """Runs as long as the `with` block, on one port; what it keeps survives a stop and a kill."""

    stop_seconds = 10.0
    """How long it may take to end in good order."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def pids(self) -> list[int]:
        """Its processes; children are found from there."""
        return [self._process.pid] if self._process else []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start with the data it had, and return when it answers; nothing if it runs."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it in good order: what it should keep is on the disk when this returns."""
        if self._process:
            self.resume()
            self._process.terminate(self.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process:
            self._process.kill()
            self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        """Let a frozen one go on."""
        if self._process:
            self._process.resume()

    def restart(self) -> None:
        """Stop and start again, with its data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Stop and start again, without its data."""
        self.stop()
        self.delete_data()
        self.start()

    def delete_data(self) -> None:
        """Remove the data of one that does not run."""
        raise NotImplementedError
