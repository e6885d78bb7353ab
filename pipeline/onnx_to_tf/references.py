"""What a converted model is held against: the original in ONNX Runtime or, failing that, in onnx's own evaluator."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.version import version as onnx_version

from contract.arrays import Array, Tensors
from contract.errors import ConversionError, RuntimeRefusedError, SpecError
from runtimes import onnx_runtime
from runtimes.session import one_line

__all__ = [
    "EVALUATOR",
    "REFUSALS",
    "Reference",
    "as_bytes",
    "as_texts",
    "quantized_outputs",
    "random_outputs",
    "reference_of",
]

EVALUATOR = "onnx's reference evaluator"

REFUSALS = (SpecError, RuntimeRefusedError)
"""What a reference raises for inputs that it does not take."""

_FAILURES = (
    *(RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError),
    *(AssertionError, ArithmeticError, NameError),
)
"""What the evaluator, which is plain Python and numpy, raises for what it does not know or cannot do."""

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}

_QUANTIZING = ("QuantizeLinear", "DynamicQuantize", "QLinear", "QGemm", "QAttention")
"""How the operators begin that round values to steps while the model runs, ONNX's own and ONNX Runtime's."""


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


def reference_of(path: Path, operators: Sequence[type[OpRun]] = (), *, as_defined: Collection[str] = ()) -> Reference:
    """Loads the original model.

    Args:
        path: the file; its external data lies beside it.
        operators: more operators of the evaluator's, for domains that neither of the two knows.
        as_defined: operators of the model that mean what the installed onnx says, so that its evaluator is asked.

    ONNX Runtime runs the graph that stands in the file: its optimizer puts approximations in place of some of it, such
    as a softmax from a table of 256 values where its neighbours are quantized.

    Raises:
        ConversionError: neither takes it.
    """
    if as_defined:
        reason = f"{', '.join(as_defined)} as onnx {onnx_version} defines it"
    else:
        try:
            session = onnx_runtime.load(path, is_optimized=False)
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
    return _reached(model, lambda node: node.op_type in _RANDOM or (node.op_type == "Dropout" and _is_training(node)))


def quantized_outputs(model: ir.Model) -> dict[str, str]:
    """The outputs that depend on values which are quantized as the model runs, each with the operator that does it."""
    return _reached(model, lambda node: node.op_type.startswith(_QUANTIZING))


def _reached(model: ir.Model, is_wanted: Callable[[ir.Node], bool]) -> dict[str, str]:
    """The outputs that depend on such a node, each with the operator of one."""
    reached: dict[ir.Value, str] = {}
    for node in model.graph:
        found = _found(node, model, is_wanted)
        found = found or next((reached[value] for value in node.inputs if value in reached), "")
        if found:
            reached.update(dict.fromkeys(node.outputs, found))
    return {str(value.name): reached[value] for value in model.graph.outputs if value in reached}


def _found(
    node: ir.Node, model: ir.Model, is_wanted: Callable[[ir.Node], bool], seen: frozenset[Any] = frozenset()
) -> str:
    """The operator of such a node: this one, or one in its subgraphs or its function; else an empty text."""
    if is_wanted(node):
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
    return next(filter(None, (_found(nested, model, is_wanted, seen | {key}) for nested in inner)), "")


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
