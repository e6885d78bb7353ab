"""The app of examples/flask for gunicorn: ``MODEL=folder gunicorn benchmarks.serving_peers.flask_app:app``."""

import os
from pathlib import Path

from examples.flask.app import make_app, tensorflow_predictor

app = make_app({"tensorflow": tensorflow_predictor(Path(os.environ["MODEL"]))})
