"""A Redis behind Sentinel: a primary, its replicas and sentinels, real processes on loopback."""

import contextlib
from pathlib import Path
from typing import Any, Self

import redis

from local.processes import Process, free_port
from local.server import Server
from tests.support.external_tools import newest_redis
from tests.support.waiting import until

SERVICE = "ledger"
START_SECONDS = 30.0
DOWN_MILLISECONDS = 1500
"""Long enough that a busy machine does not make sentinels fail over twice."""
FAILOVER_SECONDS = 30.0


class Node(Server):
    """One Redis of the set; it keeps its port and its data over restarts."""

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(folder)
        self._password = password

    def start(self, primary: "Node | None" = None) -> None:
        """Start it, as a replica where a primary is named, and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.folder,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": 0,
        }
        if self._password:
            options |= {"requirepass": self._password, "masterauth": self._password}
        if primary:
            options["replicaof"] = f"127.0.0.1 {primary.port}"
        flags: list[str] = []
        for name, value in options.items():
            flags += [f"--{name}", *(str(value).split() if name == "replicaof" else [str(value)])]
        command = [newest_redis(), *flags]
        self._process = Process(command, log=self.folder / "redis.log", cwd=self.folder)
        self._process.wait_until(lambda: self.asked("ping"), START_SECONDS)

    def client(self) -> "redis.Redis[bytes]":
        return redis.Redis(port=self.port, password=self._password or None, socket_timeout=2)

    def asked(self, *command: str) -> Any:
        """The answer of this node itself; None when it gives none."""
        with contextlib.suppress(redis.RedisError, OSError), self.client() as client:
            return client.execute_command(*command)
        return None

    def role(self) -> str:
        return str((self.asked("info", "replication") or {}).get("role", "gone"))

    def in_step(self) -> bool:
        """A replica that has all that its primary wrote."""
        return (self.asked("info", "replication") or {}).get("master_link_status") == "up"


class Guarded:
    """The whole set. `url` names it as the settings want it."""

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        self.folder = folder.resolve()
        self.nodes = [Node(self.folder / f"node-{n}", password) for n in range(1 + replicas)]
        self.sentinel_ports = [free_port() for _ in range(sentinels)]
        self._password = password
        self._sentinel_password = sentinel_password
        self._sentinels: list[Process] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start all of them, once, and return when the sentinels know the whole set."""
        if self._sentinels:
            return
        first, *others = self.nodes
        first.start()
        for node in others:
            node.start(first)
        for port in self.sentinel_ports:
            self._sentinels.append(self._sentinel(port, first.port))
        until("the replicas are in step", lambda: all(node.in_step() for node in others))
        for port in self.sentinel_ports:
            until("the sentinels know all", lambda port=port: self._knows(port))

    def _sentinel(self, port: int, primary_port: int) -> Process:
        folder = self.folder / f"sentinel-{port}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} {len(self.sentinel_ports) // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MILLISECONDS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            lines.append(f"requirepass {self._sentinel_password}")
        config = folder / "sentinel.conf"
        config.write_text("\n".join(lines) + "\n")
        return Process(
            [newest_redis(), config, "--sentinel"], log=folder / "sentinel.log", cwd=folder
        )

    def _state(self, port: int) -> dict[str, Any]:
        """What one sentinel says of the primary; nothing while it does not answer."""
        with (
            contextlib.suppress(redis.RedisError, OSError, KeyError),
            redis.Redis(
                port=port, password=self._sentinel_password or None, socket_timeout=2
            ) as client,
        ):
            return dict(client.sentinel_masters()[SERVICE])
        return {}

    def _knows(self, port: int) -> bool:
        state = self._state(port)
        return (
            state.get("num-slaves") == len(self.nodes) - 1
            and state.get("num-other-sentinels") == len(self.sentinel_ports) - 1
            and bool(state.get("is_master"))
        )

    def named(self) -> int:
        """The port of the primary that the last sentinel names."""
        return int(self._state(self.sentinel_ports[-1]).get("port", 0))

    @property
    def primary(self) -> Node:
        port = self.named()
        return next(node for node in self.nodes if node.port == port)

    def promoted(self, instead_of: Node, seconds: float = FAILOVER_SECONDS) -> Node:
        """The new primary, once a sentinel names it and it takes writes."""

        def found() -> bool:
            return self.named() not in (0, instead_of.port) and self.primary.role() == "master"

        until("another is the primary", found, seconds)
        return self.primary

    def kill_sentinel(self) -> None:
        """The one that is named first."""
        self._sentinels[0].kill()

    def freeze_sentinel(self) -> None:
        """The one that is named first keeps its connections and answers nothing."""
        self._sentinels[0].pause()

    def resume(self) -> None:
        """Let frozen ones go on."""
        for node in self.nodes:
            node.resume()

    def kill(self) -> None:
        for process in self._sentinels:
            process.kill()
        for node in self.nodes:
            node.kill()
