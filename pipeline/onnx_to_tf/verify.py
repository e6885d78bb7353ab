"""Holds a SavedModel, loaded again from disk, against the ONNX model that it was made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import tensorflow as tf

import runtimes
from contract.arrays import Array, Tensors
from contract.errors import ParityError, RuntimeRefusedError, SpecError
from contract.tolerance import Tolerance
from pipeline.onnx_to_tf.passes.drop_zip_maps import zip_maps
from pipeline.onnx_to_tf.probing import Call, check_axes, given_call, random_calls
from pipeline.onnx_to_tf.references import REFUSALS, Reference, quantized_outputs, random_outputs
from pipeline.verify.parity import check_parity
from pipeline.verify.probes import Kind, Probe
from runtimes.quiet import silent_stderr

__all__ = ["Answers", "Parts", "Verification", "answers", "check_file", "run_saved_model", "run_tflite", "tolerance_of"]

_TOLERANCES = {
    "float32": Tolerance(atol=1e-6, of_largest=1e-4),
    "float64": Tolerance(atol=1e-6, of_largest=1e-4),
    # 11 and 8 bits of each value, over networks of any depth; the small types have 3 or 2.
    "float16": Tolerance(atol=1e-3, of_largest=1e-2),
    "bfloat16": Tolerance(atol=1e-2, of_largest=5e-2),
    "float8": Tolerance(of_largest=0.25),
}
_EXACT = Tolerance()
"""For whole numbers, truth values and strings."""

_QUANTIZED = 5e-2
"""As part of the largest value: about six steps of eight bits over a symmetric range.

A value halfway between two steps goes to either by the last bit of what it was computed from, and others follow it.
"""
_QUANTIZED_STEPS = 3
"""Of an output that is itself a quantized value of eight bits."""


@dataclass(frozen=True, slots=True)
class Parts:
    """How far a value may be off, where somebody says so: None for the default of its type.

    Attributes:
        rtol: as part of the largest value of its tensor.
        atol: in the units of the value.
    """

    rtol: float | None = None
    atol: float | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What the original gives.

    Attributes:
        runtime: who gives it.
        reason: why not ONNX Runtime; empty where it is that.
        calls: the calls.
        outputs: of each call.
        random: the outputs that depend on random numbers, and the operator that draws them.
        quantized: the outputs that depend on quantized values, and the operator that quantizes.
        maps: the outputs that are a map for each row in ONNX, a ZipMap's, and a tensor here.
        is_telling: False where some output is NaN throughout, whatever was tried.
    """

    runtime: str
    reason: str
    calls: tuple[Call, ...]
    outputs: tuple[Tensors, ...]
    random: Mapping[str, str]
    quantized: Mapping[str, str]
    maps: tuple[str, ...]
    is_telling: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """What was measured of one file.

    Attributes:
        runtime: who ran it.
        reference: who gave the values it was held against.
        reason: why that is not ONNX Runtime; empty where it is.
        calls: the sizes or the file of each call.
        max_abs_diff: the largest difference over all calls and outputs.
        values: how many values were compared.
        notes: what was not compared, or not as closely as other values are, and why.
    """

    runtime: str
    reference: str
    reason: str
    calls: tuple[str, ...]
    max_abs_diff: float
    values: int
    notes: tuple[str, ...] = field(default=())


def answers(
    model: ir.Model, reference: Reference, *, sizes: Mapping[str, Sequence[int]], files: Sequence[Path] = ()
) -> Answers:
    """Asks the original.

    Args:
        model: as it was read, with its axes.
        reference: with the original.
        sizes: of dynamic axes, in place of those made up here.
        files: .npz files with the inputs of a call each, in place of random ones.

    Raises:
        UsageError: an axis or a file is not there, or does not fit.
        SpecError: the original takes none of the inputs.
    """
    check_axes(model, sizes)
    if files:
        given = tuple(given_call(model, file) for file in files)
        return _answers(model, reference, given, [_asked(reference, call) for call in given])
    refused: tuple[Call, Exception] | None = None
    untelling: Answers | None = None
    for attempt in random_calls(model, sizes):
        chosen: list[tuple[Call, Tensors]] = []
        for alternatives in attempt:
            taken: list[tuple[Call, Tensors]] = []
            for call in alternatives:
                try:
                    taken.append((call, reference.run(call.inputs)))
                except REFUSALS as err:
                    refused = refused or (call, err)
                    continue
                if _is_telling(taken[-1][1]):
                    break
            if not taken:
                break
            chosen.append(taken[-1])
        if len(chosen) < len(attempt):
            continue
        found = _answers(model, reference, [call for call, _ in chosen], [output for _, output in chosen])
        if found.is_telling:
            return found
        untelling = untelling or found
    if untelling is not None:
        return untelling
    assert refused is not None
    raise SpecError(
        f"{reference.runtime} does not take random inputs ({refused[0].name}), so that nothing can be compared: "
        f"{refused[1]}; say which sizes are valid by --axis NAME=N,N, or give inputs by --input FILE.npz"
    )


def check_file(
    asked: Answers, run: Callable[[Tensors], Tensors], runtime: str, parts: Parts, *, hop: str
) -> Verification:
    """Holds what a file answers against what the original gave.

    Args:
        asked: the calls and what the original gave.
        run: runs the file.
        runtime: who runs it.
        parts: how far a value may be off.
        hop: what the file is, for messages.

    Raises:
        ParityError: a value is off by more than that, or the file does not take what the original takes.
    """
    largest, values = 0.0, 0
    where = f"{hop} in {runtime} against {asked.runtime}"
    for call, expected in zip(asked.calls, asked.outputs, strict=True):
        try:
            actual = run(call.inputs)
        except REFUSALS as err:
            raise ParityError(f"{where}: {asked.runtime} answers for {call.name}, but it fails: {err}") from err
        probe = Probe(Kind.RANDOM, call.name, call.inputs)
        for name, wanted in expected.items():
            given = {name: actual[name]} if name in actual else {}
            if name in asked.random:
                _check_shape(where, name, wanted, given)
                continue
            tolerance = tolerance_of(wanted, parts, is_quantized=name in asked.quantized)
            parity = check_parity(where, [probe], {call.name: {name: wanted}}, {call.name: given}, tolerance)
            largest, values = max(largest, parity.max_abs_diff), values + parity.values
    notes = [
        f"{name} depends on random numbers ({op_type}): its shape was compared, its values cannot be"
        for name, op_type in asked.random.items()
    ]
    notes += [
        f"{name} is a map for each row in ONNX, and here a tensor of a column for each class" for name in asked.maps
    ]
    notes += [
        f"{name} depends on quantized values ({op_type}): it may be off by "
        f"{tolerance_of(asked.outputs[0][name], parts, is_quantized=True)}, as any of them may be rounded either way"
        for name, op_type in asked.quantized.items()
        if name not in asked.random
    ]
    if not asked.is_telling:
        notes.append("an output is NaN for all inputs that were tried; give better ones by --input FILE.npz")
    names = tuple(call.name for call in asked.calls)
    return Verification(runtime, asked.runtime, asked.reason, names, largest, values, tuple(notes))


def tolerance_of(array: Array, parts: Parts, *, is_quantized: bool = False) -> Tolerance:
    """How far the values of an output may be off; further where they depend on quantized values."""
    name = array.dtype.name
    default = _TOLERANCES.get("float8" if name.startswith("float8") else name, _EXACT)
    if default is _EXACT and is_quantized and array.dtype in (np.int8, np.uint8) and parts.atol is None:
        return Tolerance(atol=_QUANTIZED_STEPS)
    if default is not _EXACT and is_quantized:
        default = replace(default, of_largest=max(default.of_largest, _QUANTIZED))
    if default is _EXACT:
        return _EXACT if parts.atol is None or array.dtype.kind not in "iu" else Tolerance(atol=parts.atol)
    return Tolerance(
        atol=default.atol if parts.atol is None else parts.atol,
        of_largest=default.of_largest if parts.rtol is None else parts.rtol,
    )


def run_saved_model(folder: Path) -> tuple[str, Callable[[Tensors], Tensors], Callable[[], None]]:
    """Loads a SavedModel from disk: who runs it, how it is run, and how it is closed.

    TensorFlow's C API does, as in a server; TensorFlow's Python where a tensor has a type that numpy lacks, or no
    element.
    """
    try:
        session = runtimes.load("tensorflow_c", folder)
    except REFUSALS:
        loaded = tf.saved_model.load(str(folder))
        return "tensorflow", lambda inputs: _run_in_python(loaded, inputs), lambda: None
    return "tensorflow_c", session.run, session.close


def run_tflite(file: Path) -> tuple[str, Callable[[Tensors], Tensors], Callable[[], None]]:
    """Loads a .tflite file: as `run_saved_model`.

    Raises:
        RuntimeRefusedError: LiteRT does not take it.
    """
    with silent_stderr():  # it tells of its delegate there
        session = runtimes.load("ai_edge_litert", file)
    return "ai_edge_litert", session.run, session.close


def _run_in_python(loaded: tf.Module, inputs: Tensors) -> dict[str, Array]:
    signature = loaded.signatures["serving_default"]
    try:
        outputs = signature(**{name: tf.constant(array) for name, array in inputs.items()})
    except (tf.errors.OpError, TypeError, ValueError) as err:
        raise RuntimeRefusedError(" ".join(str(err).split())) from err
    return {name: np.asarray(tensor.numpy()) for name, tensor in outputs.items()}


def _answers(model: ir.Model, reference: Reference, calls: Sequence[Call], outputs: Sequence[Tensors]) -> Answers:
    return Answers(
        runtime=reference.runtime,
        reason=reference.reason,
        calls=tuple(calls),
        outputs=tuple(outputs),
        random=random_outputs(model),
        quantized=quantized_outputs(model),
        maps=tuple(zip_maps(model)),
        is_telling=all(map(_is_telling, outputs)),
    )


def _asked(reference: Reference, call: Call) -> Tensors:
    try:
        return reference.run(call.inputs)
    except REFUSALS as err:
        raise SpecError(f"{call.name}: {reference.runtime} does not take these inputs: {err}") from err


def _is_telling(outputs: Tensors) -> bool:
    """Whether no output is NaN throughout: any two of those are equal."""
    return not any(array.size and array.dtype.kind == "f" and bool(np.isnan(array).all()) for array in outputs.values())


def _check_shape(where: str, name: str, wanted: Array, given: Tensors) -> None:
    array = given.get(name)
    if array is None or array.shape != wanted.shape or array.dtype != wanted.dtype:
        shown = "is missing" if array is None else f"is {array.dtype}{list(array.shape)}"
        raise ParityError(f"{where}: {name} {shown}, the original gives {wanted.dtype}{list(wanted.shape)}")
