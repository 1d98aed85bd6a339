"""A device plugin for Kubernetes that offers pretend devices, so that scaling needs no GPU to be tested.

A container that asks for one finds its id in `PRETEND_GPU`. Source of the protocol:
https://github.com/kubernetes/kubelet/blob/master/pkg/apis/deviceplugin/v1beta1/api.proto
"""

import argparse
import signal
import threading
from pathlib import Path

from grpc_wire import Method, RpcFailed, Server, call
from protobuf_wire import field, messages, number, texts

FOLDER = Path("/var/lib/kubelet/device-plugins")
KUBELET = "kubelet.sock"
VERSION = "v1beta1"
LOOK_SECONDS = 1.0
VARIABLE = "PRETEND_GPU"


class DevicePlugin:
    """Offers `count` devices of `resource` to the kubelet whose sockets lie in `folder`."""

    def __init__(self, folder: Path, resource: str, count: int) -> None:
        self._folder = folder
        self._resource = resource
        self._devices = [f"pretend-{number}" for number in range(count)]
        self._socket = folder / f"{resource.replace('/', '-')}.sock"
        self._server: Server | None = None
        self._registered: tuple[int, int] | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve and register, and again whenever the kubelet starts anew, until `stop`."""
        try:
            while not stop.wait(LOOK_SECONDS):
                try:
                    self.look()
                except (OSError, RpcFailed) as error:
                    print(f"not registered: {error}", flush=True)
        finally:
            self._close()

    def look(self) -> None:
        """Register with a kubelet that does not know us yet.

        A kubelet that starts deletes all sockets of the folder and makes its own anew.

        Raises:
            OSError: the socket cannot be made, or the kubelet does not listen.
            RpcFailed: the kubelet refuses.
        """
        kubelet = identity(self._folder / KUBELET)
        if kubelet is None or (kubelet == self._registered and self._socket.exists()):
            return
        self._close()
        self._server = Server(self._socket, self._methods())
        call(self._folder / KUBELET, "/v1beta1.Registration/Register", self._introduction())
        self._registered = kubelet
        print(f"registered {len(self._devices)} devices of {self._resource}", flush=True)

    def _close(self) -> None:
        self._registered = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _introduction(self) -> bytes:
        """RegisterRequest; no options: neither a preferred allocation nor a call before each start."""
        return field(1, VERSION) + field(2, self._socket.name) + field(3, self._resource)

    def _methods(self) -> dict[str, Method]:
        methods = {
            "GetDevicePluginOptions": Method(lambda _: b""),
            "ListAndWatch": Method(self._list, stays=True),
            "Allocate": Method(self._allocate),
            "GetPreferredAllocation": Method(self._prefer),
            "PreStartContainer": Method(lambda _: b""),
        }
        return {f"/v1beta1.DevicePlugin/{name}": method for name, method in methods.items()}

    def _list(self, _: bytes) -> bytes:
        """Empty -> ListAndWatchResponse. Pretend devices never fall ill, so there is no second one."""
        return b"".join(field(1, field(1, id) + field(2, "Healthy")) for id in self._devices)

    def _allocate(self, request: bytes) -> bytes:
        """AllocateRequest -> AllocateResponse: each container finds its devices in a variable."""
        answer = b""
        for container in messages(request, 1):
            variable = field(1, VARIABLE) + field(2, ",".join(texts(container, 1)))
            answer += field(1, field(1, variable))
        return answer

    def _prefer(self, request: bytes) -> bytes:
        """PreferredAllocationRequest -> PreferredAllocationResponse: those that must be, then in order."""
        answer = b""
        for container in messages(request, 1):
            wanted = dict.fromkeys([*texts(container, 2), *sorted(texts(container, 1))])
            chosen = list(wanted)[: number(container, 3)]
            answer += field(1, b"".join(field(1, id) for id in chosen))
        return answer


def identity(path: Path) -> tuple[int, int] | None:
    """What changes when a file is made anew; None while it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def main() -> None:
    parser = argparse.ArgumentParser(description="Offer pretend devices to the kubelet.")
    parser.add_argument("--resource", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    stop = threading.Event()
    # As PID 1 of its container it would not end without.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    DevicePlugin(args.folder, args.resource, args.devices).run(stop)


if __name__ == "__main__":
    main()
