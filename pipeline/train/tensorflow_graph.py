"""Trains a static graph of TensorFlow 1's kind."""

import importlib
from pathlib import Path

import tensorflow as tf

from contract.arrays import Tensors
from pipeline.spec import read_spec
from pipeline.static_graph import placeholders, restore, tensorflow_specs
from pipeline.train.outcome import refused_inputs, save_outcome

__all__ = ["train"]


def train(*, out: Path, spec: Path, probes: Path, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (by variable name) and ``outputs.npz``."""
    model = read_spec(spec)
    chosen = model.network(network)
    module = importlib.import_module(chosen.module)
    weights = module.train(seed)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        inputs = placeholders(tensorflow_specs(model.inputs))
        with refused_inputs(chosen, model.inputs, by=f"models/{model.name}/spec.py"):
            outputs = module.forward(inputs)
            restore(session, weights)

        def predict(values: Tensors) -> Tensors:
            answer: Tensors = session.run(outputs, {inputs[name]: value for name, value in values.items()})
            return answer

        save_outcome(out, model, chosen, probes=probes, weights=weights, predict=predict)
