"""`python -m k8s check`: usage, output, and what happens when the cluster does not answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster

from k8s.values import CHART, load_values, look_up, merge, models_of

PLACES = {
    "kubernetes": "^/version$",
    "keda": "keda.sh/v1alpha1$",
    "external metrics": "apiservices",
    "gpus": "/nodes$",
    "storage": "storageclasses",
    "secrets": "/secrets/",
    "classes": "priorityclasses",
}
VALUES = {
    "images": {"pullSecrets": ["registry"]},
    "gateway": {"priorityClassName": "high"},
    "models": {"spam": {"gpu": {"mode": "devicePlugin"}}},
}


@pytest.mark.parametrize(("subject", "pattern"), PLACES.items())
def test_a_missing_right_is_one_warning_and_the_rest_goes_on(
    fit: FakeCluster, check: Run, subject: str, pattern: str
) -> None:
    whole = check(VALUES)
    fit.forbidden.append(pattern)
    result = check(VALUES)

    line = result.line(subject)
    assert line.startswith(f"warn {subject}: User ")
    assert "cannot GET /" in line
    assert "ask who runs the cluster" in line
    assert len(result.lines) >= len(whole.lines) - 2
    assert result.err == ""


def test_a_release_that_cannot_be_seen_is_a_warning(installed: FakeCluster, check: Run) -> None:
    installed.forbidden.append("namespaces/ml/deployments")
    result = check()

    assert result.line("release").startswith("warn release: whether it is installed cannot be seen")
    assert "storage of ledger" in result.out


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("/pods$", "pods"),
        ("statefulsets", "statefulsets"),
        ("persistentvolumeclaims", "persistentvolumeclaims"),
        ("scaledobjects", "scaledobjects"),
        ("horizontalpodautoscalers", "scaling"),
        ("subjectaccessreviews", "rights"),
    ],
)
def test_a_missing_right_in_a_release_is_a_warning_too(
    installed: FakeCluster, check: Run, pattern: str, subject: str
) -> None:
    installed.forbidden.append(pattern)
    result = check()

    assert result.code == 0
    assert any(line.startswith(f"warn  {subject}: User") for line in result.lines), result.out


def test_an_api_server_that_fails_is_a_warning(fit: FakeCluster, check: Run) -> None:
    fit.broken.append("apiservices")

    line = check().line("external metrics")
    assert line == "warn external metrics: etcd is on fire; " + line.partition("; ")[2]


def test_json_holds_the_same_findings(fit: FakeCluster, check: Run) -> None:
    del fit.kinds["keda.sh/v1alpha1"]
    result = check({}, "--json")

    assert result.code == 1
    findings = [json.loads(line) for line in result.lines]
    assert all(set(each) == {"level", "subject", "sentence", "way_out"} for each in findings)
    (keda,) = [each for each in findings if each["subject"] == "keda"]
    assert keda["level"] == "error"
    assert keda["way_out"].startswith("install KEDA, see k8s/README.md")


def test_a_message_of_many_lines_is_one_line(fit: FakeCluster, check: Run) -> None:
    before = len(check().lines)
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    unfit = {"type": "Available", "status": "False", "message": "no\nroute [bold] to it"}
    fit.objects[path]["status"] = {"conditions": [unfit]}
    result = check()

    assert len(result.lines) == before
    assert "no route [bold] to it" in result.line("external metrics")


# --- no cluster, wrong usage ------------------------------------------------------------------------


def test_without_any_cluster_one_sentence_says_so(run: Run) -> None:
    result = run("check")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("soloist: no cluster is configured")
    assert result.err.count("\n") == 1


def test_a_cluster_that_does_not_answer(run: Run, cluster: FakeCluster, kubeconfig: Path) -> None:
    text = kubeconfig.read_text()
    kubeconfig.write_text(text.replace(cluster.url, "http://127.0.0.1:1"))
    result = run("check", "--kubeconfig", kubeconfig)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("soloist: no API server answers at http://127.0.0.1:1: ")
    assert result.err.count("\n") == 1


def test_credentials_that_are_not_accepted(fit: FakeCluster, check: Run) -> None:
    result = check(None, "--context", "stranger")

    assert result.code == 2
    assert "does not accept these credentials: log in again" in result.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--context", "nowhere"], "the kubeconfig is of no use: "),
        (["--values", "/no/such/file"], "cannot read /no/such/file: No such file or directory"),
        (["--chart", "/no/such/chart"], "cannot read /no/such/chart/values.yaml"),
        (["--color"], "No such option: --color"),
    ],
)
def test_wrong_usage_is_one_sentence(
    fit: FakeCluster, check: Run, arguments: list[str], says: str
) -> None:
    result = check(None, *arguments)

    assert result.code == 2
    assert says in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a list", "bad.yaml must hold a map"),
        ("{", "bad.yaml is not YAML: "),
        ("\x00", "bad.yaml is not YAML: "),
    ],
)
def test_values_of_another_shape_are_named(
    run: Run, kubeconfig: Path, tmp_path: Path, fit: FakeCluster, text: str, says: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    result = run("check", "--kubeconfig", kubeconfig, "-f", file)

    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert result.err.count("\n") == 1


def test_the_namespace_is_the_contexts_or_the_one_given(fit: FakeCluster, check: Run) -> None:
    values = {"images": {"pullSecrets": ["registry"]}}

    assert "namespace ml has none" in check(values).line("secret registry")
    given = check(values, "-n", "other").line("secret registry")
    assert "namespace other has none" in given


# --- values -----------------------------------------------------------------------------------------


def test_values_are_merged_as_helm_does(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("models: {spam: {scaling: {max: 4}}, ham: {enabled: false}}")
    second.write_text(
        "models: {spam: {gpu: {mode: mig}}}\ngpu: {products: [L4], tolerations: null}"
    )
    models = models_of(load_values([first, second]))

    assert list(models) == ["spam"]
    assert models["spam"]["scaling"]["max"] == 4
    assert models["spam"]["scaling"]["cooldownSeconds"] == 300
    assert models["spam"]["gpu"]["mode"] == "mig"
    assert models["spam"]["gpu"]["products"] == ["L4"]
    assert models["spam"]["gpu"]["tolerations"] == []


@pytest.mark.parametrize(
    ("lower", "upper", "merged"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {}),
        ({"a": 1}, {"a": {"b": 2, "c": None}}, {"a": {"b": 2, "c": None}}),
        ({}, {"a": None}, {"a": None}),
    ],
)
def test_maps_are_merged_and_all_else_replaced(
    lower: dict[str, Any], upper: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert merge(lower, upper) == merged


def test_without_models_the_demo_is_served() -> None:
    assert list(models_of(load_values([]))) == ["minilm"]


def test_a_path_that_leads_nowhere_is_none() -> None:
    assert look_up({"a": {"b": 1}}, "a.b") == 1
    assert look_up({"a": {"b": 1}}, "a.b.c") is None


def test_the_chart_is_found_beside() -> None:
    assert (CHART / "Chart.yaml").is_file()
