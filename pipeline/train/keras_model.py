"""Trains a Keras model."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from contract.arrays import Tensors
from contract.model_spec import ModelSpec
from models import load_spec
from pipeline.train.outcome import named_outputs, save_outcome

__all__ = ["call", "train"]


def train(*, out: Path, golden: Path, model: str, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (by variable path, such as ``hidden/kernel``) and ``outputs.npz``."""
    spec = load_spec(model)
    chosen = spec.network(network)
    net = importlib.import_module(chosen.module).train(seed)
    weights = {variable.path: keras.ops.convert_to_numpy(variable) for variable in net.variables}

    def predict(inputs: Tensors) -> Tensors:
        return {name: keras.ops.convert_to_numpy(value) for name, value in call(net, spec, inputs).items()}

    save_outcome(out, spec, chosen, golden=golden, weights=weights, predict=predict)


def call(net: keras.Model, spec: ModelSpec, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a model by the spec's names: one input alone, several as a dict; several outputs in the spec's order."""
    answer = net(dict(inputs) if len(inputs) > 1 else next(iter(inputs.values())), training=False)
    answers = answer if isinstance(answer, (list, tuple)) else [answer]
    return named_outputs([tensor.name for tensor in spec.outputs], answers)
