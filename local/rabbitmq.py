"""Brokers of one measurement or test: private, on loopback, gone when it is over."""

import contextlib
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local.processes import Process, StartFailed, free_port
from local.redis import server_program

RABBITMQ_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's wrapper changes the user
START_SECONDS = 90.0
# Schedulers that spin while idle would take the core that they share with what is measured;
# https://www.rabbitmq.com/docs/runtime#busy-waiting recommends the same for containers.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"


class Broker:
    """What Redis and RabbitMQ have in common here: one process with its data in one folder."""

    url: str

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._process: Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def pids(self) -> list[int]:
        """Its process; children are found from there."""
        return [self._process.pid] if self._process else []

    def start(self) -> None:
        """Start it on the same port with the data it had, and return when it answers."""
        if self.running:
            return
        self._clear()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = self._launch()
        try:
            self._process.wait_until(self._answers, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in good order: what it should keep is on the disk."""
        if self._process:
            self._process.signal(signal.SIGCONT)
            self._process.terminate(30)
        self._clear()

    def kill(self) -> None:
        """End it as a power failure would."""
        self._clear()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        if self._process:
            self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        if self._process:
            self._process.signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Let it come back on the same port and have forgotten everything."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.start()

    def _clear(self) -> None:
        if self._process:
            self._process.kill()
            self._process = None

    def _launch(self) -> Process:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

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


class RabbitMQ(Broker):
    """One RabbitMQ node without plugins, with an epmd of its own."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(folder, port)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._node = f"soloist{self.port}@localhost"
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._epmd: Process | None = None

    @staticmethod
    def installed() -> bool:
        return RABBITMQ_SCRIPT.exists() and shutil.which("epmd") is not None

    @property
    def pids(self) -> list[int]:
        return super().pids + ([self._epmd.pid] if self._epmd else [])

    def _launch(self) -> Process:
        epmd = shutil.which("epmd")
        if not epmd or not self.installed():
            raise StartFailed("RabbitMQ is not installed: apt-get install rabbitmq-server")
        for name in ("data", "log", "config"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "config/enabled_plugins").write_text("[].\n")
        (self.folder / "config/env").write_text("")
        (self.folder / "config/rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "log.file = false\nlog.console = true\nlog.console.level = warning\n"
            "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n"
        )
        environment = self._environment()
        # An epmd that the node starts by itself would be a daemon that outlives it.
        self._epmd = Process(
            [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self.folder / "log/epmd.log",
            env=environment,
        )
        return Process(
            [RABBITMQ_SCRIPT],
            log=self.folder / "log/rabbitmq.log",
            env=environment,
            cwd=self.folder,
        )

    def _environment(self) -> dict[str, str]:
        config = self.folder / "config"
        return {
            "HOME": str(self.folder),  # the Erlang cookie
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            # The script then becomes the node instead of standing in front of it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"{NO_SPINNING} -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(config / "env"),
            "RABBITMQ_CONFIG_FILE": str(config / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(config / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(config / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "data/node.pid"),
        }

    def _answers(self) -> bool:
        from amqp import Connection

        # A whole handshake: the port opens a moment before the virtual host is there.
        with (
            contextlib.suppress(Exception),
            Connection(f"127.0.0.1:{self.port}", connect_timeout=2, read_timeout=5) as connection,
        ):
            connection.channel().close()
            return True
        return False

    def _clear(self) -> None:
        super()._clear()
        if self._epmd:
            self._epmd.kill()
            self._epmd = None


class Redis(Broker):
    """One Redis, with an append-only file and `noeviction` as the ledger wants it, or without."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        durable: bool = True,
        appendfsync: str = "always",
        env: Mapping[str, str] | None = None,
        program: Path | None = None,
        maxmemory: int = 0,
    ) -> None:
        """`program` is another `redis-server` than the product's own; `maxmemory` is bytes, 0 no limit."""
        super().__init__(folder, port)
        self._durable = durable
        self._appendfsync = appendfsync
        self._env = env
        self._program = program
        self._maxmemory = maxmemory
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def _launch(self) -> Process:
        (self.folder / "data").mkdir(exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder / "data"),
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory": str(self._maxmemory),
            "maxmemory-policy": "noeviction",
        }
        flags = [part for key, value in options.items() for part in (f"--{key}", value)]
        return Process(
            [self._program or server_program(), *flags],
            log=self.folder / "redis.log",
            env=self._env,
            cwd=self.folder,
        )

    def _answers(self) -> bool:
        import redis

        with (
            contextlib.suppress(redis.RedisError, OSError),
            redis.Redis(port=self.port, socket_timeout=2) as client,
        ):
            return bool(client.ping())
        return False
