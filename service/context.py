"""What every route may use, held by the application's state."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from contract.catalog import Catalog, ModelSpec
from contract.prediction import Prediction
from contract.settings import Settings
from service.intake import Intake
from service.presentation import base_url


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    catalog: Catalog
    intake: Intake
    started_at: str

    def base(self, request: Request) -> str:
        return base_url(request, self.settings.public_url)

    def model_id(self, prediction: Prediction) -> str:
        """`owner/name`; a model that left the catalog is called by the name it had there."""
        spec: ModelSpec | None = self.catalog.get(prediction.model)
        return spec.id if spec else f"local/{prediction.model}"


def context_of(request: Request) -> Context:
    return cast(Context, request.app.state.context)


def owner_of(request: Request) -> str:
    """Whose request this is. One owner, until requests carry keys."""
    return "local"
