"""The API server, asked for objects as they are in JSON and as a way to what runs in the cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from cli.console import Failure

Object = dict[str, Any]
"""A Kubernetes object, or the answer to a question."""

TIMEOUT_SECONDS = (5.0, 15.0)
"""For the connection, and for each answer."""


class NoCluster(Failure):
    """No API server answers."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, 2)


class Unanswered(Exception):
    """The API server answered one question with an error."""

    way_out = "try again; if it stays, ask who runs the cluster"


class Denied(Unanswered):
    """We lack the right to ask one question."""

    way_out = "ask who runs the cluster for this right, or let somebody check who has it"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever the status."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body, or None if it is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    @property
    def refusal(self) -> str | None:
        """The sentence with which the API server itself refused, as opposed to what lies behind it."""
        body = self.json
        if self.status < 400 or not isinstance(body, dict) or body.get("kind") != "Status":
            return None
        return " ".join(str(body.get("message") or body.get("reason") or self.status).split())


class Cluster:
    """One context of a kubeconfig file, or the cluster around this pod.

    Raises:
        NoCluster: there is neither, or the file is broken.
    """

    def __init__(
        self, namespace: str | None = None, context: str | None = None, file: str | None = None
    ) -> None:
        configuration = Configuration()
        configuration.retries = False
        own = "default"
        try:
            load_kube_config(file, context=context, client_configuration=configuration)
            contexts, active = list_kube_config_contexts(file)
            chosen = next((c for c in contexts if c["name"] == context), active)
            own = chosen["context"].get("namespace") or own
        except (ConfigException, OSError) as error:
            if context or file:
                raise NoCluster(f"the kubeconfig is of no use: {error}") from None
            try:
                load_incluster_config(client_configuration=configuration)
            except ConfigException:
                raise NoCluster(
                    f"no cluster is configured ({error}); set KUBECONFIG or give --kubeconfig"
                ) from None
        self.namespace = namespace or own
        self.address: str = configuration.host
        self._api = ApiClient(configuration)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Answer:
        """One request to the API server.

        Raises:
            NoCluster: nothing answers, or it does not know who we are.
        """
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        request = self._api.param_serialize(
            method, path, None, [*(query or {}).items()], sent, body, auth_settings=["BearerToken"]
        )
        try:
            response = self._api.call_api(*request, _request_timeout=TIMEOUT_SECONDS)
            answer = Answer(response.status, response.read(), dict(response.headers))
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise NoCluster(f"no API server answers at {self.address}: {reason}") from None
        if answer.status == 401 and answer.refusal:
            raise NoCluster(
                f"the API server at {self.address} does not accept these credentials: log in again"
            )
        return answer

    def get_object(self, path: str) -> Object | None:
        """An object, or None if there is no such thing.

        Raises:
            Denied, Unanswered: the API server refused.
        """
        answer = self.request("GET", path)
        return None if answer.status == 404 else _object(answer, path)

    def list_objects(self, path: str, labels: str = "") -> list[Object]:
        """The objects of a kind; none if the kind does not exist."""
        answer = self.request("GET", path, {"labelSelector": labels} if labels else None)
        if answer.status == 404:
            return []
        listed = _object(answer, path)
        # The API server names the kind of a list once, and not on each of its items.
        kind = str(listed.get("kind", "")).removesuffix("List")
        return [{"kind": kind, **each} for each in listed.get("items") or []]

    def create_object(self, path: str, body: Object) -> Object:
        """Post an object; for questions like SubjectAccessReview."""
        return _object(self.request("POST", path, body=body), path)

    def read_text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """A log, or what a pod says through the API server's proxy."""
        answer = self.request("GET", path, query, {"Accept": "*/*"})
        _refuse(answer, path)
        return answer.content.decode(errors="replace")

    def serves_kind(self, version: str, resource: str) -> bool:
        """Whether the API server knows a kind, as in ``serves_kind("keda.sh/v1alpha1", "scaledobjects")``."""
        found = self.get_object(f"/apis/{version}") or {}
        return any(entry.get("name") == resource for entry in found.get("resources", []))

    def path_of(self, resource: str, group: str = "v1") -> str:
        """The path of a kind in our namespace; `group` as in ``apps/v1``."""
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        return f"{root}/namespaces/{self.namespace}/{resource}"

    def service_path(self, service: str, port: str = "http") -> str:
        """The path under which the API server passes requests on to a Service."""
        return self.path_of(f"services/{service}:{port}/proxy")

    def close(self) -> None:
        self._api.close()


def _object(answer: Answer, path: str) -> Object:
    _refuse(answer, path)
    body = answer.json
    if not isinstance(body, dict):
        raise Unanswered(f"GET {path} brought no JSON object")
    return body


def _refuse(answer: Answer, path: str) -> None:
    if answer.status in (401, 403):
        raise Denied(answer.refusal or f"{path} is forbidden")
    if answer.status >= 400:
        raise Unanswered(answer.refusal or f"{path} answered {answer.status}")
