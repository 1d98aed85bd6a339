"""A RabbitMQ of one measurement or test: private, on loopback, gone when it is over."""

import contextlib
import shutil
from pathlib import Path

from local.processes import Process, StartFailed, free_port
from local.server import Server

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's wrapper changes the user
START_SECONDS = 90.0
# Schedulers that spin while idle would take the core that they share with what is measured;
# https://www.rabbitmq.com/docs/runtime#busy-waiting recommends the same for containers.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ(Server):
    """One RabbitMQ node without plugins, with an epmd of its own: ``with RabbitMQ(folder) as broker: broker.url``."""

    stop_seconds = 30.0

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(folder, port)
        self._node = f"soloist{self.port}@localhost"
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._epmd: Process | None = None

    @staticmethod
    def installed() -> bool:
        return SCRIPT.exists() and shutil.which("epmd") is not None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def pids(self) -> list[int]:
        return super().pids + ([self._epmd.pid] if self._epmd else [])

    def start(self) -> None:
        """Start it on the same port with the data it had, and return when it answers.

        Raises:
            StartFailed: it is not installed, ended, or did not answer in time.
        """
        if self.alive:
            return
        self.kill()
        try:
            self._process = self._launch()
            self._process.wait_until(self._answers, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        super().kill()
        if self._epmd:
            self._epmd.kill()
            self._epmd = None

    def delete_data(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _launch(self) -> Process:
        epmd = shutil.which("epmd")
        if not epmd or not self.installed():
            raise StartFailed("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._write_config()
        environment = self._environment()
        # An epmd that the node starts by itself would be a daemon that outlives it.
        self._epmd = Process(
            [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self.folder / "log/epmd.log",
            env=environment,
        )
        return Process(
            [SCRIPT],
            log=self.folder / "log/rabbitmq.log",
            env=environment,
            cwd=self.folder,
        )

    def _write_config(self) -> None:
        for name in ("data", "log", "config"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "config/enabled_plugins").write_text("[].\n")
        (self.folder / "config/env").write_text("")
        (self.folder / "config/rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "log.file = false\nlog.console = true\nlog.console.level = warning\n"
            "disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n"
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
