"""A SavedModel behind FastAPI as people write it: ``MODEL=folder uvicorn benchmarks.serving_peers.fastapi_app:app``."""

import os

import tensorflow as tf
from fastapi import FastAPI  # type: ignore[import-not-found]  # only the environment of the peers has it
from pydantic import BaseModel  # type: ignore[import-not-found]

model = tf.saved_model.load(os.environ["MODEL"])
signature = model.signatures["serving_default"]
app = FastAPI()


class Request(BaseModel):
    """The body."""

    instances: list[list[float]]


@app.post("/predict")
def predict(request: Request) -> dict[str, list[list[float]]]:
    """Runs the signature."""
    return {"predictions": signature(x=tf.constant(request.instances, tf.float32))["y"].numpy().tolist()}
