"""The columns that the documentation shows are what kubectl makes of a worker's pod."""

import re
import subprocess
from pathlib import Path

import pytest

from service.keeper.pods import COST, LOADED
from tests.charts.rendering import HELM
from tests.k8s.api_server import ApiServer
from tests.support.doc_blocks import blocks_of, run_in_shell
from tests.support.external_tools import missing
from tests.support.fake_api_server import served


@pytest.mark.slow
def test_the_documented_columns_show_what_a_worker_has_loaded_and_how_the_last_one_ended(
    tmp_path: Path,
) -> None:
    kubectl = HELM[4].with_name("kubectl")
    if not kubectl.exists():
        missing("kubectl is not there: make helm")
    (block,) = [b for b in blocks_of("docs/tracing-and-logs.md") if "custom-columns" in b.text]
    api = ApiServer()
    api.make_namespace("soloist")
    terminated = {"terminated": {"message": "killed"}}
    api.add(
        "/api/v1/namespaces/soloist/pods",
        "worker-1",
        kind="Pod",
        apiVersion="v1",
        labels={"app.kubernetes.io/component": "worker", "soloist/model": "spam"},
        annotations={COST: "17", LOADED: "float32 on cpu, 3 s"},
        status={"containerStatuses": [{"ready": True, "restartCount": 2, "lastState": terminated}]},
    )
    with served(api, tmp_path) as kubeconfig:
        done: subprocess.CompletedProcess[str] = run_in_shell(
            block.text, tmp_path, kubectl.parent, "", KUBECONFIG=str(kubeconfig)
        )

    assert done.returncode == 0, done.stderr
    heading, row = (re.split(r"  +", line.strip()) for line in done.stdout.splitlines())
    assert heading == ["POD", "MODEL", "READY", "BUSY", "LOADED", "RESTARTS", "ENDED"]
    assert row == ["worker-1", "spam", "true", "17", "float32 on cpu, 3 s", "2", "killed"]
