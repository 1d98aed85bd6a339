"""The packaged chart: the images of its build by their digests, and a registry that takes and gives it."""

import hashlib
import json
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from cli.console import Failure, run_command
from contract import __version__
from k8s import package
from k8s.render import ROOT
from k8s.values import CHART, load_values, merge
from tests.charts.rendering import HELM, environment
from tests.support.external_tools import missing

API, WORKER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGES = {
    "registry": "registry.example.org/ml",
    "api": {"digest": API},
    "worker": {"digest": WORKER},
}


@pytest.fixture(params=HELM)
def helm(request: pytest.FixtureRequest) -> str:
    path = HELM[request.param]
    if not path.is_file():
        missing(f"no {path.relative_to(ROOT)}: make helm")
    return str(path)


@pytest.fixture
def packed(helm: str, tmp_path: Path) -> Path:
    return package.make(helm, tmp_path, IMAGES)


def read(packed: Path, name: str) -> str:
    with tarfile.open(packed) as archive:
        file = archive.extractfile(f"soloist/{name}")
        assert file
        return file.read().decode()


def test_a_package_is_of_the_version_of_the_code(packed: Path) -> None:
    described = yaml.safe_load(read(packed, "Chart.yaml"))

    assert described["appVersion"] == __version__
    assert packed.name == f"soloist-{described['version']}.tgz"


def test_a_package_holds_the_digests_and_nothing_else_is_changed(packed: Path) -> None:
    text = read(packed, "values.yaml")

    assert yaml.safe_load(text) == merge(load_values([]), {"images": IMAGES})
    own = (CHART / "values.yaml").read_text("utf-8")
    assert re.findall("#.*", text) == re.findall("#.*", own)


def test_a_package_holds_the_profiles_and_what_the_chart_has(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = {member.name.removeprefix("soloist/") for member in archive if member.isfile()}

    assert names == {p.relative_to(CHART).as_posix() for p in CHART.rglob("*") if p.is_file()}


def images_of(helm: str, *chart: str) -> set[str]:
    """The images of ours that the chart's pods run."""
    done = subprocess.run(
        [helm, "template", "soloist", *chart],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return set(re.findall(r"image: (\S+soloist-\S+)", done.stdout))


BY_DIGEST = {
    f"registry.example.org/ml/soloist-api@{API}",
    f"registry.example.org/ml/soloist-worker@{WORKER}",
}


def test_what_is_installed_from_a_package_runs_the_images_of_its_build(
    helm: str, packed: Path
) -> None:
    assert images_of(helm, str(packed)) == BY_DIGEST


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"api": {"digest": "latest"}}, "--api: 'latest' is no digest; give sha256: and 64 hex digits"),
        ({"worker": {"digest": ""}}, "--worker: '' is no digest"),
        ({"registry": ""}, "--registry: say where the images are, as in registry.example.org/ml"),
        ({"registry": "https://a.b/ml"}, "--registry: 'https://a.b/ml' has a scheme; leave it out"),
    ],
)  # fmt: skip
def test_what_is_no_digest_is_refused(changes: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=re.escape(says)):
        package.make("helm", tmp_path, {**IMAGES, **changes})


def test_values_without_a_place_for_digests_are_noticed() -> None:
    with pytest.raises(Failure, match="no `images` with a registry and two digests"):
        package.fill_in_digests(
            'images:\n  registry: ""\n  api: {digest: ""}\n  worker: {}\n', IMAGES
        )


def test_the_command_says_where_the_package_is(
    helm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(package, "find_helm", lambda: helm)
    options = ["--registry", IMAGES["registry"], "--api", API, "--worker", WORKER]
    code = run_command(package.app, "python -m k8s.package", [*options, "--out", str(tmp_path)])  # type: ignore[list-item]

    assert code == 0
    assert capsys.readouterr().out == f"{tmp_path}/soloist-{__version__}.tgz\n"


# --- a registry -------------------------------------------------------------------------------------


class Registry(BaseHTTPRequestHandler):
    """As much of the OCI distribution API as a push and a pull of a chart need."""

    protocol_version = "HTTP/1.1"
    blobs: dict[str, bytes]
    manifests: dict[str, tuple[str, bytes]]

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        kind, _, reference = self.path.rpartition("/")
        if kind.endswith("/blobs") and reference in self.blobs:
            self._say(200, self.blobs[reference], docker_content_digest=reference)
        elif kind.endswith("/manifests") and reference in self.manifests:
            media, body = self.manifests[reference]
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self._say(200, body, content_type=media, docker_content_digest=digest)
        else:
            self._say(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._say(202, location=f"http://{self.headers['host']}/v2/charts/soloist/blobs/uploads/1")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if "/manifests/" in self.path:
            reference = self.path.rpartition("/")[2]
            for name in (digest, reference):
                self.manifests[name] = (self.headers["content-type"], body)
        else:
            self.blobs[digest] = body
        self._say(201, docker_content_digest=digest, location=self.path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.blobs, Registry.manifests = {}, {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"oci://127.0.0.1:{server.server_port}/charts"
        server.shutdown()
        thread.join()


def test_a_registry_takes_the_package_and_an_install_gets_it_from_there(
    helm: str, packed: Path, registry: str
) -> None:
    push = [helm, "push", str(packed), registry, "--plain-http"]
    pushed = subprocess.run(push, capture_output=True, text=True, env=environment())

    assert pushed.returncode == 0, pushed.stderr
    _, manifest = Registry.manifests[__version__]
    assert json.loads(manifest)["annotations"]["org.opencontainers.image.version"] == __version__
    chart = f"{registry}/soloist", "--version", __version__, "--plain-http"
    assert images_of(helm, *chart) == BY_DIGEST


def test_the_page_of_publishing_names_the_package_of_now(packed: Path) -> None:
    page = (ROOT / "docs" / "publishing.md").read_text("utf-8")

    assert f"helm push dist/{packed.name} oci://registry.example.org/charts" in page
    assert set(re.findall(r"--version (\S+)", page)) == {__version__}
    for target, value in re.findall(r"^make (\w+) (\w+)=", page, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert value == "REGISTRY"
    bake = json.loads((ROOT / "docker-bake.json").read_text("utf-8"))
    assert set(re.findall(r"`([A-Z]+_?[A-Z_]+)`", page)) <= bake["variable"].keys()
    assert set(re.findall(r"jq -r '\.(\w+)", page)) == set(bake["group"]["default"]["targets"])
