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

from cli.client import GatewayClient, GatewayRefused, GatewayUnreachable
from cli.console import Failure, err, out, shorten
from contract.catalog import Catalog, ModelSpec, load_catalog
from contract.errors import ModelNotFound
from contract.examples import example
from contract.prediction import TERMINAL
from k8s.check import Context, Kubeconfig, Namespace, ReleaseName
from k8s.cluster import Cluster, Object, Unanswered
from k8s.prediction_phase import ASKING, Waiting
from k8s.proxy import ServiceProxy
from k8s.release import Release
from k8s.watch import Watch

POLL_SECONDS = 0.5


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
        watch = Watch(cluster, installed, spec.name)
        test = Smoke(spec, _input(spec, input_json), watch, timeout)
        prediction = asyncio.run(test.run(address, transport))
    finally:
        if cluster:
            cluster.close()
    _report(spec, prediction, test.phases)


def _catalog(cluster: Cluster | None, release: Release) -> Catalog:
    assert cluster is not None  # noqa: S101
    try:
        found = cluster.get_object(cluster.path_of(f"configmaps/{release.catalog}"))
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
        sample = example(spec.inputs)
        if sample is None:
            raise Failure(
                f"no input for {spec.name} can be made up; give one with --input '{{...}}', "
                "or for `helm test` as test.input in the values",
                2,
            )
        return sample
    try:
        value = json.loads(given)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Failure("--input takes a JSON object", 2)
    return value


Show = Callable[[float, Waiting], None]
"""Tell what is waited for, after so many seconds."""


class Smoke:
    """One prediction from the submission to its end. `phases` holds the seconds of each."""

    def __init__(self, spec: ModelSpec, input: Object, watch: Watch, timeout: float) -> None:
        self.spec = spec
        self.input = input
        self.phases: dict[str, float] = {}
        self._watch = watch
        self._timeout = timeout
        self._began = self._since = time.monotonic()
        self._waiting = Waiting("")
        self._stuck_since = 0.0

    async def run(self, address: str, transport: httpx.AsyncBaseTransport | None) -> Object:
        """See it through.

        Raises:
            Failure: it was refused, was not over in time, or waits for what will not come; then it is canceled.
        """
        async with GatewayClient(address, transport=transport) as gateway:
            with _display() as show:
                prediction = await self._until_accepted(gateway, show)
                while prediction.get("status") not in TERMINAL:
                    self._enter(show, await asyncio.to_thread(self._watch.prediction, prediction))
                    reason = self._hopeless() or self._late()
                    if reason:
                        await self._give_up(gateway, str(prediction["id"]), reason)
                    await asyncio.sleep(POLL_SECONDS)
                    prediction = await self._look(gateway, prediction)
                self._enter(show, Waiting(str(prediction["status"])))
        return prediction

    async def _until_accepted(self, gateway: GatewayClient, show: Show) -> Object:
        """Submit; while the gateway starts or is full, again. The key keeps it one prediction."""
        key = uuid.uuid4().hex
        self._enter(show, Waiting(ASKING))
        while True:
            try:
                return await gateway.create_prediction(self.spec.id, self.input, key=key)
            except (GatewayUnreachable, GatewayRefused) as failure:
                final = isinstance(failure, GatewayRefused) and failure.status not in (
                    429,
                    502,
                    503,
                    504,
                )
                if final or self._late():
                    raise
                said = failure.sentence
            self._enter(show, await asyncio.to_thread(self._watch.gateway, said))
            if reason := self._hopeless():
                raise Failure(reason)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, gateway: GatewayClient, prediction: Object) -> Object:
        try:
            return await gateway.get_prediction(str(prediction["id"]))
        except (GatewayUnreachable, GatewayRefused) as failure:
            if isinstance(failure, GatewayRefused) and failure.status == 404:
                raise
            return prediction  # a gateway that is away for a moment has lost nothing

    async def _give_up(self, gateway: GatewayClient, id: str, reason: str) -> None:
        with contextlib.suppress(Failure):  # what matters is said next
            await gateway.cancel_prediction(id)
        raise Failure(reason)

    def _late(self) -> str:
        """What to say if the time is over."""
        if self._spent() <= self._timeout:
            return ""
        still = self._waiting.shown
        return f"not done after {self._timeout:g} s, still {still}; `python -m k8s check` says more"

    def _hopeless(self) -> str:
        """What to say if it waits for what will not come: its reason has stood for long enough."""
        waiting = self._waiting
        if waiting.patience is None or self._spent() - self._stuck_since < waiting.patience:
            return ""
        return f"gave up after {self._spent():.0f} s, {waiting.shown}; {waiting.way_out}"

    def _enter(self, show: Show, waiting: Waiting) -> None:
        """Book the time that has passed, and show what is new."""
        now = time.monotonic()
        before, self._waiting = self._waiting, waiting
        if before.phase:
            self.phases[before.phase] = self.phases.get(before.phase, 0.0) + now - self._since
        self._since = now
        if before.patience is None or before.key != waiting.key:
            self._stuck_since = self._spent()
        if before.shown != waiting.shown:
            show(self._spent(), waiting)

    def _spent(self) -> float:
        return time.monotonic() - self._began


@contextlib.contextmanager
def _display() -> Iterator[Show]:
    """One line that changes on a terminal; elsewhere a line for each phase and reason, once."""
    console = err()

    def line(seconds: float, waiting: Waiting) -> str:
        return f"{seconds:6.1f} s  {waiting.shown}"

    if console.is_terminal:
        with Status("", console=console) as status:
            yield lambda seconds, waiting: status.update(Text(line(seconds, waiting)))
        return
    told: set[tuple[str, str]] = set()

    def tell(seconds: float, waiting: Waiting) -> None:
        new = (waiting.phase, waiting.key or waiting.why)
        if new not in told:
            told.add(new)
            console.print(line(seconds, waiting), markup=False)

    yield tell


def _report(spec: ModelSpec, prediction: Object, phases: dict[str, float]) -> None:
    seconds = ", ".join(f"{phase} {spent:.1f} s" for phase, spent in phases.items())
    total = sum(phases.values())
    if prediction["status"] != "succeeded":
        said: Any = prediction.get("error") or "no reason given"
        raise Failure(f"{spec.id}: {prediction['status']} after {total:.1f} s: {said} ({seconds})")
    console = out()
    console.print(shorten(prediction.get("output")), markup=False)
    console.print(f"{spec.id}: succeeded in {total:.1f} s ({seconds})", markup=False)
