"""Trains a static graph of TensorFlow 1's kind."""

import importlib
from pathlib import Path

import tensorflow as tf

from contract.arrays import Tensors
from models import load_spec
from pipeline.static_graph import placeholders, restore, tensorflow_specs
from pipeline.train.outcome import refused_inputs, save_outcome

__all__ = ["train"]


def train(*, out: Path, golden: Path, model: str, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (by variable name) and ``outputs.npz``."""
    spec = load_spec(model)
    chosen = spec.network(network)
    module = importlib.import_module(chosen.module)
    weights = module.train(seed)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = placeholders(tensorflow_specs(spec.inputs))
        with refused_inputs(spec, chosen):
            outputs = module.forward(inputs)
            restore(session, weights)

        def predict(values: Tensors) -> Tensors:
            answer: Tensors = session.run(outputs, {inputs[name]: value for name, value in values.items()})
            return answer

        save_outcome(out, spec, chosen, golden=golden, weights=weights, predict=predict)
