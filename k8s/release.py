"""An installed release: its objects, found by their labels."""

from collections.abc import Iterable
from dataclasses import dataclass

from k8s.cluster import Cluster, Object


@dataclass(frozen=True, slots=True)
class Release:
    """The name that `helm install` was given."""

    name: str

    def labels(self, component: str = "", model: str = "") -> str:
        """A label selector for what the chart made."""
        parts = ["app.kubernetes.io/name=soloist", f"app.kubernetes.io/instance={self.name}"]
        parts += [f"app.kubernetes.io/component={component}"] if component else []
        parts += [f"soloist/model={model}"] if model else []
        return ",".join(parts)

    @property
    def gateway(self) -> str:
        """The Service of the gateway."""
        return f"{self.name}-gateway"

    @property
    def keeper(self) -> str:
        """The Deployment of the keeper."""
        return f"{self.name}-keeper"

    @property
    def ledger(self) -> str:
        """The StatefulSet of the bundled ledger, its Service and its NetworkPolicy."""
        return f"{self.name}-ledger"

    @property
    def catalog(self) -> str:
        """The ConfigMap with every model, under the key catalog.yaml."""
        return f"{self.name}-catalog"

    def deployments(self, cluster: Cluster) -> list[Object]:
        return cluster.list_objects(cluster.path_of("deployments", "apps/v1"), self.labels())

    def pods(self, cluster: Cluster, component: str = "", model: str = "") -> list[Object]:
        return cluster.list_objects(cluster.path_of("pods"), self.labels(component, model))


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def label_of(thing: Object, name: str) -> str:
    return str(thing["metadata"].get("labels", {}).get(name, ""))


def component_of(thing: Object) -> str:
    return label_of(thing, "app.kubernetes.io/component")


def model_of(thing: Object) -> str:
    return label_of(thing, "soloist/model")


def scaled_by_keda(deployment: Object) -> bool:
    """Whether the chart has left the number of its pods to KEDA."""
    annotations = deployment["metadata"].get("annotations") or {}
    return bool(annotations.get("soloist/scaled-by") == "keda")


def condition_of(thing: Object, kind: str) -> Object:
    """A condition of an object's status; empty if it is not there yet."""
    conditions: Iterable[Object] = thing.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})


def is_true(thing: Object, kind: str) -> bool:
    return condition_of(thing, kind).get("status") == "True"
