"""The spec of a model that nobody wrote one for: read out of its file, or tried out where it is built by code."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import runtimes
from contract.arrays import Tensors
from contract.errors import SpecError
from contract.model_spec import DEFAULT, Method, ModelSpec, Network, Signature, Tolerance
from contract.tensor_spec import Axis, TensorSpec
from pipeline.data import observed_range, read_rows
from pipeline.spec import write_spec
from pipeline.stage import Result
from pipeline.train.outcome import refused_inputs

__all__ = ["read_file", "read_network"]

_BATCH = "batch"
_MADE_UP = re.compile(r"(axis|s|unk__)\d+")
"""Names of dynamic axes that runtimes and torch.export make up."""


def read_file(*, out: Path, file: Path, runtime: str, **said: Any) -> Result:
    """Writes ``spec.json`` from what a file says of its inputs and outputs.

    Args:
        out: folder to write into.
        file: an .onnx, .keras or .pt2 file.
        runtime: the runtime that reads it.
        **said: see `_write`.

    Raises:
        RuntimeRefusedError: the runtime does not take the file.
        SpecError: a tensor has no rank or a dtype that is not known, or the calibration data does not fit.
    """
    with runtimes.load(runtime, file) as session:
        inputs, outputs = session.inputs, session.outputs
    for tensor in inputs:
        if tensor.shape == runtimes.ANY_RANK:
            raise SpecError(f"input {tensor.name} does not say how many axes it has; export it with a shape")
    return _write(out, inputs, outputs, **said)


def read_network(
    *,
    out: Path,
    predict: Callable[[Tensors], Tensors],
    inputs: Sequence[Mapping[str, Any]],
    axis_sizes: Mapping[str, Sequence[int]],
    **said: Any,
) -> Result:
    """Writes ``spec.json`` for a network that is code, by looking at what it gives for inputs of two sizes.

    Args:
        out: folder to write into.
        predict: runs the network.
        inputs: `TensorSpec` of each, as JSON objects.
        axis_sizes: the sizes that dynamic axes are tried with.
        **said: see `_write`.

    Raises:
        SpecError: the network does not take such inputs, or the calibration data does not fit.
    """
    specs = tuple(map(TensorSpec.from_dict, inputs))
    axes = dict.fromkeys(axis for tensor in specs for axis in tensor.dynamic_axes.values())
    # Different for each axis, so that an output shows which one it follows.
    tried = {axis: tuple(axis_sizes.get(axis, (2 + 2 * i, 3 + 2 * i))) for i, axis in enumerate(axes)}
    small, large = ({axis: sizes[i % len(sizes)] for axis, sizes in tried.items()} for i in (0, 1))
    before, after = (_tried(Network.from_dict(said["network"]), specs, at, predict) for at in (small, large))
    outputs = tuple(
        TensorSpec(
            name,
            value.dtype.name,
            tuple(_axis(name, a, b, small, large) for a, b in zip(value.shape, after[name].shape, strict=True)),
        )
        for name, value in before.items()
    )
    return _write(out, specs, outputs, axis_sizes=axis_sizes, **said)


def _tried(
    network: Network, specs: Sequence[TensorSpec], at: Mapping[str, int], predict: Callable[[Tensors], Tensors]
) -> Tensors:
    inputs = {tensor.name: np.zeros(tensor.sized(at), tensor.dtype) for tensor in specs}
    with refused_inputs(network, specs, by="--input", given=inputs):
        return predict(inputs)


def _axis(output: str, before: int, after: int, small: Mapping[str, int], large: Mapping[str, int]) -> Axis:
    """The dynamic axis of the inputs that an axis of an output follows, or its size if that stays."""
    if before == after:
        return before
    found = [axis for axis in small if (small[axis], large[axis]) == (before, after)]
    return found[0] if found else f"{output}_size"


def _with_batch(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Calls the first axis of the first input ``batch``, where it has a name that only a machine gave it."""
    names = {axis for tensor in (*inputs, *outputs) for axis in tensor.dynamic_axes.values()}
    first = inputs[0].dynamic_axes.get(0, "")
    if not _MADE_UP.fullmatch(first) or _BATCH in names:
        return inputs, outputs

    def named(tensor: TensorSpec) -> TensorSpec:
        return replace(tensor, shape=tuple(_BATCH if axis == first else axis for axis in tensor.shape))

    return tuple(map(named, inputs)), tuple(map(named, outputs))


def _write(
    out: Path,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    *,
    name: str,
    network: Mapping[str, Any],
    axis_sizes: Mapping[str, Sequence[int]],
    tolerances: Mapping[str, float],
    calibration: Path | None = None,
) -> Result:
    """Writes ``spec.json``.

    Args:
        out: folder to write into.
        inputs: what the network takes.
        outputs: what it gives.
        name: what the model is called.
        network: its only `Network`, as a JSON object.
        axis_sizes: the sizes that dynamic axes are tried with.
        tolerances: by hop, as part of the largest value, instead of the default.
        calibration: .npz file whose arrays give the ranges of the inputs.
    """
    inputs, outputs = _with_batch(inputs, outputs)
    if calibration:
        rows = read_rows(calibration, inputs)
        ranges = {tensor.name: observed_range(rows[tensor.name]) for tensor in inputs}
        inputs = tuple(replace(t, minimum=ranges[t.name][0], maximum=ranges[t.name][1]) for t in inputs)
    own = {hop: Tolerance(atol=1e-6, of_largest=part) for hop, part in tolerances.items()}
    spec = ModelSpec(
        name=name,
        inputs=inputs,
        outputs=outputs,
        signatures=(Signature(DEFAULT, Method.PREDICT),),
        networks=(Network.from_dict(network),),
        tolerances=own,
        axis_sizes={axis: tuple(sizes) for axis, sizes in axis_sizes.items()},
    )
    write_spec(out=out, spec=spec.to_dict())
    shapes = ", ".join(map(str, (*inputs, *outputs)))
    return {"note": shapes if len(shapes) < 80 else f"{len(inputs)} inputs, {len(outputs)} outputs"}
