"""`python -m k8s check --values` beside a release: what Kubernetes would refuse to change is an error before the upgrade."""

from typing import Any

import pytest
from command_result import Result, Run
from fake_cluster import FakeCluster
from release_objects import APPS, CLAIMS, labels, volume

from tests.charts.effects import nested

LEDGER = f"{APPS}/statefulsets"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
PERSISTENCE = "ledger.bundled.persistence"


def spam(**settings: Any) -> dict[str, Any]:
    catalog = {"source": "a/b", "task": "text-classification"}
    return {"models": {"spam": {"catalog": catalog, **settings}}}


def refused(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.lines if "would be refused" in line]


def test_a_release_that_is_not_there_is_said(fit: FakeCluster, check: Run) -> None:
    result = check(None, "-n", "other", "--release", "mine")

    assert result.code == 0
    assert result.lines[0].endswith(
        "release: there is none called mine in namespace other: what follows is what an install would find"
    )


def test_of_a_release_that_is_there_nothing_of_the_kind_is_said(
    installed: FakeCluster, check: Run
) -> None:
    assert "release:" not in check().out
    assert "release:" not in check({}).out


def test_values_that_change_nothing_of_a_volume_are_fine(
    installed: FakeCluster, check: Run
) -> None:
    claim = volume("10Gi", storageClassName="standard")
    installed.add(CLAIMS, "soloist-worker-spam", **claim)
    same = {**nested(f"{PERSISTENCE}.size", "8192Mi"), **spam(cache={"type": "pvc"})}

    assert refused(check({})) == refused(check(same)) == []


@pytest.mark.parametrize(
    ("key", "value", "was", "way_out"),
    [
        ("size", "16Gi", "8Gi", "; then a larger size in kubectl -n ml edit pvc data-soloist-ledger-0"),
        ("size", "4Gi", "8Gi", "leave 8Gi: a volume can only grow"),
        ("storageClass", "standard", '""', "--cascade=orphan, which leaves its pod"),
        ("enabled", False, "true", "--cascade=orphan, which leaves its pod"),
    ],
)  # fmt: skip
def test_the_volume_of_the_ledger_cannot_be_changed(
    installed: FakeCluster, check: Run, key: str, value: Any, was: str, way_out: str
) -> None:
    result = check(nested(f"{PERSISTENCE}.{key}", value))
    will_be = str(value).lower() if isinstance(value, bool) else value
    (line,) = refused(result)

    assert result.code == 1
    assert f"{PERSISTENCE}.{key} would change from {was} to {will_be}, and" in line
    assert line.endswith(way_out)


def test_a_ledger_without_a_volume_cannot_get_one(installed: FakeCluster, check: Run) -> None:
    installed.add(LEDGER, "soloist-ledger", labels=labels("ledger"), spec={"replicas": 1})
    (line,) = refused(check({}))

    assert f"{PERSISTENCE}.enabled would change from false to true" in line


@pytest.mark.parametrize(
    ("cache", "named"),
    [
        ({"size": "4Gi"}, "cache.size would"),
        ({"storageClass": "fast"}, "cache.storageClass would"),
        ({"accessModes": ["ReadWriteMany"], "size": "1Gi"}, "cache.accessModes and cache.size would"),
    ],
)  # fmt: skip
def test_the_claim_of_a_cache_can_only_grow(
    installed: FakeCluster, check: Run, cache: dict[str, Any], named: str
) -> None:
    installed.add(CLAIMS, "soloist-worker-spam", **volume("20Gi"))
    result = check(spam(cache={"type": "pvc", **cache}))
    (line,) = refused(result)

    assert result.code == 1
    assert line.startswith(f"error upgrade of cache of spam: {named} change, and ")
    assert refused(check(spam(cache={"type": "pvc", "size": "30Gi"}))) == []


def test_the_class_of_placeholders_keeps_its_value(installed: FakeCluster, check: Run) -> None:
    installed.add(PRIORITIES, "ml-soloist-placeholder", value=-10)
    values = spam(placeholders=1)

    assert refused(check(values)) == []
    (line,) = refused(check({**values, "placeholderPriority": -5}))
    assert line.endswith("first: kubectl delete priorityclass ml-soloist-placeholder")
    assert refused(check({"placeholderPriority": -5})) == []
