"""What the values name and the cluster must have: storage, Secrets and classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from k8s.cluster import Cluster
from k8s.findings import Findings, error, ok, warn
from k8s.values import Plan, fetches, workers_of

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


# --- storage ----------------------------------------------------------------------------------------


def volumes_of(plan: Plan) -> Iterator[tuple[str, str]]:
    """What asks for a volume, and of which class; an empty class is the cluster's default."""
    ledger, broker = plan.values["ledger"], plan.values["broker"]
    if ledger["mode"] == "bundled" and ledger["bundled"]["persistence"]["enabled"]:
        yield "ledger", ledger["bundled"]["persistence"]["storageClass"]
    if broker["mode"] == "operator":
        yield "broker", broker["operator"]["persistence"]["storageClass"]
    for name, model in plan.models.items():
        if model["cache"]["type"] == "pvc" and not model["cache"]["existingClaim"]:
            yield f"cache of {name}", model["cache"]["storageClass"]


def check_storage(cluster: Cluster, plan: Plan) -> Findings:
    asked = list(volumes_of(plan))
    classes = cluster.list_objects(CLASSES) if asked else []
    names = {found["metadata"]["name"] for found in classes}
    default = [
        found["metadata"]["name"]
        for found in classes
        if found["metadata"].get("annotations", {}).get(DEFAULT) == "true"
    ]
    for subject, name in asked:
        if name and name not in names:
            yield error(
                f"storage of {subject}",
                f"there is no StorageClass {name}",
                f"set one of {', '.join(sorted(names)) or 'those you make'}",
            )
        elif not name and not default:
            yield error(
                f"storage of {subject}",
                "the cluster has no default StorageClass",
                "set storageClass, or annotate one as the default",
            )
        else:
            yield ok(f"storage of {subject}", f"StorageClass {name or default[0]}")
    yield from _caches(cluster, plan)


def _caches(cluster: Cluster, plan: Plan) -> Findings:
    """Claims that must be there already, and those that only one node can mount."""
    for name, model in plan.models.items():
        cache, most = model["cache"], workers_of(model)[1]
        if cache["type"] != "pvc":
            continue
        claim = cache["existingClaim"]
        if claim and cluster.get_object(cluster.path_of(f"persistentvolumeclaims/{claim}")) is None:
            yield error(
                f"storage of cache of {name}",
                f"there is no PersistentVolumeClaim {claim} in namespace {cluster.namespace}",
                "make it, or leave cache.existingClaim empty",
            )
        elif claim:
            yield ok(f"storage of cache of {name}", f"PersistentVolumeClaim {claim}")
        elif most > 1 and "ReadWriteMany" not in cache["accessModes"]:
            yield warn(
                f"storage of cache of {name}",
                f"one volume for up to {most} workers, all on the node that has it",
                "set cache.accessModes: [ReadWriteMany] with a class that can, or cache.type: emptyDir",
            )


# --- Secrets ----------------------------------------------------------------------------------------


REGISTRY = ".dockerconfigjson"
NOT_MADE = "secrets.generate: false"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Secret that the values name, with the keys that are read from it."""

    path: str
    """The value that names it, or those that do."""
    name: str
    keys: tuple[str, ...] = ()
    made_later: bool = False
    """Others may make it when they see the release, as cert-manager does."""


def secrets_of(plan: Plan) -> list[Wanted]:
    """Every Secret that must be there before the install, once, with all keys that are read from it."""
    found: dict[str, Wanted] = {}
    for each in _named(plan):
        if each.name in found:
            first = found[each.name]
            keys = tuple(dict.fromkeys((*first.keys, *each.keys)))
            later = first.made_later and each.made_later
            each = Wanted(f"{first.path} and {each.path}", each.name, keys, later)
        if each.name:
            found[each.name] = each
    return list(found.values())


def _named(plan: Plan) -> Iterator[Wanted]:
    """Each value that may name a Secret."""
    yield from _of_stores(plan)
    for name in plan.values["images"]["pullSecrets"]:
        yield Wanted("images.pullSecrets", name, (REGISTRY,))
    ingress = plan.values["gateway"]["ingress"]
    if ingress["enabled"]:
        yield Wanted(
            "gateway.ingress.tlsSecret", ingress["tlsSecret"], ("tls.crt", "tls.key"), True
        )
    for model, its in plan.models.items():
        token = its["hub"]["tokenSecret"]
        if fetches(its):
            yield Wanted(f"models.{model}.hub.tokenSecret", token["name"], (token["key"],))
        for variable, source in its["envFromSecrets"].items():
            path = f"models.{model}.envFromSecrets.{variable}"
            yield Wanted(path, source["name"], (source["key"],))


def _of_stores(plan: Plan) -> Iterator[Wanted]:
    ledger, broker = plan.values["ledger"], plan.values["broker"]
    made_up = plan.values["secrets"]["generate"]
    yield Wanted("ledger.existingSecret", ledger["existingSecret"], (ledger["passwordKey"],))
    if ledger["mode"] == "bundled" and not ledger["existingSecret"] and not made_up:
        yield Wanted(NOT_MADE, f"{plan.release}-ledger", (ledger["passwordKey"],))
    if broker["mode"] == "bundled" and not made_up:
        yield Wanted(NOT_MADE, f"{plan.release}-broker", ("username", "password"))
    tls, sentinel = ledger["external"]["tls"], ledger["external"]["sentinel"]
    if ledger["mode"] == "external":
        path = "ledger.external.sentinel.existingSecret"
        yield Wanted(path, sentinel["existingSecret"], (sentinel["passwordKey"],))
    if ledger["mode"] == "external" and tls["enabled"]:
        yield Wanted("ledger.external.tls.caSecret", tls["caSecret"], (tls["caKey"],))
    if broker["mode"] == "external":
        external = broker["external"]
        keys = (external["passwordKey"], external["usernameKey"])
        path = "broker.external.existingSecret"
        yield Wanted(path, external["existingSecret"], tuple(filter(None, keys)))


def check_secrets(cluster: Cluster, plan: Plan) -> Findings:
    for wanted in secrets_of(plan):
        subject = f"secret {wanted.name}"
        found = cluster.get_object(cluster.path_of(f"secrets/{wanted.name}"))
        if found is None:
            yield (warn if wanted.made_later else error)(
                subject,
                f"{asking(wanted.path)} for it, and namespace {cluster.namespace} has none",
                "see that cert-manager makes it, or make it"
                if wanted.made_later
                else f"kubectl -n {cluster.namespace} create secret {_made_by(wanted)}",
            )
            continue
        missing = [key for key in wanted.keys if key not in (found.get("data") or {})]
        if missing:
            yield error(
                subject,
                f"it has no key {' and '.join(missing)}, which {wanted.path} is to be read from",
                "add it to the Secret, or name the key that it has",
            )
        else:
            yield ok(subject, f"has {', '.join(wanted.keys)} for {wanted.path}")


def asking(paths: str) -> str:
    """Values and their verb.

    >>> asking("a"), asking("a and b")
    ('a asks', 'a and b ask')
    """
    return f"{paths} {'ask' if ' and ' in paths else 'asks'}"


def _made_by(wanted: Wanted) -> str:
    """What makes a Secret, after `kubectl create secret`."""
    if REGISTRY in wanted.keys:
        account = "--docker-server=... --docker-username=... --docker-password=..."
        return f"docker-registry {wanted.name} {account}"
    literals = " ".join(f"--from-literal={key}=..." for key in wanted.keys)
    return f"generic {wanted.name} {literals}"


# --- classes ----------------------------------------------------------------------------------------

PRIORITY = "/apis/scheduling.k8s.io/v1/priorityclasses"
RUNTIME = "/apis/node.k8s.io/v1/runtimeclasses"
INGRESS = "/apis/networking.k8s.io/v1/ingressclasses"


def classes_of(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Every class that is named: (path of the value, path of its kind, name)."""
    values = plan.values
    ledger, broker, gateway = values["ledger"], values["broker"], values["gateway"]
    if ledger["mode"] == "bundled":
        name = ledger["bundled"]["priorityClassName"]
        yield "ledger.bundled.priorityClassName", PRIORITY, name
    if broker["mode"] == "bundled":
        name = broker["bundled"]["priorityClassName"]
        yield "broker.bundled.priorityClassName", PRIORITY, name
    for part in ("gateway", "keeper"):
        yield f"{part}.priorityClassName", PRIORITY, values[part]["priorityClassName"]
    if gateway["ingress"]["enabled"]:
        yield "gateway.ingress.className", INGRESS, gateway["ingress"]["className"]
    if any(its["placeholders"] for its in plan.models.values()):
        name = values["placeholderPriorityClassName"]
        yield "placeholderPriorityClassName", PRIORITY, name
    for model, its in plan.models.items():
        yield f"models.{model}.priorityClassName", PRIORITY, its["priorityClassName"]
        if its["gpu"]["mode"] != "none":
            yield f"models.{model}.gpu.runtimeClassName", RUNTIME, its["gpu"]["runtimeClassName"]


def check_classes(cluster: Cluster, plan: Plan) -> Findings:
    asked: dict[tuple[str, str], list[str]] = {}
    for path, kind, name in classes_of(plan):
        if name:
            asked.setdefault((kind, name), []).append(path)
    for (kind, name), paths in asked.items():
        word = {PRIORITY: "PriorityClass", RUNTIME: "RuntimeClass", INGRESS: "IngressClass"}[kind]
        by = " and ".join(paths)
        if cluster.get_object(f"{kind}/{name}") is None:
            yield error(
                f"class {name}",
                f"{asking(by)} for it, and there is no such {word}",
                "make it, or name another",
            )
        else:
            yield ok(f"class {name}", f"a {word}, for {by}")
