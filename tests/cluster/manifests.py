"""What the suite puts into a cluster beside the chart: the device plugin and the models."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import h2
import hpack
import hyperframe
from device_plugin import FOLDER

HERE = Path(__file__).parent
LIBRARIES = (h2, hpack, hyperframe)
MODULES = ("device_plugin.py", "grpc_wire.py", "protobuf_wire.py")
PLUGIN = "pretend-devices"
PROGRAM = "device_plugin.zip"
MODELS = "pretend-models"

Object = dict[str, Any]


def plugin_program() -> bytes:
    """The device plugin with the libraries it needs, as one file for any `python`.

    It travels in a ConfigMap, so that it needs no image of its own; one holds at most 1 MiB.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as program:
        program.writestr("__main__.py", "from device_plugin import main\n\nmain()\n")
        for module in MODULES:
            program.write(HERE / module, module)
        for library in LIBRARIES:
            folder = Path(str(library.__file__)).parent
            for file in sorted(folder.rglob("*.py")):
                program.write(file, file.relative_to(folder.parent))
    return packed.getvalue()


def device_plugin(image: str, resource: str, count: int) -> list[Object]:
    """A DaemonSet that offers `count` pretend devices on each node."""
    program = base64.b64encode(plugin_program()).decode()
    labels = {"app": PLUGIN}
    container = {
        "name": "plugin",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", f"/plugin/{PROGRAM}"],
        "args": ["--resource", resource, "--devices", str(count)],
        # The kubelet's folder of sockets belongs to root.
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "volumeMounts": [
            {"name": "plugin", "mountPath": "/plugin", "readOnly": True},
            {"name": "sockets", "mountPath": str(FOLDER)},
        ],
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [
            {"name": "plugin", "configMap": {"name": PLUGIN}},
            {"name": "sockets", "hostPath": {"path": str(FOLDER), "type": "Directory"}},
        ],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PLUGIN},
            "binaryData": {PROGRAM: program},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": PLUGIN, "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


def models() -> Object:
    """A ConfigMap with the models' module."""
    module = "pretend_models.py"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": MODELS},
        "data": {module: (HERE / module).read_text()},
    }
