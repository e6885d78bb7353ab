"""Trains a PyTorch network."""

import importlib
from pathlib import Path

import torch

from contract.arrays import Tensors
from models import load_spec
from pipeline.train.outcome import named_outputs, save_outcome

__all__ = ["predict", "train"]


def train(*, out: Path, golden: Path, model: str, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (the state dict) and ``outputs.npz``."""
    spec = load_spec(model)
    chosen = spec.network(network)
    net = importlib.import_module(chosen.module).train(seed)
    net.eval()
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    outputs = [tensor.name for tensor in spec.outputs]
    save_outcome(
        out, spec, chosen, golden=golden, weights=weights, predict=lambda inputs: predict(net, inputs, outputs)
    )


def predict(net: torch.nn.Module, inputs: Tensors, outputs: list[str]) -> Tensors:
    """Calls a module with keyword arguments named as the inputs; several outputs are a tuple in the spec's order."""
    with torch.no_grad():
        answer = net(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    answers = answer if isinstance(answer, tuple) else (answer,)
    return {name: value.numpy() for name, value in named_outputs(outputs, answers).items()}
