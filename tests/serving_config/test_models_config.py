"""The config for TensorFlow Serving that comes with the repository."""

from pathlib import Path

from export.models_config import models_config
from models import load_spec

CONFIG = Path(__file__).parents[2] / "serving_config" / "models.config"


def test_it_is_what_an_export_of_the_or_network_writes_for_the_container():
    spec = load_spec("or_gate")
    assert CONFIG.read_text() == models_config(sorted(map(spec.servable, spec.networks)), "/models")
