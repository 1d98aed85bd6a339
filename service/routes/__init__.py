"""The gateway's routes, a module for each kind."""

from service.routes import health, models, page, predictions, status, stream

ROUTERS = (
    predictions.router,
    stream.router,
    models.router,
    page.router,
    status.router,
    health.router,
)
"""In the order in which a request is matched."""
