"""The device plugin against a kubelet of real gRPC."""

import base64
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import kubernetes_validate
import pytest
from device_plugin import DevicePlugin
from grpc_wire import Method, RpcFailed, Server, call, framed, unframed
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, PingAckReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes, Settings
from manifests import PLUGIN, PROGRAM, device_plugin, models, plugin_program
from protobuf_wire import field, fields, number

from tests.support.waiting import until

pytestmark = pytest.mark.slow

RESOURCE = "soloist.test/gpu"
SERVICE = "/v1beta1.DevicePlugin/"
SECONDS = 20.0

# Written by Google's protobuf from the kubelet's api.proto.
REGISTER_REQUEST = (
    b"\n\x07v1beta1\x12\x15soloist.test-gpu.sock\x1a\x10soloist.test/gpu"  # version, endpoint, name
)
DEVICES = (
    b"\n\x14\n\tpretend-0\x12\x07Healthy\n\x14\n\tpretend-1\x12\x07Healthy"
    b"\n\x14\n\tpretend-2\x12\x07Healthy"
)
ALLOCATE_REQUEST = b"\n\x0b\n\tpretend-1\n\x16\n\tpretend-0\n\tpretend-2"
ALLOCATE_RESPONSE = (
    b"\n\x1a\n\x18\n\x0bPRETEND_GPU\x12\tpretend-1"
    b'\n$\n"\n\x0bPRETEND_GPU\x12\x13pretend-0,pretend-2'
)
PREFERRED_REQUEST = b"\n.\n\tpretend-2\n\tpretend-0\n\tpretend-1\x12\tpretend-2\x18\x02"
PREFERRED_RESPONSE = b"\n\x16\n\tpretend-2\n\tpretend-0"


class Kubelet:
    """The kubelet's side: takes registrations on `kubelet.sock`, calls plugins on theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registered: list[bytes] = []
        self.refuses = False
        self._pool = futures.ThreadPoolExecutor(4)
        self._channel: grpc.Channel | None = None
        self.start()

    def start(self) -> None:
        """As a kubelet starts: every socket in the folder goes, its own is made anew."""
        for left in self.folder.glob("*.sock"):
            left.unlink()
        handler = grpc.unary_unary_rpc_method_handler(self._register)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": handler})]
        )
        self._server.add_insecure_port(f"unix:{self.folder / 'kubelet.sock'}")
        self._server.start()

    def stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._server.stop(None).wait()

    def _register(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not 100 % what was asked for")
        self.registered.append(request)
        return b""

    def wait_for_registration(self, count: int = 1) -> None:
        until("the plugin registers", lambda: len(self.registered) >= count, SECONDS)

    def channel(self, *options: tuple[str, int]) -> grpc.Channel:
        endpoint = dict(fields(self.registered[-1]))[2]
        if self._channel is not None:
            self._channel.close()
        path = self.folder / endpoint.decode()
        self._channel = grpc.insecure_channel(f"unix:{path}", options=options)
        return self._channel

    def ask(self, method: str, request: bytes, channel: grpc.Channel | None = None) -> bytes:
        channel = channel or self.channel()
        return channel.unary_unary(SERVICE + method)(request, timeout=SECONDS)


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    kubelet = Kubelet(tmp_path)
    yield kubelet
    kubelet.stop()


@pytest.fixture
def start(kubelet: Kubelet) -> Iterator[Callable[[int], None]]:
    """Start a plugin with so many devices."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def begin(count: int = 3) -> None:
        plugin = DevicePlugin(kubelet.folder, RESOURCE, count)
        threads.append(threading.Thread(target=plugin.run, args=(stop,)))
        threads[-1].start()
        kubelet.wait_for_registration()

    yield begin
    stop.set()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_it_registers_and_lists_its_devices(kubelet: Kubelet, start: Callable[[], None]) -> None:
    start()
    assert kubelet.registered == [REGISTER_REQUEST]
    assert kubelet.ask("GetDevicePluginOptions", b"") == b""
    stream = kubelet.channel().unary_stream(f"{SERVICE}ListAndWatch")(b"")
    assert next(stream) == DEVICES
    # The stream stays open: its end would tell the kubelet that the devices are gone.
    late = futures.ThreadPoolExecutor(1).submit(next, stream)
    with pytest.raises(futures.TimeoutError):
        late.result(0.5)
    stream.cancel()
    with pytest.raises(grpc.RpcError):
        late.result(SECONDS)


def test_each_container_gets_its_own_devices_in_a_variable(
    kubelet: Kubelet, start: Callable[[], None]
) -> None:
    start()
    assert kubelet.ask("Allocate", ALLOCATE_REQUEST) == ALLOCATE_RESPONSE
    assert kubelet.ask("GetPreferredAllocation", PREFERRED_REQUEST) == PREFERRED_RESPONSE
    assert kubelet.ask("PreStartContainer", field(1, "pretend-0")) == b""


def test_it_registers_again_when_the_kubelet_starts_anew(
    kubelet: Kubelet, start: Callable[[], None]
) -> None:
    start()
    stream = kubelet.channel().unary_stream(f"{SERVICE}ListAndWatch")(b"")
    next(stream)
    kubelet.stop()
    kubelet.start()
    kubelet.wait_for_registration(2)
    assert kubelet.ask("Allocate", ALLOCATE_REQUEST) == ALLOCATE_RESPONSE


def test_a_refused_registration_is_tried_again(
    kubelet: Kubelet, start: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    kubelet.refuses = True
    plugin = DevicePlugin(kubelet.folder, RESOURCE, 1)
    with pytest.raises(RpcFailed, match="not 100 % what was asked for"):
        plugin.look()
    plugin._close()
    kubelet.refuses = False
    start()
    told = f"registered 3 devices of {RESOURCE}"
    until("the plugin says so", lambda: told in capsys.readouterr().out, SECONDS)


def test_many_calls_and_long_lists_fit_through_one_connection(
    kubelet: Kubelet, start: Callable[[int], None]
) -> None:
    start(20_000)  # 500 kB: larger than frames and windows
    options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 1)]
    channel = kubelet.channel(*options)
    streams = [channel.unary_stream(f"{SERVICE}ListAndWatch")(b"") for _ in range(5)]
    devices = [field(1, f"pretend-{n}") for n in range(20_000)]
    for stream in streams:
        assert next(stream).count(b"Healthy") == len(devices)
        stream.cancel()
    for _ in range(50):
        assert kubelet.ask("Allocate", ALLOCATE_REQUEST, channel) == ALLOCATE_RESPONSE
    large = field(1, b"".join(devices))
    assert kubelet.ask("Allocate", large, channel).count(b"pretend-") == len(devices)


def test_what_it_does_not_know_is_refused_and_the_connection_goes_on(
    kubelet: Kubelet, start: Callable[[], None]
) -> None:
    start()
    channel = kubelet.channel()
    for method, request in (("Nothing", b""), ("Allocate", b"\x0a\xff")):
        with pytest.raises(grpc.RpcError) as failed:
            kubelet.ask(method, request, channel)
        assert failed.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN)
    assert kubelet.ask("Allocate", ALLOCATE_REQUEST, channel) == ALLOCATE_RESPONSE


@pytest.mark.parametrize("authority", ["localhost", "%2Fvar%2Flib%2Fplugin.sock", "a b", ""])
def test_a_client_that_opens_as_grpc_go_does_is_answered(
    kubelet: Kubelet, start: Callable[[], None], authority: str
) -> None:
    """Settings with a closed window, a larger connection window, a ping ahead of the call."""
    start()
    http = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
    closed = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
    http.local_settings = Settings(client=True, initial_values=closed)
    http.initiate_connection()
    http.increment_flow_control_window(2**20)
    http.ping(b"bdp-ping")
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"{SERVICE}Allocate",
        ":authority": authority,
        "content-type": "application/grpc",
        "user-agent": "grpc-go/1.75",
        "te": "trailers",
        "grpc-timeout": "10S",
    }
    http.send_headers(1, list(headers.items()))
    request = framed(ALLOCATE_REQUEST)
    http.send_data(1, request[:7])
    http.send_data(1, request[7:], end_stream=True)
    seen, answer, trailers = set(), b"", {}
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(SECONDS)
        line.connect(str(kubelet.folder / "soloist.test-gpu.sock"))
        line.sendall(http.data_to_send())
        while StreamEnded not in seen:
            for event in http.receive_data(line.recv(65536)):
                seen.add(type(event))
                answer += event.data if isinstance(event, DataReceived) else b""
                trailers |= dict(event.headers) if isinstance(event, TrailersReceived) else {}
            if len(answer) < 20:  # a few bytes at a time
                http.increment_flow_control_window(9, 1)
            elif StreamEnded not in seen:
                http.increment_flow_control_window(1000, 1)
            line.sendall(http.data_to_send())
    assert PingAckReceived in seen
    assert unframed(answer) == ALLOCATE_RESPONSE
    assert trailers["grpc-status"] == "0"


def test_a_caller_learns_what_went_wrong(tmp_path: Path) -> None:
    def fail(request: bytes) -> bytes:
        raise ValueError("no such device")

    with Server(tmp_path / "s", {"/a": Method(fail), "/b": Method(lambda request: request)}):
        with pytest.raises(RpcFailed, match="no such device"):
            call(tmp_path / "s", "/a", b"")
        assert call(tmp_path / "s", "/b", b"x" * 300) == b"x" * 300
    with pytest.raises(FileNotFoundError):
        call(tmp_path / "s", "/b", b"")


def test_garbage_closes_the_connection_and_nothing_else(tmp_path: Path) -> None:
    with Server(tmp_path / "s", {"/b": Method(lambda request: request)}):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(SECONDS)
            line.connect(str(tmp_path / "s"))
            line.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
            while line.recv(65536):
                pass
        assert call(tmp_path / "s", "/b", b"x") == b"x"


def test_messages_that_are_cut_off_are_no_messages() -> None:
    for broken in (b"\x0a\x05abc", b"\x0a", b"\x08\xff", b"\x08" + b"\xff" * 11, b"\x0b"):
        with pytest.raises(ValueError, match=r"cut off|bytes|wire type"):
            list(fields(broken))
    unknown = b"\x09" + bytes(8) + b"\x15" + bytes(4)
    assert list(fields(unknown + field(3, 300) + field(4, "x"))) == [(3, 300), (4, b"x")]
    assert (number(field(3, 300), 3), number(b"", 3)) == (300, 0)


def test_the_packed_program_needs_nothing_but_python(kubelet: Kubelet, tmp_path: Path) -> None:
    program = tmp_path / PROGRAM
    program.write_bytes(plugin_program())
    # -S -I: no installed package, no variable, no folder but the file itself.
    command = [sys.executable, "-S", "-I", program, "--resource", RESOURCE, "--devices", "3"]
    with subprocess.Popen([*command, "--folder", tmp_path], stdout=subprocess.PIPE) as process:
        try:
            kubelet.wait_for_registration()
            assert kubelet.ask("Allocate", ALLOCATE_REQUEST) == ALLOCATE_RESPONSE
        finally:
            process.terminate()
        assert process.wait(SECONDS) == 0
        assert b"registered 3 devices" in process.stdout.read()


def test_its_manifest_runs_the_program_as_root_on_every_node() -> None:
    config, daemons = device_plugin("api:1", RESOURCE, 3)
    for thing in (config, daemons, models()):
        kubernetes_validate.validate(thing, "1.36", strict=True)
    packed = config["binaryData"][PROGRAM]
    assert len(packed) < 1024 * 1024 * 0.9
    assert base64.b64decode(packed)[:2] == b"PK"
    pod = daemons["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["args"] == ["--resource", RESOURCE, "--devices", "3"]
    assert container["securityContext"]["runAsUser"] == 0
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert {v["name"] for v in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    assert config["metadata"]["name"] == pod["volumes"][0]["configMap"]["name"] == PLUGIN
