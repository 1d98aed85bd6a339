"""The usual FastAPI + Celery + AsyncResult service, as tutorials write it.

The shape is that of https://towardsdatascience.com/deploying-ml-models-in-production-with-fastapi-and-celery-7063e539a5db/
and of most others: one Celery task a request, the model loaded once by the Task class, JSON, Redis as
broker and result backend, and a client that asks for the result by the id it was given.
"""

import os
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.result import AsyncResult
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel

REDIS = os.environ["BENCH_REDIS_URL"]

celery_app = Celery("usual", broker=REDIS, backend=REDIS)
celery_app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])


class PredictTask(Task):
    """Loads the model with the first prediction, in the process that predicts, and keeps it."""

    abstract = True
    model = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.model is None:
            from bench.offline import Offline

            self.model = Offline(Path(os.environ["BENCH_MODEL"]), os.environ["BENCH_TASK"])
        return self.run(*args, **kwargs)


@celery_app.task(bind=True, base=PredictTask, name="predict")
def predict(self: PredictTask, text: str) -> Any:
    return self.model.predict([text])[0]


app = FastAPI()


class Request(BaseModel):
    text: str


@app.post("/predict", status_code=202)
async def submit(request: Request) -> dict[str, str]:
    result = predict.delay(request.text)
    return {"task_id": result.id, "status": "Processing"}


@app.get("/status/{task_id}")
async def status(task_id: str) -> Any:
    result = AsyncResult(task_id, app=celery_app)
    if not result.ready():
        return JSONResponse(status_code=202, content={"task_id": task_id, "status": "Processing"})
    return {"task_id": task_id, "status": "Success", "prediction": result.get()}


@app.post("/predict-and-wait")
def submit_and_wait(request: Request) -> dict[str, Any]:
    return {"status": "Success", "prediction": predict.delay(request.text).get(timeout=60)}
