"""`python -m k8s smoke`: one real prediction through a release, from zero if need be."""

import asyncio
import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.status import Status
from rich.text import Text

from cli.client import Away, Gateway, Refusal
from cli.console import Failure, err, out, shorten
from cli.samples import sample_input
from contract.catalog import Catalog, ModelSpec, load_catalog
from contract.errors import ModelNotFound
from k8s.check import Context, Kubeconfig, Namespace, ReleaseName
from k8s.cluster import Cluster, Object, Unanswered
from k8s.phases import phase_of
from k8s.proxy import ServiceProxy
from k8s.release import Release

TERMINAL = ("succeeded", "failed", "canceled")
POLL_SECONDS = 0.5

Pods = Callable[[], list[Object] | None]
"""The model's worker pods; None where they cannot be seen."""


def smoke(
    namespace: Namespace = None,
    release: ReleaseName = "soloist",
    model: Annotated[
        str | None, typer.Option(help="As in the catalog; its first if not given.")
    ] = None,
    input_json: Annotated[
        str | None, typer.Option("--input", help="A JSON object; a fitting sample if not given.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The gateway; through the API server if not given.")
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="The catalog file; the release's if not given.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for all of it.")] = 900.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Predict once, say what it waits for, and print the output and the seconds of each phase.

    Exits with 1 unless the prediction succeeds.
    """
    if url and not catalog:
        raise Failure("with --url say where the catalog is: --catalog FILE", 2)
    cluster = None if url else Cluster(namespace, context, kubeconfig)
    installed = Release(release)
    try:
        models = load_catalog(catalog) if catalog else _catalog(cluster, installed)
        spec = _choose(models, model)
        transport = None if cluster is None else ServiceProxy(cluster, installed.gateway)
        address = url or f"http://{installed.gateway}"
        test = Smoke(spec, _input(spec, input_json), _pods(cluster, installed, spec), timeout)
        prediction = asyncio.run(test.run(address, transport))
    finally:
        if cluster:
            cluster.close()
    _report(spec, prediction, test.phases)


def _catalog(cluster: Cluster | None, release: Release) -> Catalog:
    assert cluster is not None  # noqa: S101
    try:
        found = cluster.get(cluster.here(f"configmaps/{release.catalog}"))
    except Unanswered as refused:
        raise Failure(f"the catalog cannot be read: {refused}; give --catalog FILE") from None
    if found is None:
        raise Failure(
            f"namespace {cluster.namespace} has no ConfigMap {release.catalog}; "
            "give --namespace and --release as for helm install"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(found["data"]["catalog.yaml"], encoding="utf-8")
        return load_catalog(file)


def _choose(catalog: Catalog, name: str | None) -> ModelSpec:
    if name is None:
        return next(iter(catalog.values()))
    try:
        return catalog.get(name) or catalog.find(name)
    except ModelNotFound:
        names = ", ".join(catalog)
        raise Failure(f"the catalog has no model {name!r}; it has {names}", 2) from None


def _input(spec: ModelSpec, given: str | None) -> Object:
    if given is None:
        sample = sample_input(spec)
        if sample is None:
            raise Failure(
                f"no input for {spec.name} can be made up; give one with --input '{{...}}'", 2
            )
        return sample
    try:
        value = json.loads(given)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Failure("--input takes a JSON object", 2)
    return value


def _pods(cluster: Cluster | None, release: Release, spec: ModelSpec) -> Pods:
    def look() -> list[Object] | None:
        if cluster is None:
            return None
        try:
            return release.pods(cluster, "worker", spec.name)
        except Unanswered:
            return None

    return look


class Smoke:
    """One prediction from the submission to its end. `phases` holds the seconds of each."""

    def __init__(self, spec: ModelSpec, input: Object, pods: Pods, timeout: float) -> None:
        self.spec = spec
        self.input = input
        self.phases: dict[str, float] = {}
        self._pods = pods
        self._timeout = timeout
        self._began = self._since = time.monotonic()
        self._phase = ""
        self._shown = ""

    async def run(self, address: str, transport: httpx.AsyncBaseTransport | None) -> Object:
        """See it through.

        Raises:
            Failure: it was refused, or was not over in time; then it is canceled.
        """
        async with Gateway(address, transport=transport) as gateway:
            with _display() as show:
                prediction = await self._until_accepted(gateway, show)
                while prediction.get("status") not in TERMINAL:
                    self._enter(show, *phase_of(prediction, await asyncio.to_thread(self._pods)))
                    if self._spent() > self._timeout:
                        await self._give_up(gateway, str(prediction["id"]))
                    await asyncio.sleep(POLL_SECONDS)
                    prediction = await self._look(gateway, prediction)
                self._enter(show, str(prediction["status"]))
        return prediction

    async def _until_accepted(self, gateway: Gateway, show: Callable[[str], None]) -> Object:
        """Submit; while the gateway starts or is full, again. The key keeps it one prediction."""
        key = uuid.uuid4().hex
        while True:
            self._enter(show, "asking the gateway")
            try:
                return await gateway.predict(self.spec.id, self.input, key=key)
            except (Away, Refusal) as failure:
                final = isinstance(failure, Refusal) and failure.status not in (429, 502, 503, 504)
                if final or self._spent() > self._timeout:
                    raise
                self._enter(show, "asking the gateway", failure.sentence)
                await asyncio.sleep(POLL_SECONDS)

    async def _look(self, gateway: Gateway, prediction: Object) -> Object:
        try:
            return await gateway.prediction(str(prediction["id"]))
        except (Away, Refusal) as failure:
            if isinstance(failure, Refusal) and failure.status == 404:
                raise
            return prediction  # a gateway that is away for a moment has lost nothing

    async def _give_up(self, gateway: Gateway, id: str) -> None:
        with contextlib.suppress(Failure):  # what matters is said next
            await gateway.cancel(id)
        raise Failure(
            f"not done after {self._timeout:g} s, still {self._shown}; `python -m k8s check` says more"
        )

    def _enter(self, show: Callable[[str], None], phase: str, more: str = "") -> None:
        """Book the time that has passed, and show what is new."""
        now = time.monotonic()
        if self._phase:
            self.phases[self._phase] = self.phases.get(self._phase, 0.0) + now - self._since
        self._since, self._phase = now, phase
        shown = f"{phase} ({more})" if more else phase
        if shown != self._shown:
            self._shown = shown
            show(f"{self._spent():6.1f} s  {shown}")

    def _spent(self) -> float:
        return time.monotonic() - self._began


@contextlib.contextmanager
def _display() -> Iterator[Callable[[str], None]]:
    """One line that changes on a terminal; a line for each phase elsewhere."""
    console = err()
    if console.is_terminal:
        with Status("", console=console) as status:
            yield lambda text: status.update(Text(text))
    else:
        yield lambda text: console.print(text, markup=False)


def _report(spec: ModelSpec, prediction: Object, phases: dict[str, float]) -> None:
    seconds = ", ".join(f"{phase} {spent:.1f} s" for phase, spent in phases.items())
    total = sum(phases.values())
    if prediction["status"] != "succeeded":
        said: Any = prediction.get("error") or "no reason given"
        raise Failure(f"{spec.id}: {prediction['status']} after {total:.1f} s: {said} ({seconds})")
    console = out()
    console.print(shorten(prediction.get("output")), markup=False)
    console.print(f"{spec.id}: succeeded in {total:.1f} s ({seconds})", markup=False)
