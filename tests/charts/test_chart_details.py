"""What values become where a glance at the template does not show it."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.charts.effects import EFFECTS, Effect, nested
from tests.charts.objects import by_name, pod, scaled_object, walk
from tests.charts.rendering import Object, Refusal, render
from tests.charts.scenarios import SHOUT, SPAM, merged, model

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def terms(affinity: dict[str, Any]) -> list[dict[str, Any]]:
    """The terms of which a node has to fulfil one."""
    values = {
        "gpu": {"mode": "devicePlugin", "products": ["NVIDIA-L4"]},
        **model(affinity=affinity),
    }
    spec = pod(render(values), "worker").spec
    return spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]


def test_every_term_of_an_affinity_asks_for_the_product() -> None:
    product = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4"]}
    zone = {"key": "zone", "operator": "Exists"}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["a"]}]
    mine = {"nodeSelectorTerms": [{"matchExpressions": [zone]}, {"matchFields": fields}]}

    assert terms({}) == [{"matchExpressions": [product]}]
    assert terms({"podAffinity": {}}) == [{"matchExpressions": [product]}]
    assert terms({"nodeAffinity": {REQUIRED: mine}}) == [
        {"matchExpressions": [zone, product]},
        {"matchFields": fields, "matchExpressions": [product]},
    ]


def test_numbers_in_an_environment_stay_as_they_are() -> None:
    env = {"MOST": 10_000_000, "SHARE": 0.25, "ON": True, "TEXT": "1e3", "NOTHING": ""}
    for values in (model(env=env), {"gateway": {"env": env}}, {"keeper": {"env": env}}):
        objects = render(values)
        seen = {
            name: each["value"]
            for component in ("gateway", "keeper", "worker")
            for name, each in pod(objects, component).env(component).items()
            if name in env
        }
        assert seen == {
            "MOST": "10000000",
            "SHARE": "0.25",
            "ON": "true",
            "TEXT": "1e3",
            "NOTHING": "",
        }


def of_text() -> list[Effect]:
    """Every key that takes any text."""
    return [effect for effect in EFFECTS if isinstance(effect.value, str)]


@pytest.mark.parametrize("effect", of_text(), ids=lambda effect: effect.key)
def test_a_text_of_digits_stays_a_text(effect: Effect) -> None:
    values = merged(effect.after, nested(effect.key, "12345"))
    try:
        found = render(values)
    except Refusal as refused:
        assert re.search(r"does not match|must be one of|there is no model", str(refused))  # noqa: PT017
        return
    assert [path for path, value in walk(found) if value == 12345] == []


def test_a_name_that_yaml_takes_for_true_stays_a_name() -> None:
    window = {"start": "0 8 * * *", "end": "0 9 * * *", "replicas": 1}
    secret = {"on": {"name": "yes", "key": "no"}}
    objects = render(model(scaling={"warm": {"on": window}}, envFromSecrets=secret))

    assert scaled_object(objects)["spec"]["triggers"][-1]["name"] == "on"
    reference = pod(objects, "worker").env("worker")["on"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "yes", "key": "no"}


def egress_ports(objects: list[Object]) -> list[Any]:
    """The ports that workers may call anywhere."""
    policy = by_name(objects)["NetworkPolicy/soloist-worker"]
    rules = [rule for rule in policy["spec"]["egress"] if "to" not in rule]
    return [port["port"] for rule in rules for port in rule["ports"]]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("", 443),
        ("https://hub.example.org", 443),
        ("http://hub.example.org/hf", 80),
        ("http://10.0.0.7:8080", 8080),
        ("https://[fd00::7]:8443/hf", 8443),
    ],
)
def test_a_worker_may_reach_the_hub_that_it_fetches_from(endpoint: str, port: int) -> None:
    assert egress_ports(render(model(hub={"endpoint": endpoint}))) == [port]


def test_the_keeper_may_reach_the_kubernetes_api_where_clusters_have_it() -> None:
    def ports(values: dict[str, Any]) -> list[int]:
        policy = by_name(render(values))["NetworkPolicy/soloist-keeper"]
        (rule,) = [each for each in policy["spec"]["egress"] if "to" not in each]
        return [port["port"] for port in rule["ports"]]

    assert ports({}) == [443, 6443, 8443, 16443]
    assert ports({"networkPolicy": {"kubernetesPorts": [7443]}}) == [7443]


def test_a_worker_that_fetches_nothing_may_call_nobody() -> None:
    assert egress_ports(render({})) == []
    assert egress_ports(render(model(hub={"fetch": False}))) == []


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://collector:4318", 4318), ("https://otlp.example.org/base", 443)]
)
def test_traces_may_reach_the_collector_that_gets_them(endpoint: str, port: int) -> None:
    objects = render({"tracing": {"otlpEndpoint": endpoint, "ratio": 0.1}})

    assert egress_ports(objects) == [port]
    for component in ("gateway", "keeper", "worker"):
        env = pod(objects, component).env(component)
        assert env["SOLOIST_OTLP_ENDPOINT"]["value"] == endpoint
        assert env["SOLOIST_TRACE_RATIO"]["value"] == "0.1"


@pytest.mark.parametrize(
    ("source", "fetches"),
    [
        ("my-team/spam", True),
        ("gpt2", True),
        ("/models/spam", False),
        ("./spam", False),
        ("~/spam", False),
        ("package:spam/model", False),
    ],
)
def test_only_what_lies_on_the_hub_is_fetched(source: str, fetches: bool) -> None:
    spec = pod(render(model({**SPAM, "source": source})), "worker").spec

    assert ("initContainers" in spec) == fetches
    assert "initContainers" not in pod(render(model(SHOUT)), "worker").spec


def test_the_token_of_the_hub_reaches_only_the_container_that_fetches() -> None:
    found = pod(render(model(hub={"tokenSecret": {"name": "hub"}})), "worker")

    assert found.env("fetch")["HF_TOKEN"]["valueFrom"] == {
        "secretKeyRef": {"name": "hub", "key": "token"}
    }
    assert "HF_TOKEN" not in found.env("worker")


def test_the_container_that_fetches_can_say_in_the_ledger_why_it_failed() -> None:
    values = model() | {
        "broker": {"mode": "bundled"},
        "ledger": {
            "mode": "external",
            "existingSecret": "redis",
            "external": {"host": "redis.data", "tls": {"enabled": True, "caSecret": "authority"}},
        },
    }
    found = pod(render(values), "worker")
    fetch, worker = found.env("fetch"), found.env("worker")

    for name in ("SOLOIST_REDIS_URL", "SOLOIST_REDIS_PASSWORD", "SOLOIST_PREFIX"):
        assert fetch[name] == worker[name]
    assert not [name for name in fetch if "BROKER" in name]
    # With the ledger's authority alone it would trust no hub.
    assert "SSL_CERT_FILE" in worker
    assert "SSL_CERT_FILE" not in fetch


@pytest.mark.parametrize("password", ["plain", 'a"b\\c', "100%s $HOME `id` 'x'", "#no comment"])
def test_any_password_reaches_the_bundled_redis(password: str, tmp_path: Path) -> None:
    """The pod's own script, with a redis-server that shows the file that it was given."""
    (script,) = pod(render({}), "ledger").container("redis")["args"]
    shown = tmp_path / "redis-server"
    shown.write_text('#!/bin/sh\ncat "$1"\n')
    shown.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script.replace("/tmp/", f"{tmp_path}/")],  # noqa: S108 - the pod's
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": password},
        capture_output=True,
        text=True,
        check=True,
    )

    # Redis reads what stands in quotes as C does.
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    assert done.stdout == f'include /etc/redis/redis.conf\nrequirepass "{escaped}"\n'
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0


def test_the_bundled_redis_keeps_what_it_accepted() -> None:
    config = by_name(render({}))["ConfigMap/soloist-ledger"]["data"]["redis.conf"].splitlines()

    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(config)


def test_the_bundled_rabbitmq_keeps_nothing_that_could_outlive_its_password() -> None:
    """Its data would know the password of its first start only; and it has nothing to lose."""
    broker = by_name(render({"broker": {"mode": "bundled"}}))["StatefulSet/soloist-broker"]

    assert "volumeClaimTemplates" not in broker["spec"]
    volumes = broker["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "emptyDir": {}} in volumes


def test_a_changed_configuration_of_the_bundled_redis_restarts_it() -> None:
    before, after = (
        pod(render({"ledger": {"bundled": {"maxmemory": most}}}), "ledger").annotations
        for most in ("256mb", "512mb")
    )

    assert before["checksum/config"] != after["checksum/config"]


def test_an_image_of_a_model_is_mounted_to_be_read_only() -> None:
    values = model({**SPAM, "source": "/models/a"}, cache={"type": "image", "image": "models:1"})
    (mount,) = (
        m
        for m in pod(render(values), "worker").container("worker")["volumeMounts"]
        if m["name"] == "models"
    )

    assert mount["readOnly"] is True
