"""`python -m k8s check` before an install: each thing the values ask for, there and missing."""

from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster
from release_objects import API_SERVICES, CLAIMS, SECRETS, STORAGE, condition

GPU = {"nvidia.com/gpu": "4"}


def spam(**settings: Any) -> dict[str, Any]:
    """Values with one model."""
    return {"models": {"spam": {"catalog": {"source": "a/b"}, **settings}}}


def on_gpu(mode: str = "devicePlugin", maximum: int = 4, **gpu: Any) -> dict[str, Any]:
    return spam(gpu={"mode": mode, **gpu}, scaling={"max": maximum})


def add_node(cluster: FakeCluster, name: str = "n1", **fields: Any) -> None:
    allocatable = fields.pop("allocatable", GPU)
    labels = fields.pop("labels", {"nvidia.com/gpu.product": "NVIDIA-L4"})
    cluster.add(
        "/api/v1/nodes", name, labels=labels, spec=fields, status={"allocatable": allocatable}
    )


def test_a_fit_cluster_has_only_good_lines(fit: FakeCluster, check: Run) -> None:
    result = check()

    assert result.code == 0
    assert all(line.startswith("ok ") for line in result.lines), result.out
    assert result.line("kubernetes") == f"ok kubernetes: v1.34.2 at {fit.url}"
    assert result.line("keda") == "ok keda: 2.20.2 in namespace keda"
    assert "StorageClass standard" in result.line("storage of ledger")


# --- Kubernetes and KEDA ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "values", "needs"),
    [
        ("v1.29.9", {}, "1.30"),
        ("v1.32.1", spam(cache={"type": "image", "image": "x"}), "1.33"),
        ("v1.33.4-gke.1", on_gpu("dra"), "1.34"),
    ],
)
def test_an_old_kubernetes_is_named_with_what_needs_a_newer_one(
    fit: FakeCluster, check: Run, version: str, values: dict[str, Any], needs: str
) -> None:
    fit.version = version
    result = check(values)

    assert result.code == 1
    assert result.line("kubernetes").startswith(f"error kubernetes: this is {version}, and ")
    assert f"needs {needs}; upgrade the cluster" in result.line("kubernetes")


def test_an_unreadable_version_is_a_warning(fit: FakeCluster, check: Run) -> None:
    fit.version = "main"

    assert check().line("kubernetes").startswith("warn ")


def operator(cluster: FakeCluster) -> dict[str, Any]:
    return cluster.objects["/apis/apps/v1/namespaces/keda/deployments/keda-operator"]


def test_keda_must_be_installed(fit: FakeCluster, check: Run) -> None:
    del fit.kinds["keda.sh/v1alpha1"]
    result = check()

    assert result.code == 1
    assert result.line("keda").endswith(
        "unknown here; install KEDA, see k8s/README.md, or set scaling.enabled: false"
    )
    assert [line for line in result.lines if line.startswith("error")] == result.lines[2:3]


def test_keda_must_be_new_enough(fit: FakeCluster, check: Run) -> None:
    operator(fit)["metadata"]["labels"]["app.kubernetes.io/version"] = "2.17.2"

    assert "error keda: it is 2.17.2, and the chart needs 2.18" in check().line("keda")


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("ghcr.io/kedacore/keda:2.19.0@sha256:ab", "ok keda: 2.19.0 in namespace keda"),
        ("ghcr.io/kedacore/keda:main", "warn keda: its version reads 'main'"),
    ],
)
def test_kedas_version_is_in_its_image_where_no_label_says_it(
    fit: FakeCluster, check: Run, image: str, line: str
) -> None:
    del operator(fit)["metadata"]["labels"]["app.kubernetes.io/version"]
    operator(fit)["spec"]["template"]["spec"]["containers"][0]["image"] = image

    assert check().line("keda").startswith(line)


def test_keda_must_run(fit: FakeCluster, check: Run) -> None:
    operator(fit)["status"] = {}

    assert check().line("keda").startswith("error keda: keda-operator is not available")


def test_a_keda_under_another_name_is_a_warning(fit: FakeCluster, check: Run) -> None:
    fit.objects.pop("/apis/apps/v1/namespaces/keda/deployments/keda-operator")

    assert check().line("keda").startswith("warn keda: its kinds are served, but no Deployment")


def test_the_network_policy_must_let_keda_in(fit: FakeCluster, check: Run) -> None:
    values = {"networkPolicy": {"kedaNamespace": "scalers"}}
    lines = [line for line in check(values).lines if "network policy" in line]

    assert lines[0].startswith(
        "error network policy of the ledger: KEDA runs in namespace keda, and only scalers"
    )
    assert lines[0].endswith("set networkPolicy.kedaNamespace: keda")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "is not registered; install KEDA"),
        ({"spec": {"service": {"name": "datadog"}}}, "belongs to datadog, and a cluster has only"),
        (
            {"status": {"conditions": [condition("Available", False, message="no endpoints")]}},
            "is not available: no endpoints; see the pods of keda-operator-metrics-apiserver",
        ),
    ],
)
def test_the_external_metrics_must_be_kedas_and_available(
    fit: FakeCluster, check: Run, change: dict[str, Any] | None, says: str
) -> None:
    path = f"{API_SERVICES}/v1beta1.external.metrics.k8s.io"
    if change is None:
        del fit.objects[path]
    else:
        fit.objects[path].update(change)
    line = check().line("external metrics")

    assert line.startswith("error external metrics: external.metrics.k8s.io ")
    assert says in line


# --- kinds of others --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "version", "kind"),
    [
        (
            {"monitoring": {"podMonitor": {"enabled": True}}},
            "monitoring.coreos.com/v1",
            "podmonitors",
        ),
        (
            {"monitoring": {"rules": {"enabled": True}}},
            "monitoring.coreos.com/v1",
            "prometheusrules",
        ),
        (
            {"gateway": {"httpRoute": {"enabled": True}}},
            "gateway.networking.k8s.io/v1",
            "httproutes",
        ),
        ({"broker": {"mode": "operator"}}, "rabbitmq.com/v1beta1", "rabbitmqclusters"),
    ],
)
def test_kinds_of_others_are_needed_only_where_the_values_ask(
    fit: FakeCluster, check: Run, values: dict[str, Any], version: str, kind: str
) -> None:
    fit.add("/api/v1/namespaces", "monitoring")
    assert kind not in check().out
    missing = check(values)
    assert missing.code == 1
    assert missing.line(kind).startswith(f"error {kind}: ")
    assert f"{version} is not served" in missing.line(kind)

    fit.kinds[version] = {kind}

    assert check(values).line(kind) == f"ok {kind}: served as {version}"


def test_the_gateways_hpa_needs_the_metrics_server(fit: FakeCluster, check: Run) -> None:
    values = {"gateway": {"hpa": {"enabled": True}}}
    assert check(values).line("metrics server").startswith("error ")

    fit.kinds["metrics.k8s.io/v1beta1"] = {"pods", "nodes"}

    assert check(values).line("metrics server").startswith("ok ")


# --- GPUs -------------------------------------------------------------------------------------------


def test_a_model_without_a_gpu_asks_no_node(fit: FakeCluster, check: Run) -> None:
    check(spam())

    assert not any("/nodes" in target for _, target in fit.requests)


def test_gpus_are_counted_over_the_nodes(fit: FakeCluster, check: Run) -> None:
    add_node(fit, "n1", allocatable={"nvidia.com/gpu": "3"})
    add_node(fit, "n2", allocatable={"nvidia.com/gpu": "1"})

    line = "ok gpus of spam: 4 nvidia.com/gpu on 2 nodes, for up to 4 workers"
    assert check(on_gpu()).line("gpus of spam") == line


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (on_gpu(maximum=9), "the nodes have 4 nvidia.com/gpu, for up to 9 workers"),
        (
            spam(gpu={"mode": "devicePlugin"}, scaling={"min": 6, "max": 9}),
            "the nodes have 4 nvidia.com/gpu, and it keeps at least 6 workers",
        ),
        (
            spam(gpu={"mode": "devicePlugin"}, scaling={"enabled": False, "replicas": 5}),
            "the nodes have 4 nvidia.com/gpu, and it keeps at least 5 workers",
        ),
        (on_gpu("mig"), "no node has nvidia.com/mig-1g.10gb now; they offer nvidia.com/gpu"),
        (on_gpu("shared"), "no node has nvidia.com/gpu.shared now; they offer nvidia.com/gpu"),
        (on_gpu(resource="nvidia.com/mig-3g.40gb"), "no node has nvidia.com/mig-3g.40gb now"),
        (on_gpu(products=["NVIDIA-H200"]), "have nvidia.com/gpu, but they are NVIDIA-L4 and not"),
        (
            spam(gpu={"mode": "devicePlugin"}, nodeSelector={"zone": "b"}),
            "but the model's nodeSelector takes none of them",
        ),
    ],
)
def test_too_few_gpus_are_a_warning_for_nodes_may_come_on_demand(
    fit: FakeCluster, check: Run, values: dict[str, Any], says: str
) -> None:
    add_node(fit)
    result = check(values)

    assert result.code == 0
    assert result.line("gpus of spam").startswith("warn ")
    assert says in result.line("gpus of spam")
    assert "nothing to do where nodes come" in result.out or "change gpu.products" in result.out


@pytest.mark.parametrize(
    ("taint", "tolerations", "level"),
    [
        ({"key": "nvidia.com/gpu", "effect": "NoSchedule"}, [], "ok"),
        ({"key": "team", "value": "a", "effect": "NoSchedule"}, [], "warn"),
        ({"key": "team", "value": "a", "effect": "PreferNoSchedule"}, [], "ok"),
        ({"key": "team", "value": "a", "effect": "NoSchedule"}, [{"operator": "Exists"}], "ok"),
        (
            {"key": "team", "value": "a", "effect": "NoExecute"},
            [{"key": "team", "value": "a", "effect": "NoExecute"}],
            "ok",
        ),
        (
            {"key": "team", "value": "a", "effect": "NoExecute"},
            [{"key": "team", "value": "b"}],
            "warn",
        ),
        (
            {"key": "team", "value": "a", "effect": "NoExecute"},
            [{"key": "team", "operator": "Exists", "effect": "NoSchedule"}],
            "warn",
        ),
    ],
)
def test_a_node_counts_only_if_its_taints_are_tolerated(
    fit: FakeCluster, check: Run, taint: dict[str, str], tolerations: list[Any], level: str
) -> None:
    add_node(fit, taints=[taint])
    values = spam(gpu={"mode": "devicePlugin"}, tolerations=tolerations)
    line = check(values).line("gpus of spam")

    assert line.startswith(f"{level} ")
    assert level == "ok" or "their taints are not tolerated" in line


def test_a_cordoned_node_counts_as_none(fit: FakeCluster, check: Run) -> None:
    add_node(fit, unschedulable=True)

    assert "no node has nvidia.com/gpu now" in check(on_gpu()).line("gpus of spam")


def test_dra_needs_a_device_class_and_a_driver(fit: FakeCluster, check: Run) -> None:
    resources = "/apis/resource.k8s.io/v1"
    missing = check(on_gpu("dra"))
    assert missing.code == 1
    assert "there is no DeviceClass gpu.nvidia.com" in missing.line("gpus of spam")

    fit.add(f"{resources}/deviceclasses", "gpu.nvidia.com")
    assert "no driver publishes a device" in check(on_gpu("dra")).line("gpus of spam")

    fit.add(f"{resources}/resourceslices", "n1", spec={"devices": [{}, {}]})
    assert "ok gpus of spam: DeviceClass" in check(on_gpu("dra")).line("gpus of spam")


# --- storage ----------------------------------------------------------------------------------------


def test_a_default_storage_class_is_needed_where_none_is_named(
    fit: FakeCluster, check: Run
) -> None:
    fit.objects[f"{STORAGE}/standard"]["metadata"]["annotations"] = {}
    result = check()

    assert result.code == 1
    assert "has no default StorageClass" in result.line("storage of ledger")
    named = {"ledger": {"bundled": {"persistence": {"storageClass": "standard"}}}}
    assert check(named).line("storage of ledger").startswith("ok ")


def test_a_named_storage_class_must_exist(fit: FakeCluster, check: Run) -> None:
    values = {
        "broker": {"mode": "operator", "operator": {"persistence": {"storageClass": "fast"}}},
        **spam(cache={"type": "pvc", "storageClass": "shared"}),
    }
    result = check(values)

    line = "error storage of broker: there is no StorageClass fast; set one of standard"
    assert result.line("storage of broker") == line
    assert result.line("storage of cache of spam").startswith("error ")


def test_storage_is_not_looked_at_where_nothing_is_kept(fit: FakeCluster, check: Run) -> None:
    check({"ledger": {"bundled": {"persistence": {"enabled": False}}}})

    assert not any("storageclasses" in target for _, target in fit.requests)


def test_an_existing_claim_must_exist(fit: FakeCluster, check: Run) -> None:
    values = spam(cache={"type": "pvc", "existingClaim": "models"})
    missing = check(values).line("storage of cache of spam")
    assert missing.startswith("error ")
    assert "no PersistentVolumeClaim models in namespace ml" in missing

    fit.add(CLAIMS, "models")

    assert check(values).line("storage of cache of spam").startswith("ok ")


def test_a_volume_for_one_node_under_many_workers_is_a_warning(
    fit: FakeCluster, check: Run
) -> None:
    result = check(spam(cache={"type": "pvc"}, scaling={"max": 3}))

    warning = next(line for line in result.lines if line.startswith("warn"))
    assert "one volume for up to 3 workers" in warning
    many = {"type": "pvc", "accessModes": ["ReadWriteMany"]}
    assert "warn" not in check(spam(cache=many, scaling={"max": 3})).out


# --- Secrets and classes ----------------------------------------------------------------------------

EXTERNAL = {"mode": "external", "external": {"host": "redis"}}


@pytest.mark.parametrize(
    ("values", "name", "keys"),
    [
        ({"ledger": {"existingSecret": "s"}}, "s", ["password"]),
        (
            {"ledger": {**EXTERNAL, "existingSecret": "s", "passwordKey": "word"}},
            "s",
            ["word"],
        ),
        (
            {
                "ledger": {
                    "mode": "external",
                    "external": {"host": "redis", "tls": {"enabled": True, "caSecret": "s"}},
                }
            },
            "s",
            ["ca.crt"],
        ),
        (
            {
                "ledger": {
                    "mode": "external",
                    "external": {
                        "sentinel": {
                            "addresses": ["sentinel:26379"],
                            "service": "main",
                            "existingSecret": "s",
                        }
                    },
                }
            },
            "s",
            ["password"],
        ),
        (
            {
                "broker": {
                    "mode": "external",
                    "external": {"existingSecret": "s", "usernameKey": "user"},
                }
            },
            "s",
            ["password", "user"],
        ),
        (spam(hub={"tokenSecret": {"name": "s"}}), "s", ["token"]),
        (spam(envFromSecrets={"API": {"name": "s", "key": "api"}}), "s", ["api"]),
    ],
)
def test_every_secret_that_is_named_must_hold_its_keys(
    fit: FakeCluster, check: Run, values: dict[str, Any], name: str, keys: list[str]
) -> None:
    missing = check(values)
    assert missing.code == 1
    assert missing.line("secret s").startswith("error secret s: ")
    literals = " ".join(f"--from-literal={key}=..." for key in keys)
    assert missing.line("secret s").endswith(f"kubectl -n ml create secret generic s {literals}")

    secret = fit.add(SECRETS, name, data={"other": "eA=="})
    assert f"it has no key {' and '.join(keys)}" in check(values).line("secret s")

    secret["data"] = dict.fromkeys(keys, "eA==")
    assert check(values).line("secret s").startswith("ok ")


def test_a_secret_for_pulling_images_is_of_its_own_type(fit: FakeCluster, check: Run) -> None:
    line = check({"images": {"pullSecrets": ["s"]}}).line("secret s")

    assert line.startswith("error ")
    assert "create secret docker-registry s --docker-server=..." in line
    fit.add(SECRETS, "s", data={".dockerconfigjson": "e30="})
    assert check({"images": {"pullSecrets": ["s"]}}).line("secret s").startswith("ok ")


def test_secrets_that_the_chart_does_not_make_up_must_be_there(
    fit: FakeCluster, check: Run
) -> None:
    values = {"secrets": {"generate": False}, "broker": {"mode": "bundled"}}
    result = check(values, "--release", "mine")

    assert result.line("secret mine-ledger") == (
        "error secret mine-ledger: secrets.generate: false asks for it, and namespace ml has none; "
        "kubectl -n ml create secret generic mine-ledger --from-literal=password=..."
    )
    assert "--from-literal=username=... --from-literal=password=..." in (
        result.line("secret mine-broker")
    )


def test_a_secret_that_several_values_name_is_asked_for_once_with_all_keys(
    fit: FakeCluster, check: Run
) -> None:
    """Two commands that make it would be contrary advice: the second fails."""
    values = {
        "ledger": {"existingSecret": "s"},
        **spam(envFromSecrets={"API": {"name": "s", "key": "api"}}),
    }
    line = check(values).line("secret s")

    assert "ledger.existingSecret and models.spam.envFromSecrets.API ask for it" in line
    assert line.endswith(
        "create secret generic s --from-literal=password=... --from-literal=api=..."
    )
    fit.add(SECRETS, "s", data={"password": "eA=="})
    assert "it has no key api" in check(values).line("secret s")


def test_a_class_that_several_values_name_is_one_finding(fit: FakeCluster, check: Run) -> None:
    values = {"gateway": {"priorityClassName": "c"}, "keeper": {"priorityClassName": "c"}}

    assert "gateway.priorityClassName and keeper.priorityClassName ask for it" in (
        check(values).line("class c")
    )


def test_the_ingress_secret_may_be_made_later(fit: FakeCluster, check: Run) -> None:
    values = {"gateway": {"ingress": {"enabled": True, "hosts": ["a"], "tlsSecret": "tls"}}}
    result = check(values)

    assert result.code == 0
    assert result.line("secret tls").startswith("warn ")
    assert "cert-manager" in result.line("secret tls")


@pytest.mark.parametrize(
    ("values", "collection", "word"),
    [
        (spam(priorityClassName="c"), "scheduling.k8s.io/v1/priorityclasses", "PriorityClass"),
        (
            {"gateway": {"priorityClassName": "c"}},
            "scheduling.k8s.io/v1/priorityclasses",
            "PriorityClass",
        ),
        (
            {"ledger": {"bundled": {"priorityClassName": "c"}}},
            "scheduling.k8s.io/v1/priorityclasses",
            "PriorityClass",
        ),
        (
            on_gpu(runtimeClassName="c"),
            "node.k8s.io/v1/runtimeclasses",
            "RuntimeClass",
        ),
        (
            {"gateway": {"ingress": {"enabled": True, "className": "c"}}},
            "networking.k8s.io/v1/ingressclasses",
            "IngressClass",
        ),
    ],
)
def test_every_class_that_is_named_must_exist(
    fit: FakeCluster, check: Run, values: dict[str, Any], collection: str, word: str
) -> None:
    missing = check(values).line("class c")
    assert missing.startswith("error ")
    assert f"there is no such {word}" in missing

    fit.add(f"/apis/{collection}", "c")

    assert check(values).line("class c").startswith("ok ")


# --- the network ------------------------------------------------------------------------------------


def test_without_a_network_policy_the_ledger_is_open(fit: FakeCluster, check: Run) -> None:
    line = check({"networkPolicy": {"enabled": False}}).line("network policy")

    assert line.startswith("warn network policy: every pod of the cluster may reach the ledger")


def test_metrics_are_read_from_a_namespace_that_exists(fit: FakeCluster, check: Run) -> None:
    fit.kinds["monitoring.coreos.com/v1"] = {"podmonitors"}
    values = {"monitoring": {"podMonitor": {"enabled": True}}}
    assert check(values).line("network policy").startswith("error ")

    fit.add("/api/v1/namespaces", "monitoring")

    assert check(values).line("network policy").startswith("ok ")
