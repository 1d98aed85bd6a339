"""What every route may use, held by the application's state."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from contract.catalog import Catalog, ModelSpec
from contract.errors import ModelNotFound
from contract.ledger.transitions import read_models
from contract.prediction import Prediction
from contract.settings import Settings
from contract.versions import is_version
from service.gateway.predictions import Predictions


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    catalog: Catalog
    predictions: Predictions
    started_at: str

    def base_url(self, request: Request) -> str:
        """What the URLs in an answer begin with."""
        if self.settings.public_url:
            return self.settings.public_url
        host = request.headers.get("host", "localhost")
        return f"{request.scope['scheme']}://{host}"

    async def find_model(self, reference: str) -> ModelSpec:
        """The model that `owner/name`, `owner/name:version` or a version id names. A version of another
        catalog than this process's, older or newer, is known by its workers.

        Raises:
            ModelNotFound: nobody knows it.
            LedgerUnavailable: it had to be asked, and does not answer.
        """
        try:
            return self.catalog.find(reference)
        except ModelNotFound:
            if not is_version(reference):
                raise
            for model, known in (
                await self.predictions.run_transition(read_models(list(self.catalog)))
            ).items():
                if any(worker.model_version == reference for worker in known.workers):
                    return self.catalog[model]
            raise

    def model_id(self, prediction: Prediction) -> str:
        """`owner/name`; a model that left the catalog is called by the name it had there."""
        spec: ModelSpec | None = self.catalog.get(prediction.model)
        return spec.id if spec else f"local/{prediction.model}"


def context_of(request: Request) -> Context:
    return cast(Context, request.app.state.context)


def owner_of(request: Request) -> str:
    """Whose request this is. One owner, until requests carry keys."""
    return "local"
