"""`soloist up`: it starts everything, shows how far it is, restarts what dies, and ends in order."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from cli import up
from cli.console import exit_code_of
from contract.catalog import Catalog, ModelSpec
from contract.errors import StartRefused
from contract.settings import Settings, load_settings
from local import supervisor, topology
from local.log_stream import LogStream
from local.processes import PROJECT, StartFailed, free_port
from local.redis import EmbeddedRedis
from local.run_file import read_run_file
from local.topology import Topology
from tests.support.fake_program import fake_spec, write_fake_program


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fake_program(tmp_path)
    monkeypatch.setattr(supervisor, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(up, "LEDGER_POLL_SECONDS", 0.01)


def fake_topology(*workers: str) -> Topology:
    return Topology(
        fake_spec("gateway", "plain", "SOLOIST_PORT", free_port()),
        fake_spec("keeper", "plain", "SOLOIST_KEEPER_PORT"),
        [fake_spec(f"m-{n}", how, "SOLOIST_WORKER_PORT") for n, how in enumerate(workers, 1)],
        [],
    )


class Scene:
    """An `up` with fake processes; `on` says what to do when a line that contains a text appears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self._acts: dict[str, Callable[[], None]] = {}
        scene = self

        class Watched(LogStream):
            def write_sentence(self, sentence: str, style: str = "") -> None:
                super().write_sentence(sentence, style)
                scene._see(sentence)

            def write_line(self, name: str, text: str) -> None:
                super().write_line(name, text)
                scene._see(f"{name} | {text}")

        monkeypatch.setattr(up, "LogStream", Watched)
        self._monkeypatch = monkeypatch

    def _see(self, line: str) -> None:
        self.lines.append(line)
        for text in [text for text in self._acts if text in line]:
            self._acts.pop(text)()

    def on(self, text: str, act: Callable[[], None]) -> "Scene":
        self._acts[text] = act
        return self

    def run(self, *workers: str, ledger: EmbeddedRedis | None = None, **settings: object) -> int:
        self._monkeypatch.setattr(up, "plan_topology", lambda *_: fake_topology(*workers))
        spec = ModelSpec(name="m", source="x/y", task="feature-extraction")
        given = Settings(log_format="text", **settings)  # type: ignore[arg-type]
        return asyncio.run(up.Up(given, Catalog([spec]), ledger, None).serve())

    def said(self, text: str) -> str:
        return next(line for line in self.lines if text in line)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield Scene(monkeypatch)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_it_shows_progress_the_address_a_call_and_its_answer(scene: Scene) -> None:
    assert scene.on("Ctrl-C ends it", interrupt).run("loads", "loads") == 0
    for phase in ("importing", "loading"):
        assert scene.said(f"m-1: {phase}")
    url = scene.said("Soloist answers at").split()[3]
    assert f"curl {url}/v1/models/local/m/predictions" in scene.said("curl")
    assert scene.said("384 numbers") == '[0.25, 0.25, 0.25, 0.25, "… 384 numbers"]'
    order = [scene.lines.index(scene.said(text)) for text in ("m-1 | ", "answers at", "ending")]
    assert order == sorted(order)


def test_the_workers_end_first_and_the_gateway_last(scene: Scene, tmp_path: Path) -> None:
    assert scene.on("Ctrl-C ends it", interrupt).run("plain", "plain") == 0
    ends = (tmp_path / "ends.txt").read_text().split("\n")
    assert sorted(ends[:2]) == ["ended m-1", "ended m-2"]
    assert ends[2:4] == ["ended keeper", "ended gateway"]


def test_sigterm_ends_it_too_also_while_it_loads(scene: Scene) -> None:
    scene.on("starting", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert scene.run("loads") == 0


def test_the_other_commands_find_it_while_it_runs(scene: Scene) -> None:
    seen = []

    def read_and_interrupt() -> None:
        seen.append(read_run_file(load_settings()))
        interrupt()

    scene.on("Ctrl-C ends it", read_and_interrupt).run("plain")
    assert seen[0].pid == os.getpid()
    assert seen[0].url in scene.said("answers at")
    assert read_run_file(load_settings()) is None


def test_a_process_that_dies_is_started_again(scene: Scene) -> None:
    assert scene.on("Ctrl-C ends it", interrupt).run("dies once") == 0
    assert scene.said("m-1 ended (killed by SIGKILL); it starts again in 0.01 s")
    assert scene.said("m-1 is ready again")


def test_a_process_that_refuses_to_start_ends_everything_with_its_reason(
    scene: Scene, tmp_path: Path
) -> None:
    with pytest.raises(StartRefused, match=r"^m-2: the model is broken$") as failure:
        scene.run("loads", "refuses")
    assert exit_code_of(failure.value) == 78


@pytest.mark.slow
def test_a_process_that_never_gets_ready_ends_everything(scene: Scene) -> None:
    with pytest.raises(StartFailed, match=r"^m-1: exit code 1: some trouble$") as failure:
        scene.run("crashes")
    assert exit_code_of(failure.value) == 1
    assert len([line for line in scene.lines if "starts again" in line]) == 5


def test_a_second_signal_kills(scene: Scene) -> None:
    scene.on("Ctrl-C ends it", interrupt).on("ending", interrupt)
    assert scene.run("stubborn", "plain") == 130


def test_what_outlives_its_grace_is_killed_and_the_exit_code_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "SLACK_SECONDS", 0.2)
    scene.on("Ctrl-C ends it", interrupt)
    assert scene.run("stubborn", grace_seconds=0.1) == 1


def test_the_embedded_ledger_is_stopped_last(scene: Scene, tmp_path: Path) -> None:
    ledger = EmbeddedRedis(tmp_path / "state")
    assert scene.on("Ctrl-C ends it", interrupt).run("plain", ledger=ledger) == 0
    assert not ledger.alive


def test_an_embedded_ledger_that_dies_is_started_again_with_its_data(
    scene: Scene, tmp_path: Path
) -> None:
    ledger = EmbeddedRedis(tmp_path / "state")
    kept: list[object] = []

    def crash() -> None:
        with redis.Redis.from_url(ledger.url) as connection:
            connection.set("kept", "yes")
        os.kill(ledger.pid, signal.SIGKILL)

    def read_and_interrupt() -> None:
        with redis.Redis.from_url(ledger.url) as connection:
            kept.append(connection.get("kept"))
        interrupt()

    scene.on("Ctrl-C ends it", crash).on("answers again", read_and_interrupt)
    assert scene.run("plain", ledger=ledger) == 0
    assert kept == [b"yes"]


@pytest.mark.slow
def test_when_it_is_killed_nothing_stays_behind(tmp_path: Path) -> None:
    script = f"""
    import sys
    sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(PROJECT)!r}]
    from pathlib import Path
    import pytest, test_up
    from local.redis import EmbeddedRedis
    with pytest.MonkeyPatch.context() as monkeypatch:
        scene = test_up.Scene(monkeypatch)
        scene.on("Ctrl-C ends it", lambda: print("READY", flush=True))
        scene.run("plain", ledger=EmbeddedRedis(Path("state")))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("READY" in line for line in process.stdout)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len([child for child in family if "redis-server" in child.name()]) == 1
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_a_taken_port_is_one_sentence(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda name: True)
    Path("catalog.yaml").write_text("models:\n  m:\n    python: m:C\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        before = psutil.Process().children()
        result = soloist("up", "--port", str(port))
    assert result.code == 1
    assert result.err == f"soloist: port {port} is taken; choose another with --port\n"
    assert psutil.Process().children() == before


def test_an_embedded_ledger_has_no_replicas(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("catalog.yaml").write_text("models:\n  m:\n    python: m:C\n")
    monkeypatch.setenv("SOLOIST_LEDGER_REPLICAS", "1")
    result = soloist("up")
    assert result.code == 78
    assert "the embedded Redis has no replica" in result.err
    assert "SOLOIST_REDIS_URL" in result.err


def test_a_missing_catalog_says_how_to_name_one(soloist) -> None:
    result = soloist("up")
    assert result.code == 78
    assert "cannot read the catalog catalog.yaml" in result.err
    assert "--catalog FILE" in result.err


def test_missing_parts_are_named(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda name: None)
    Path("catalog.yaml").write_text("models:\n  m:\n    python: m:C\n")
    result = soloist("up")
    assert result.code == 1
    assert "pip install 'soloist[gateway,worker]'" in result.err
