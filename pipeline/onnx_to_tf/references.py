"""What a converted model is held against: the original in ONNX Runtime or, failing that, in onnx's own evaluator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import runtimes
from contract.arrays import Array, Tensors
from contract.errors import ConversionError, RuntimeRefusedError, SpecError
from runtimes.session import one_line

__all__ = ["EVALUATOR", "REFUSALS", "Reference", "as_bytes", "as_texts", "random_outputs", "reference_of"]

EVALUATOR = "onnx's reference evaluator"

REFUSALS = (SpecError, RuntimeRefusedError)
"""What a reference raises for inputs that it does not take."""

_FAILURES = (
    *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError),
    *(AssertionError, ArithmeticError, NameError),
)
"""What the evaluator, which is plain Python and numpy, raises for what it does not know or cannot do."""

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A runtime with the original model loaded.

    Attributes:
        runtime: its name.
        reason: why it is not ONNX Runtime; empty where it is.
        run: takes inputs by name, gives outputs by name; strings are bytes. Raises one of `REFUSALS`.
        close: gives its memory back.
    """

    runtime: str
    reason: str
    run: Callable[[Tensors], Tensors]
    close: Callable[[], None]


def reference_of(path: Path, operators: Sequence[type[OpRun]] = ()) -> Reference:
    """Loads the original model.

    Args:
        path: the file; its external data lies beside it.
        operators: more operators of the evaluator's, for domains that neither of the two knows.

    Raises:
        ConversionError: neither takes it.
    """
    try:
        session = runtimes.load("onnxruntime", path)
    except REFUSALS as err:
        reason = one_line(err).removeprefix(f"{path}: ")
    else:
        return Reference("onnxruntime", "", session.run, session.close)
    try:
        evaluator = ReferenceEvaluator(str(path), new_ops=list(operators))
    except _FAILURES as err:
        raise ConversionError(
            f"what was converted cannot be verified, and so is not kept: {reason}; {EVALUATOR}: {one_line(err)}"
        ) from err
    return Reference(EVALUATOR, reason, lambda inputs: _evaluated(evaluator, inputs), lambda: None)


def random_outputs(model: ir.Model) -> dict[str, str]:
    """The outputs that depend on random numbers, each with the operator that draws them: no two runs give the same."""
    random: dict[ir.Value, str] = {}
    for node in model.graph:
        drawn = _drawn(node, model)
        drawn = drawn or next((random[value] for value in node.inputs if value in random), "")
        if drawn:
            random.update(dict.fromkeys(node.outputs, drawn))
    return {str(value.name): random[value] for value in model.graph.outputs if value in random}


def _drawn(node: ir.Node, model: ir.Model, seen: frozenset[Any] = frozenset()) -> str:
    """The operator in a node that draws random numbers, in its subgraphs and its function too; else an empty text."""
    if node.op_type in _RANDOM or (node.op_type == "Dropout" and _is_training(node)):
        return node.op_type
    key = node.op_identifier()
    inner: list[ir.Node] = []
    if key in model.functions and key not in seen:
        inner += list(model.functions[key])
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner += list(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            inner += [nested for graph in attribute.as_graphs() for nested in graph]
    return next(filter(None, (_drawn(nested, model, seen | {key}) for nested in inner)), "")


def _is_training(node: ir.Node) -> bool:
    """Whether a Dropout drops: from opset 12 by an input, and not where that is known to be False."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    known = mode.const_value
    return known is None or bool(np.any(known.numpy()))


def _evaluated(evaluator: ReferenceEvaluator, inputs: Tensors) -> dict[str, Array]:
    feeds = {name: as_texts(array) if array.dtype == object else array for name, array in inputs.items()}
    try:
        results = evaluator.run(None, feeds)
    except _FAILURES as err:
        raise RuntimeRefusedError(f"{EVALUATOR}: {type(err).__name__}: {one_line(err)}") from err
    return {name: as_bytes(np.asarray(r)) for name, r in zip(evaluator.output_names, results, strict=True)}


def as_texts(array: Array) -> Array:
    """Strings as ONNX Runtime and the evaluator take them."""
    return _mapped(array, lambda word: word.decode())


def as_bytes(array: Array) -> Array:
    """Strings as TensorFlow gives them; other arrays as they are."""
    if array.dtype.kind not in "UO":
        return array
    return _mapped(array, lambda word: word.encode() if isinstance(word, str) else word)


def _mapped(array: Array, function: Callable[[Any], object]) -> Array:
    result = np.empty(array.size, object)
    result[:] = [function(item) for item in array.ravel().tolist()]
    return result.reshape(array.shape)
