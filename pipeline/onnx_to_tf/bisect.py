"""Finds the first node of a model that gives another value when it is converted."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from onnx.reference import ReferenceEvaluator

from contract.arrays import Array, Tensors
from contract.errors import ParityError
from contract.tolerance import Tolerance
from pipeline.onnx_to_tf.convert import Options, Source, opened, to_module
from pipeline.onnx_to_tf.probing import Call
from pipeline.onnx_to_tf.references import as_bytes, as_texts, quantized_outputs, random_outputs
from pipeline.onnx_to_tf.registry import short_domain
from pipeline.onnx_to_tf.verify import answers, tolerance_of
from pipeline.verify.parity import check_parity
from pipeline.verify.probes import Kind, Probe
from runtimes.installed import import_runtime

__all__ = ["Difference", "first_difference"]

_NOT_NUMPY = ("bfloat16", "float8", "float4", "int4", "complex")
"""Element types that ONNX Runtime does not give to numpy."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first node that differs.

    Attributes:
        op_type: of the node.
        domain: of the node, ``ai.onnx`` for ONNX's own.
        node: its name.
        output: the output that differs.
        inputs: name, type, shape and range of what feeds it, and whether that is the same on both sides.
        call: the sizes that it was found at.
        at: the place where it differs most; empty where shapes or types differ.
        expected: the value there in the original.
        actual: the value there as converted.
        is_alone: False where the node differs only if the values before it are not asked for: then a pass over the
            graph is at fault, which joined it with others.
    """

    op_type: str
    domain: str
    node: str
    output: str
    inputs: tuple[str, ...]
    call: str
    at: tuple[int, ...]
    expected: str
    actual: str
    is_alone: bool

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        joined = "" if self.is_alone else ", when a pass joins it with what feeds it"
        place = f" at {list(self.at)}" if self.at else ""
        return (
            f"the first node that differs is {self.op_type} (domain {self.domain}, node {self.node!r}){joined}: its "
            f"output {self.output!r}{place} is {self.actual} instead of {self.expected}, for {self.call}; it is fed by "
            f"{', '.join(self.inputs) or 'nothing'}"
        )


def first_difference(model: onnx.ModelProto | Path | str, options: Options = Options()) -> Difference | None:  # noqa: B008
    """Converts a model with the value of every node as an output, and compares them in the order of the graph.

    Where all agree so, and the model's outputs do not without that, single values are asked for, by halves.

    Args:
        model: an .onnx file, or a model in memory.
        options: as for `pipeline.onnx_to_tf.convert`; only what is converted and tried counts.

    Returns:
        None if no node differs.

    Raises:
        ShowdownError: as `pipeline.onnx_to_tf.convert`, but no ParityError.
    """
    with opened(model) as source:
        original = source.read(options.static)
        reference = options.reference(source, original)
        try:
            calls = answers(original, reference, sizes=options.axis_sizes, files=options.inputs).calls
        finally:
            reference.close()
        wanted = _OfOriginal(source, options, is_onnxruntime=not reference.reason)
        for call in calls:
            if found := _search(source, options, wanted, call):
                return found
    return None


def _search(source: Source, options: Options, wanted: "_OfOriginal", call: Call) -> Difference | None:
    expected = wanted.values(call.inputs)
    found = _compare(source, options, call, expected, list(expected), is_alone=True)
    if found is not None:
        return found
    outputs = [value.name for value in source.proto.graph.output]
    last = [name for name in expected if name in outputs]
    ending = _compare(source, options, call, expected, last, is_alone=False)
    if ending is None:
        return None
    names = [name for name in expected if name not in outputs]
    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        single = _compare(source, options, call, expected, [names[middle]], is_alone=False)
        if single is None:
            low = middle + 1
        else:
            high, ending = middle, single
    return ending


def _compare(
    source: Source, options: Options, call: Call, expected: Tensors, names: Collection[str], *, is_alone: bool
) -> Difference | None:
    """Converts with these values as outputs, and gives the first that differs."""
    model = source.read(options.static)
    _expose(model, {name: expected[name] for name in names})
    random, quantized = random_outputs(model), quantized_outputs(model)
    actual = _converted(model, options, call.inputs)
    for node in source.read(options.static).graph:
        for value in node.outputs:
            name = value.name or ""
            if name not in names or name in random:
                continue
            tolerance = tolerance_of(expected[name], options.parts, is_quantized=name in quantized)
            if not _agree(call, name, expected[name], actual, tolerance):
                return _difference(node, name, call, {**call.inputs, **expected}, actual, is_alone)
    return None


def _expose(model: ir.Model, expected: Tensors) -> None:
    """Makes these values outputs of the model."""
    public = set(model.graph.outputs)
    for value in [value for node in model.graph for value in node.outputs]:
        if value.name in expected and value not in public:
            if value.type is None:
                array = expected[str(value.name)]
                dtype = ir.DataType.STRING if array.dtype == object else ir.DataType.from_numpy(array.dtype)
                value.type = ir.TensorType(dtype)
            model.graph.outputs.append(value)


def _converted(model: ir.Model, options: Options, inputs: Tensors) -> dict[str, Array]:
    """What the conversion gives for the outputs."""
    module = to_module(model, operators=options.registry())
    outputs = module.serve(*(tf.constant(inputs[name]) for name in module.input_names))
    return {name: np.asarray(tensor.numpy()) for name, tensor in outputs.items()}


class _OfOriginal:
    """The values of all nodes of the original model: those of its own graph that are tensors."""

    def __init__(self, source: Source, options: Options, *, is_onnxruntime: bool) -> None:
        proto = onnx.ModelProto()
        proto.CopyFrom(source.proto)
        public = {value.name for value in proto.graph.output}
        made = [name for node in proto.graph.node for name in node.output if name and name not in public]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
        self._run = _onnx_runtime(proto, source.folder) if is_onnxruntime else _evaluator(proto, source.folder, options)

    def values(self, inputs: Tensors) -> dict[str, Array]:
        """By name; strings are bytes."""
        feeds = {name: as_texts(array) if array.dtype == object else array for name, array in inputs.items()}
        return {
            name: as_bytes(np.asarray(array))
            for name, array in self._run(feeds)
            if isinstance(array, np.ndarray | np.generic)
        }


_Run = Callable[[Mapping[str, Any]], Iterator[tuple[str, Any]]]


def _onnx_runtime(proto: onnx.ModelProto, folder: Path | None) -> _Run:
    onnxruntime = import_runtime("onnxruntime", "onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if folder is not None:
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder.resolve()))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    names = [
        output.name
        for output in session.get_outputs()
        if output.type.startswith("tensor(") and not any(kind in output.type for kind in _NOT_NUMPY)
    ]
    return lambda feeds: zip(names, session.run(names, dict(feeds)), strict=True)


def _evaluator(proto: onnx.ModelProto, folder: Path | None, options: Options) -> _Run:
    if folder is not None:
        onnx.load_external_data_for_model(proto, str(folder))
    evaluator = ReferenceEvaluator(proto, new_ops=list(options.references))
    return lambda feeds: zip(evaluator.output_names, evaluator.run(None, dict(feeds)), strict=True)


def _agree(call: Call, name: str, wanted: Array, actual: Tensors, tolerance: Tolerance) -> bool:
    """Whether a value is the same on both sides."""
    probe = Probe(Kind.RANDOM, call.name, {})
    given = {name: actual[name]} if name in actual else {}
    try:
        check_parity("converted", [probe], {call.name: {name: wanted}}, {call.name: given}, tolerance)
    except ParityError:
        return False
    return True


def _difference(node: ir.Node, name: str, call: Call, expected: Tensors, actual: Tensors, is_alone: bool) -> Difference:
    at, there, here = _worst(expected[name], actual.get(name))
    return Difference(
        op_type=node.op_type,
        domain=short_domain(node.domain) or "ai.onnx",
        node=node.name or name,
        output=name,
        inputs=tuple(_described(value, expected) for value in node.inputs if value is not None),
        call=call.name,
        at=at,
        expected=there,
        actual=here,
        is_alone=is_alone,
    )


def _worst(wanted: Array, given: Array | None) -> tuple[tuple[int, ...], str, str]:
    """The place where two arrays differ most, and both values there; their types and shapes where those differ."""
    if given is None or given.shape != wanted.shape or given.dtype != wanted.dtype:
        shown = "nothing" if given is None else f"{given.dtype}{list(given.shape)}"
        return (), f"{wanted.dtype}{list(wanted.shape)}", shown
    if wanted.dtype == object or wanted.dtype == bool:
        off = (wanted != given).astype(np.float64)
    else:
        a, b = wanted.astype(np.float64), given.astype(np.float64)
        with np.errstate(invalid="ignore"):
            off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        off = np.where(np.isnan(off), np.inf, off)
    at = tuple(map(int, np.unravel_index(int(np.argmax(off)), off.shape)))
    return at, str(wanted[at]), str(given[at])


def _described(value: ir.Value, known: Tensors) -> str:
    array = known.get(value.name or "")
    if array is None and value.const_value is not None:
        array = np.asarray(value.const_value.numpy())
    if array is None:
        return repr(value.name)
    text = f"{value.name!r} {array.dtype}{list(array.shape)}"
    if array.size and array.dtype.kind in "iuf":
        text += f" from {array.min():.6g} to {array.max():.6g}"
    return text
