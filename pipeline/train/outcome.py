"""What a trained or loaded network leaves behind, checked before anything is built on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from contract.arrays import Array, Tensors
from contract.errors import ConversionError, RuntimeRefusedError, SpecError
from contract.model_spec import ModelSpec, Network
from contract.tensor_spec import TensorSpec
from pipeline.verify.probes import read_probes
from pipeline.verify.tensor_files import write_tensors

__all__ = ["named_outputs", "refused_inputs", "save_answers", "save_outcome"]


def save_outcome(
    out: Path,
    spec: ModelSpec,
    network: Network,
    *,
    probes: Path,
    weights: dict[str, Array],
    predict: Callable[[Tensors], Tensors],
) -> None:
    """Writes ``weights.safetensors``, and ``outputs.npz`` with the network's answers to every probe.

    Args:
        out: folder to write into.
        spec: the model's spec.
        network: which of its networks it is.
        probes: the calls.
        weights: the weights by name.
        predict: runs the network in its own framework.

    Raises:
        ConversionError: a weight is NaN or infinite.
        SpecError: the network does not take the spec's inputs, or gives other outputs.
    """
    for name, value in weights.items():
        if not np.isfinite(value).all():
            remedy = (
                "choose another file"
                if network.weights
                else "after training; lower the learning rate or check the data"
            )
            raise ConversionError(f"{_where(network)}: weight {name} holds NaN or infinity {remedy}")
    save_answers(out, spec, network, probes=probes, predict=predict)
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, out / "weights.safetensors")


def save_answers(
    out: Path, spec: ModelSpec, network: Network, *, probes: Path, predict: Callable[[Tensors], Tensors]
) -> None:
    """Writes ``outputs.npz``: see `save_outcome`."""
    answers = {}
    for probe in read_probes(probes):
        with refused_inputs(network, spec.inputs, by=_declared_by(spec), given=probe.inputs):
            answers[probe.name] = predict(probe.inputs)
        _check_outputs(spec, answers[probe.name], _where(network))
    write_tensors(out / "outputs.npz", answers)


@contextmanager
def refused_inputs(
    network: Network, declared: Sequence[TensorSpec], *, by: str, given: Tensors | None = None
) -> Iterator[None]:
    """Turns what a framework raises for inputs that it does not take into one line that shows what was declared.

    Args:
        network: the network.
        declared: the inputs that it should take.
        by: where that is said.
        given: those that it is given in the block.

    Raises:
        SpecError: the block raised it, or an error of a framework or a runtime.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, RuntimeRefusedError) as err:
        # torch raises RuntimeError for a shape that does not fit and IndexError for an index, TensorFlow ValueError.
        at = remedy = ""
        if given and any(set(tensor.dynamic_axes) - {0} for tensor in declared):
            at = f" at {', '.join(f'{name} {list(value.shape)}' for name, value in given.items())}"
            remedy = "; other sizes are tried with --axis NAME=SIZE,SIZE, or by axis_sizes of the spec"
        raise SpecError(
            f"{_where(network)} does not take the inputs that {by} declares, {', '.join(map(str, declared))}{at}: "
            f"{str(err).strip().partition(chr(10))[0]}{remedy}"
        ) from err


def named_outputs(names: Sequence[str], answers: Sequence[Any]) -> dict[str, Any]:
    """A network's answers under the spec's names, which are in the same order; under made-up ones where it has none.

    Raises:
        SpecError: there are more or fewer than names.
    """
    if not names:
        names = ["output"] if len(answers) == 1 else [f"output_{i}" for i in range(len(answers))]
    if len(answers) != len(names):
        raise SpecError(f"the network gives {len(answers)} outputs, the spec declares {len(names)}: {', '.join(names)}")
    return dict(zip(names, answers, strict=True))


def _declared_by(spec: ModelSpec) -> str:
    is_file = len(spec.networks) == 1 and spec.networks[0].servable == spec.name
    return spec.networks[0].file or "--input" if is_file else f"models/{spec.name}/spec.py"


def _where(network: Network) -> str:
    return f"network {network.name} ({network.module or network.file})"


def _check_outputs(spec: ModelSpec, outputs: Tensors, where: str) -> None:
    if set(outputs) != {tensor.name for tensor in spec.outputs}:
        raise SpecError(f"{where} gives {sorted(outputs)}, the spec says {', '.join(map(str, spec.outputs))}")
    for tensor in spec.outputs:
        tensor.check(outputs[tensor.name].dtype.name, outputs[tensor.name].shape, where=f"output of {where}")
