"""`python -m k8s check`: whether a cluster is ready for an install, or an install is well."""

from pathlib import Path
from typing import Annotated

import typer

from k8s import needs, postinstall, preflight, upgrade
from k8s.cluster import Cluster, Unanswered
from k8s.findings import Findings, ok, print_findings, run_checks, warn
from k8s.release import Release
from k8s.values import CHART, Plan, load_values

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The release's; the context's if not given.")
]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig file.")]
Kubeconfig = Annotated[str | None, typer.Option(help="In place of KUBECONFIG.")]
ReleaseName = Annotated[str, typer.Option("--release", "-r", help="The release's name.")]


def check(
    namespace: Namespace = None,
    release: ReleaseName = "soloist",
    values: Annotated[
        list[Path] | None, typer.Option("--values", "-f", help="As for helm install; may repeat.")
    ] = None,
    chart: Annotated[Path, typer.Option(help="The chart's folder.")] = CHART,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Look at a cluster before an install, or at a release after it. One line for each finding.

    Exits with 1 if there is an error.
    """
    merged = load_values(values or [], chart)
    cluster = Cluster(namespace, context, kubeconfig)
    try:
        found = find_faults(cluster, Release(release), Plan(merged, release), bool(values))
        errors = print_findings(found, as_json=as_json)
    finally:
        cluster.close()
    if errors:
        raise typer.Exit(1)


def find_faults(cluster: Cluster, release: Release, plan: Plan, values_given: bool) -> Findings:
    """Values that are given for a release that is there are those of its next upgrade."""
    try:
        there = postinstall.is_installed(cluster, release)
        if not there:
            where = f"there is none called {release.name} in namespace {cluster.namespace}"
            yield ok("release", f"{where}: what follows is what an install would find")
    except Unanswered as refused:
        there = False
        yield warn("release", f"whether it is installed cannot be seen: {refused}", refused.way_out)
    if there and not values_given:
        yield from run_checks(needs.CHECKS, cluster, needs.needs_of_release(cluster, release))
    else:
        yield from run_checks(needs.CHECKS, cluster, needs.needs_of_plan(plan))
        yield from run_checks(preflight.CHECKS, cluster, plan)
        yield from run_checks(upgrade.CHECKS if there else (), cluster, plan)
    if there:
        yield from postinstall.check_release(cluster, release)
