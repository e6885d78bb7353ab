"""A PyTorch network: trained by its module, or built by it and filled from a file of weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from contract.arrays import Tensors
from contract.errors import SpecError
from contract.model_spec import ModelSpec, Network
from pipeline.factory import build_network, train_network
from pipeline.read import read_network
from pipeline.saving.torch_files import load_weights
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.train.outcome import named_outputs, save_outcome

__all__ = ["build", "describe", "load", "predict", "train"]


def train(*, out: Path, spec: Path, probes: Path, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (the state dict) and ``outputs.npz``."""
    model = read_spec(spec)
    chosen = model.network(network)
    _save(out, model, chosen, probes, train_network(chosen, seed))


def load(*, out: Path, spec: Path, probes: Path, network: str, weights: Path) -> None:
    """Writes what `train` does, from the file of weights.

    Args:
        out: folder to write into.
        spec: the model's spec.
        probes: the calls.
        network: which of its networks.
        weights: see `pipeline.saving.torch_files.load_weights`.
    """
    model = read_spec(spec)
    chosen = model.network(network)
    net = build(chosen)
    load_weights(weights, net)
    _save(out, model, chosen, probes, net)


def describe(*, out: Path, network: Mapping[str, Any], outputs: Sequence[str], **said: Any) -> Result:
    """Writes the spec of a network that nobody wrote one for: see `pipeline.read.read_network`.

    Args:
        out: folder to write into.
        network: the `Network`, as a JSON object.
        outputs: names of what it gives; made up where there are none.
        **said: see there.
    """
    net = build(Network.from_dict(network))
    net.eval()
    return read_network(out=out, predict=lambda inputs: predict(net, inputs, outputs), network=network, **said)


def build(network: Network) -> torch.nn.Module:
    """The network as its code builds it.

    Raises:
        SpecError: that gives something else than a module.
    """
    net = build_network(network)
    if not isinstance(net, torch.nn.Module):
        raise SpecError(f"{':'.join(network.factory)} gives {type(net).__name__}, not a torch.nn.Module")
    return net


def predict(net: torch.nn.Module, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
    """Calls a module with keyword arguments named as the inputs.

    Several outputs are a tuple or a list in the order of ``outputs``, or a dict by name; without names they get some.
    """
    with torch.no_grad():
        answer = net(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    if isinstance(answer, dict):
        return {name: value.numpy() for name, value in answer.items()}
    answers = answer if isinstance(answer, (tuple, list)) else (answer,)
    return {name: value.numpy() for name, value in named_outputs(outputs, answers).items()}


def _save(out: Path, spec: ModelSpec, network: Network, probes: Path, net: torch.nn.Module) -> None:
    net.eval()
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    outputs = [tensor.name for tensor in spec.outputs]
    save_outcome(
        out, spec, network, probes=probes, weights=weights, predict=lambda inputs: predict(net, inputs, outputs)
    )
