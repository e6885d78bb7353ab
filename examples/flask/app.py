"""The network of the blog post over REST, in PyTorch and in TensorFlow: see README.md beside this file."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch  # before TensorFlow: behind it, torch 2.13 warns that it cannot load CUDA's libraries

# isort: split
import numpy as np
import tensorflow as tf
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.serving import make_server

from contract.store import MANIFEST_NAME, read_manifest, versions
from models.or_gate import torch_net

BUILD = Path(__file__).resolve().parents[2] / "build"
SERVABLE = "or_gate_keras"
LARGEST_BODY_BYTES = 1_000_000

Predict = Callable[[np.ndarray[Any, np.dtype[np.float32]]], list[list[float]]]


def instances() -> np.ndarray[Any, np.dtype[np.float32]]:
    """The body of the request, ``{"instances": [[0, 1], ...]}``, as float32 [batch, 2]; anything else is a 400."""
    try:
        # Whatever the Content-Type, as TensorFlow Serving does; what is no JSON comes out as None.
        body = request.get_json(force=True, silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict) or set(body) != {"instances"}:
        raise BadRequest('the body has to be {"instances": [[0, 1], ...]}')
    rows = body["instances"]
    if not isinstance(rows, list) or not rows:
        raise BadRequest("instances has to be a list with at least one instance")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 2 or not all(type(value) in (int, float) for value in row):
            raise BadRequest(f"instances[{index}] has to be a list of 2 numbers")
        if not all(abs(value) <= np.finfo(np.float32).max for value in row):  # NaN fails too
            raise BadRequest(f"instances[{index}] has a number that is not a finite float32")
    return np.array(rows, np.float32)


def make_app(predictors: dict[str, Predict]) -> Flask:
    """An app with ``POST /predict/<name>`` for each predictor."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES

    @app.post("/predict/<name>")
    def predict(name: str) -> Response | tuple[Response, int]:
        if name not in predictors:
            return jsonify(error=f"no network {name!r}; there are: {', '.join(predictors)}"), 404
        return jsonify(predictions=predictors[name](instances()))

    @app.errorhandler(HTTPException)
    def explain(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 500

    return app


def torch_predictor(seed: int) -> Predict:
    """The network, trained now: a second, from the seed that the SavedModel was trained from."""
    net = torch_net.train(seed)

    def predict(x: np.ndarray[Any, np.dtype[np.float32]]) -> list[list[float]]:
        with torch.no_grad():
            rows: list[list[float]] = net(torch.from_numpy(x)).tolist()
        return rows

    return predict


def tensorflow_predictor(folder: Path) -> Predict:
    """A SavedModel from disk."""
    model = tf.saved_model.load(str(folder))

    def predict(x: np.ndarray[Any, np.dtype[np.float32]]) -> list[list[float]]:
        # By way of the model: a signature alone does not keep its variables alive.
        rows: list[list[float]] = model.signatures["serving_default"](x=tf.constant(x))["y"].numpy().tolist()
        return rows

    return predict


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, default=BUILD, help="where `make export` published")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=5000, help="0 for any that is free")
    options = parser.parse_args()
    published = versions(options.build_dir / "serving" / SERVABLE)
    if not published:
        parser.exit(1, f"no {SERVABLE} in {options.build_dir}/serving: run `make export` first\n")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # three units need no GPU, and looking for one takes seconds
    folder = published[max(published)]
    seed = read_manifest(folder / MANIFEST_NAME).config["seed"]
    app = make_app({"torch": torch_predictor(seed), "tensorflow": tensorflow_predictor(folder)})
    server = make_server(options.host, options.port, app, threaded=True)
    print(f"serving on http://{options.host}:{server.server_port}/predict/torch and /predict/tensorflow", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
