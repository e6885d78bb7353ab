"""A Keras model: trained by its module, or built by it and filled from a file of weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from contract.arrays import Tensors
from contract.errors import SpecError
from contract.model_spec import ModelSpec, Network
from pipeline.factory import build_network, train_network
from pipeline.read import read_network
from pipeline.saving.keras_files import load_weights
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.train.outcome import named_outputs, save_outcome
from runtimes.keras_model import call_by_name

__all__ = ["build", "call", "describe", "load", "train"]


def train(*, out: Path, spec: Path, probes: Path, network: str, seed: int) -> None:
    """Writes ``weights.safetensors`` (by variable path, such as ``hidden/kernel``) and ``outputs.npz``."""
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
        weights: see `pipeline.saving.keras_files.load_weights`.
    """
    model = read_spec(spec)
    chosen = model.network(network)
    net = build(chosen)
    load_weights(weights, net)
    _save(out, model, chosen, probes, net)


def describe(*, out: Path, network: Mapping[str, Any], outputs: Sequence[str], **said: Any) -> Result:
    """Writes the spec of a model that nobody wrote one for: see `pipeline.read.read_network`.

    Args:
        out: folder to write into.
        network: the `Network`, as a JSON object.
        outputs: names of what it gives; those of its layers where there are none.
        **said: see there.
    """
    net = build(Network.from_dict(network))

    def predict(inputs: Tensors) -> Tensors:
        answers = call_by_name(net, inputs)
        named = named_outputs(outputs, list(answers.values())) if outputs else answers
        return {name: keras.ops.convert_to_numpy(value) for name, value in named.items()}

    return read_network(out=out, predict=predict, network=network, **said)


def build(network: Network) -> keras.Model:
    """The model as its code builds it.

    Raises:
        SpecError: that gives something else than a Keras model.
    """
    net = build_network(network)
    if not isinstance(net, keras.Model):
        raise SpecError(f"{':'.join(network.factory)} gives {type(net).__name__}, not a keras.Model")
    return net


def call(net: keras.Model, spec: ModelSpec, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a model by the spec's names; outputs that are no dict are in the spec's order."""
    answers = call_by_name(net, inputs)
    names = [tensor.name for tensor in spec.outputs]
    return answers if set(answers) == set(names) else named_outputs(names, list(answers.values()))


def _save(out: Path, spec: ModelSpec, network: Network, probes: Path, net: keras.Model) -> None:
    weights = {variable.path: keras.ops.convert_to_numpy(variable) for variable in net.variables}

    def predict(inputs: Tensors) -> Tensors:
        return {name: keras.ops.convert_to_numpy(value) for name, value in call(net, spec, inputs).items()}

    save_outcome(out, spec, network, probes=probes, weights=weights, predict=predict)
