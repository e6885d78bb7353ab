"""What a trained network leaves behind, checked before anything is built on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from contract.arrays import Array, Tensors
from contract.errors import ConversionError, SpecError
from contract.golden import read_golden
from contract.model_spec import ModelSpec, Network
from pipeline.verify.probes import make_probes, write_tensors

__all__ = ["named_outputs", "refused_inputs", "save_outcome"]


def save_outcome(
    out: Path,
    spec: ModelSpec,
    network: Network,
    *,
    golden: Path,
    weights: dict[str, Array],
    predict: Callable[[Tensors], Tensors],
) -> None:
    """Writes ``weights.safetensors``, and ``outputs.npz`` with the network's answers to every probe.

    Args:
        out: folder to write into.
        spec: the model's spec.
        network: which of its networks was trained.
        golden: the golden vectors, from which the probes are made.
        weights: the trained weights by name.
        predict: runs the network in its own framework.

    Raises:
        ConversionError: a weight is NaN or infinite.
        SpecError: the network does not take the spec's inputs, or gives other outputs.
    """
    where = _where(network)
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise ConversionError(
                f"{where}: weight {name} holds NaN or infinity after training; lower the learning rate or check the "
                "data"
            )
    probes = make_probes(read_golden(golden))
    answers = {}
    for probe in probes:
        with refused_inputs(spec, network):
            answers[probe.name] = predict(probe.inputs)
        _check_outputs(spec, answers[probe.name], where)
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, out / "weights.safetensors")
    write_tensors(out / "outputs.npz", answers)


@contextmanager
def refused_inputs(spec: ModelSpec, network: Network) -> Iterator[None]:
    """Turns what a framework raises for a shape that does not fit into one line that shows the spec's.

    Raises:
        SpecError: the block raised it, or an error of a framework.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as err:
        # torch raises RuntimeError for a shape that does not fit, TensorFlow and Keras ValueError.
        first_line = str(err).strip().partition("\n")[0]
        raise SpecError(
            f"{_where(network)} does not take the inputs that models/{spec.name}/spec.py declares, "
            f"{', '.join(map(str, spec.inputs))}: {first_line}"
        ) from err


def named_outputs(names: Sequence[str], answers: Sequence[Any]) -> dict[str, Any]:
    """A network's answers under the spec's names, which are in the same order.

    Raises:
        SpecError: there are more or fewer than names.
    """
    if len(answers) != len(names):
        raise SpecError(f"the network gives {len(answers)} outputs, the spec declares {len(names)}: {', '.join(names)}")
    return dict(zip(names, answers, strict=True))


def _where(network: Network) -> str:
    return f"network {network.name} ({network.module})"


def _check_outputs(spec: ModelSpec, outputs: Tensors, where: str) -> None:
    if set(outputs) != {tensor.name for tensor in spec.outputs}:
        raise SpecError(f"{where} gives {sorted(outputs)}, the spec says {', '.join(map(str, spec.outputs))}")
    for tensor in spec.outputs:
        tensor.check(outputs[tensor.name].dtype.name, outputs[tensor.name].shape, where=f"output of {where}")
