"""Training in each framework: what it leaves behind, and what it says of a spec that the network contradicts."""

import importlib
import re
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from contract.errors import ConversionError, SpecError
from contract.tensor_spec import TensorSpec
from models.or_gate.spec import SPEC

pytestmark = [
    pytest.mark.slow,  # PyTorch and TensorFlow
    # Where there is no GPU: TensorFlow, in this process before it, has asked for one already.
    pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning"),
]

STAGES = {
    "pytorch": "pipeline.train.pytorch",
    "keras": "pipeline.train.keras_model",
    "static_graph": "pipeline.train.tensorflow_graph",
}
WIDE = replace(SPEC, inputs=(TensorSpec("x", "float32", ("batch", 3), 0.0, 1.0),))


@pytest.fixture(params=STAGES)
def network(request) -> str:
    name: str = request.param
    return name


@pytest.fixture
def train(spec_file, probes_of, tmp_path):
    """Trains a network of a spec into the test's folder; the probes are those of the inputs that the spec declares."""

    def trained(network, spec=SPEC, seed=0):
        stage = importlib.import_module(STAGES[network])
        probes = probes_of(replace(spec, data=""))
        stage.train(out=tmp_path, spec=spec_file(spec), probes=probes, network=network, seed=seed)

    return trained


def spec_with(network: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """The spec with another module for a network."""
    monkeypatch.setitem(sys.modules, module.__name__, module)
    networks = tuple(
        replace(entry, module=module.__name__) if entry.name == network else entry for entry in SPEC.networks
    )
    return replace(SPEC, networks=networks)


def test_weights_are_finite_float32_in_safetensors(train, network, tmp_path):
    from safetensors import safe_open

    train(network)
    with safe_open(tmp_path / "weights.safetensors", framework="np") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    hidden = ["hidden.bias", "hidden.weight", "output.bias", "output.weight"]
    variables = ["hidden/bias", "hidden/kernel", "output/bias", "output/kernel"]
    assert sorted(weights) == (hidden if network == "pytorch" else variables)
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}
    assert all(np.isfinite(value).all() for value in weights.values())


def test_a_seed_gives_the_same_bytes_again_and_another_seed_other_ones(train, network, tmp_path):
    written = []
    for seed in (3, 3, 4):
        train(network, seed=seed)
        written.append((tmp_path / "weights.safetensors").read_bytes())
    assert written[0] == written[1]
    assert written[0] != written[2]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("pytorch", "mat1 and mat2 shapes cannot be multiplied"),
        ("keras", "incompatible with the layer"),
        ("static_graph", r"Cannot feed value of shape \(2, 2\)"),
    ],
)
def test_a_spec_that_the_network_contradicts_is_shown_beside_the_networks_own_words(train, network, words):
    with pytest.raises(SpecError) as caught:
        train(network, WIDE)
    message = str(caught.value)
    assert message.startswith(
        f"network {network} ({SPEC.network(network).module}) does not take the inputs that models/or_gate/spec.py "
        "declares, x float32[batch, 3]: "
    )
    assert re.search(words, message)
    assert "\n" not in message


def test_a_network_that_gives_another_dtype_is_refused(train, network, monkeypatch):
    module = ModuleType("double_net")
    original: Any = importlib.import_module(SPEC.network(network).module)
    if network == "static_graph":
        import tensorflow as tf

        vars(module).update(
            train=original.train,
            forward=lambda inputs: {name: tf.cast(y, tf.float64) for name, y in original.forward(inputs).items()},
        )
    else:
        vars(module).update(train=lambda seed: _Double(original.train(seed)))
    with pytest.raises(SpecError, match=r"the spec says y float32\[batch, 1\], but here it is float64\[1, 1\]"):
        train(network, spec_with(network, module, monkeypatch))


class _Double:
    """A trained network whose answers are of double precision."""

    def __init__(self, net: Any) -> None:
        self._net = net

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        answer = self._net(*arguments, **keywords)
        return answer.double() if hasattr(answer, "double") else np.float64(answer)


def test_more_outputs_than_the_network_gives_are_told_as_such(train, network):
    spec = replace(SPEC, outputs=(*SPEC.outputs, TensorSpec("z", "float32", ("batch", 1))))
    with pytest.raises(SpecError) as caught:
        train(network, spec)
    if network == "static_graph":  # its outputs have names
        assert "gives ['y'], the spec says y float32[batch, 1], z float32[batch, 1]" in str(caught.value)
    else:
        assert str(caught.value) == "the network gives 1 outputs, the spec declares 2: y, z"


@pytest.mark.parametrize(
    ("network", "weight"), [("pytorch", "hidden.bias"), ("keras", "hidden/bias"), ("static_graph", "hidden/bias")]
)
def test_training_that_diverged_is_told_by_the_weight(train, network, weight, monkeypatch):
    original: Any = importlib.import_module(SPEC.network(network).module)

    def diverged(seed):
        net = original.train(seed)
        if network == "pytorch":
            net.hidden.bias.data.fill_(float("nan"))
        elif network == "keras":
            net.get_layer("hidden").bias.assign([1, float("inf")])
        else:
            net["hidden/bias"] = np.array([np.nan, 0], np.float32)
        return net

    module = ModuleType("diverging_net")
    vars(module).update({**vars(original), "train": diverged})
    with pytest.raises(ConversionError, match=f"weight {weight} holds NaN or infinity after training"):
        train(network, spec_with(network, module, monkeypatch))
