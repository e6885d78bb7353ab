"""Branches and loops: their graphs are emitted as the functions of TensorFlow's own If and While."""

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.containers import (
    Layout,
    TensorLayout,
    TensorList,
    layout_of,
    merged,
    pack,
    shapes,
    unpack,
)
from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node, Subgraph
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Control flow")

Step = Callable[[tf.Tensor, tf.Tensor, list[Any]], tuple[tf.Tensor, list[Any], list[tf.Tensor]]]
"""Emits a loop's body: takes the iteration, int64, whether it goes on, and the carried values; gives whether to go on,
the carried values and an element of each scan output."""


class _Changed(Exception):  # noqa: N818 - not an error: what was emitted does not serve, and is emitted again
    """The values that leave a graph need another layout than those that entered."""

    def __init__(self, carried: list[Layout], scanned: list[TensorLayout]) -> None:
        super().__init__()
        self.carried = carried
        self.scanned = scanned


@ops.register("If", 1, 11, 13, 16, 19, 21, 23)
def if_(node: Node, condition: tf.Tensor) -> tuple[Any, ...]:
    """One of two graphs; where the condition is known at conversion, that graph alone is emitted."""
    then, otherwise = node.subgraph("then_branch"), node.subgraph("else_branch")
    known = node.static_integers(condition)
    if known is not None:
        return tuple((then if known[0] else otherwise)())
    condition = tf.reshape(condition, [])
    layouts: list[Layout] | None = None
    while True:
        try:
            return _branched(condition, then, otherwise, layouts)
        except _Changed as changed:
            layouts = changed.carried


def _branched(
    condition: tf.Tensor, then: Subgraph, otherwise: Subgraph, layouts: list[Layout] | None
) -> tuple[Any, ...]:
    def emitted(branch: Subgraph) -> list[tf.Tensor]:
        nonlocal layouts
        values = branch()
        found = [layout_of(value) for value in values]
        if layouts is None:
            layouts = found
        both = [merged(one, other) for one, other in zip(layouts, found, strict=True)]
        # Of tensors TensorFlow itself finds what the shapes of both branches have in common.
        if any(one != other for one, other in zip(both, layouts, strict=True) if not isinstance(one, TensorLayout)):
            raise _Changed(both, [])
        return [tensor for value, layout in zip(values, both, strict=True) for tensor in pack(value, layout)]

    tensors = tf.cond(condition, lambda: emitted(then), lambda: emitted(otherwise))
    assert layouts is not None
    return tuple(_unpacked(tensors, layouts))


@ops.register("Loop", 1, 11, 13, 16, 19, 21, 23)
def loop(node: Node, trip_count: tf.Tensor | None, condition: tf.Tensor | None, *initial: Any) -> tuple[Any, ...]:
    """A graph again and again, up to a number of times, as long as a condition holds.

    A condition that the body gives holds also where the node has none to start with: so do ONNX Runtime and onnx's
    reference, though the text of the standard has it ignored. A carried value may change its shape; each of the scan
    outputs has the shape [iterations, ...], also after none, when an axis that is unknown counts as 0.
    """
    body = node.subgraph("body")
    goes_on = body.graph.outputs[0]
    is_counted = _is_true(goes_on, body.graph.inputs[1])
    limit = None if trip_count is None else tf.cast(tf.reshape(trip_count, []), tf.int64)
    going = None if condition is None or node.static_integers(condition) == [1] else tf.reshape(condition, [])
    if is_counted and limit is None:
        raise node.unsupported("nothing ends it; give it a trip count, or let its body give a condition")
    if is_counted and going is not None:
        limit, going = tf.where(going, limit, tf.zeros([], tf.int64)), None
    if not is_counted and going is None:
        going = tf.constant(True)

    def step(index: tf.Tensor, going: tf.Tensor, values: list[Any]) -> tuple[tf.Tensor, list[Any], list[tf.Tensor]]:
        following, *outputs = body(index, going, *values)
        return tf.reshape(following, []), outputs[: len(values)], outputs[len(values) :]

    outputs = body.graph.outputs[1 + len(initial) :]
    counts = node.static_integers(trip_count)
    is_run = going is None and counts is not None and counts[0] > 0 and condition is None
    example = step if counts is not None and counts[0] > 0 else None  # without iterations it may not be called at all
    carried, lists = _iterated(step, list(initial), outputs, limit=limit, going=going, example=example)
    return (*carried, *(_stacked(each, is_run=is_run) for each in lists))


@ops.register("Scan", 8)
def scan_batched(node: Node, lengths: tf.Tensor | None, *inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The first form of Scan: for each entry of a batch, and of each only so many steps as ``lengths`` says.

    Carried values are [batch, ...], scan inputs and outputs [batch, steps, ...]; past its length an output is 0.
    """
    body = node.subgraph("body")
    scanned = node.integer("num_scan_inputs")
    carried = len(inputs) - scanned
    reversed_ = node.integers("directions", None) or [0] * scanned
    known = inputs[-1].shape[1]
    most = tf.cast(tf.shape(inputs[-1])[1], tf.int64) if known is None else tf.constant(known, tf.int64)

    def padded(x: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        if lengths is not None:
            x = tf.pad(x, tf.stack([[tf.constant(0, tf.int64), most - steps], *[[0, 0]] * (x.shape.rank - 1)]))
        x.set_shape([known, *x.shape[1:]])
        return x

    def entry(index: tf.Tensor, going: tf.Tensor, _: list[Any]) -> tuple[tf.Tensor, list[Any], list[tf.Tensor]]:
        values = [tf.gather(x, index) for x in inputs]
        steps = most if lengths is None else tf.cast(lengths[index], tf.int64)
        sequences = values[carried:] if lengths is None else [x[:steps] for x in values[carried:]]
        rows = [
            TensorList.of_rows(tf.reverse(x, [0]) if is_reversed else x)
            for x, is_reversed in zip(sequences, reversed_, strict=True)
        ]
        last, lists = _iterated(
            _step(body, rows), values[:carried], body.graph.outputs[carried:], limit=steps, going=None
        )
        return going, [], [*last, *(padded(_stacked(each, is_run=False), steps) for each in lists)]

    _, lists = _iterated(entry, [], body.graph.outputs, limit=tf.cast(tf.shape(inputs[-1])[0], tf.int64), going=None)
    return tuple(_stacked(each, is_run=False) for each in lists)


@ops.register("Scan", 9, 11, 16, 19, 21, 23)
def scan(node: Node, *inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """A graph for each slice of its scan inputs; gives the last carried values, and scan outputs a slice a step."""
    body = node.subgraph("body")
    scanned = node.integer("num_scan_inputs")
    initial, sequences = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    given = len(body.graph.outputs) - len(initial)
    axes = node.integers("scan_input_axes", None) or [0] * scanned
    reversed_ = node.integers("scan_input_directions", None) or [0] * scanned
    output_axes = node.integers("scan_output_axes", None) or [0] * given
    output_reversed = node.integers("scan_output_directions", None) or [0] * given

    turned = [_axis_moved(x, axis, 0) for x, axis in zip(sequences, axes, strict=True)]
    steps = next((x.shape[0] for x in turned if x.shape[0] is not None), None)
    limit = tf.cast(tf.shape(turned[0])[0], tf.int64) if steps is None else tf.constant(steps, tf.int64)
    rows = [
        TensorList.of_rows(tf.reverse(x, [0]) if is_reversed else x)
        for x, is_reversed in zip(turned, reversed_, strict=True)
    ]
    carried, lists = _iterated(
        _step(body, rows),
        list(initial),
        body.graph.outputs[len(initial) :],
        limit=limit,
        going=None,
        example=_example(body, turned),
    )
    outputs = []
    for each, axis, is_reversed in zip(lists, output_axes, output_reversed, strict=True):
        stacked = _stacked(each, is_run=bool(steps))
        if steps is not None:
            stacked.set_shape([steps, *stacked.shape[1:]] if stacked.shape.rank is not None else None)
        outputs.append(_axis_moved(tf.reverse(stacked, [0]) if is_reversed else stacked, 0, axis))
    return (*carried, *outputs)


def _step(body: Subgraph, rows: Sequence[TensorList]) -> Step:
    """The body of a Scan: it is fed a row of each of its inputs."""

    def step(index: tf.Tensor, going: tf.Tensor, values: list[Any]) -> tuple[tf.Tensor, list[Any], list[tf.Tensor]]:
        row = tf.cast(index, tf.int32)
        outputs = body(*values, *(each.get(row) for each in rows))
        return going, outputs[: len(values)], outputs[len(values) :]

    return step


def _example(body: Subgraph, sequences: Sequence[tf.Tensor]) -> Step:
    """The body of a Scan, fed with zeros of the size of its rows."""

    def step(index: tf.Tensor, going: tf.Tensor, values: list[Any]) -> tuple[tf.Tensor, list[Any], list[tf.Tensor]]:
        zeros = [tf.zeros(tf.shape(x)[1:], x.dtype) for x in sequences]
        for row, x in zip(zeros, sequences, strict=True):
            row.set_shape(x.shape[1:])
        outputs = body(*values, *zeros)
        return going, outputs[: len(values)], outputs[len(values) :]

    return step


def _iterated(
    step: Step,
    carried: list[Any],
    outputs: Sequence[ir.Value],
    *,
    limit: tf.Tensor | None,
    going: tf.Tensor | None,
    example: Step | None = None,
) -> tuple[list[Any], list[TensorList]]:
    """A loop.

    What ONNX's shape inference says of the body is a guess to start with. Where a value leaves the body in another
    shape than it entered, or a scan output is another than was guessed, the loop is emitted again with what was found:
    shapes only ever get less known, so that ends.

    Args:
        step: emits the body.
        carried: the initial values.
        outputs: of the body: those that are scanned.
        limit: how often at most: int64, shape [].
        going: whether to begin, where the body says whether to go on, else None: bool, shape [].
        example: as ``step``, but may be called outside of the loop, and without any iteration.

    Returns:
        the last carried values, and each scan output as the list of its elements.
    """
    layouts = [layout_of(value, is_listed=True) for value in carried]
    scanned = [_guess(value) for value in outputs]
    while True:
        try:
            return _while(step, carried, layouts, scanned, limit, going, example)
        except _Changed as changed:
            layouts, scanned = changed.carried, changed.scanned


def _while(
    step: Step,
    carried: list[Any],
    layouts: list[Layout],
    scanned: list[TensorLayout],
    limit: tf.Tensor | None,
    going: tf.Tensor | None,
    example: Step | None,
) -> tuple[list[Any], list[TensorList]]:
    is_counted = going is None
    flags = [] if going is None else [going]
    packed = [tensor for value, layout in zip(carried, layouts, strict=True) for tensor in pack(value, layout)]
    likes = _examples(example if is_counted else None, carried, scanned)
    lists = [
        _reserved(each, limit, like) if is_counted else TensorList.empty(each.dtype).handle
        for each, like in zip(scanned, likes, strict=True)
    ]
    first, last = 1 + len(flags), 1 + len(flags) + len(packed)

    def condition(index: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        if limit is None:
            return state[0]
        return index < limit if is_counted else tf.logical_and(index < limit, state[0])

    def body(*state: tf.Tensor) -> list[tf.Tensor]:
        index, is_going = state[0], tf.constant(True) if is_counted else state[1]
        following, values, elements = step(index, is_going, _unpacked(state[first:last], layouts))
        found = [merged(one, layout_of(value, is_listed=True)) for one, value in zip(layouts, values, strict=True)]
        shaped = [TensorLayout(element.dtype, element.shape) for element in elements]
        if found != layouts or shaped != scanned:
            raise _Changed(found, shaped)
        return [
            index + 1,
            *([] if is_counted else [following]),
            *(tensor for value, layout in zip(values, layouts, strict=True) for tensor in pack(value, layout)),
            *(_added(*each, index, is_counted) for each in zip(state[last:], elements, strict=True)),
        ]

    start = [tf.constant(0, tf.int64), *flags, *packed, *lists]
    invariants = [
        *[tf.TensorShape([])] * first,
        *(shape for layout in layouts for shape in shapes(layout)),
        *[tf.TensorShape([])] * len(lists),
    ]
    state = tf.while_loop(condition, body, start, shape_invariants=invariants)
    handles = [TensorList(each.dtype, handle, each.shape) for each, handle in zip(scanned, state[last:], strict=True)]
    return _unpacked(state[first:last], layouts), handles


def _examples(example: Step | None, carried: list[Any], scanned: list[TensorLayout]) -> list[tf.Tensor | None]:
    """For each scan output whose sizes are not known at conversion one element; of which only the sizes are used."""
    is_wanted = [layout.shape.rank is not None and not layout.shape.is_fully_defined() for layout in scanned]
    if example is None or not any(is_wanted):
        return [None] * len(scanned)
    _, _, elements = example(tf.constant(0, tf.int64), tf.constant(True), carried)
    return [element if wanted else None for element, wanted in zip(elements, is_wanted, strict=True)]


def _reserved(layout: TensorLayout, limit: tf.Tensor, like: tf.Tensor | None) -> tf.Tensor:
    """A list to be filled. TFLite takes one whose elements have unknown sizes only where it is made of a tensor."""
    count = tf.maximum(tf.cast(limit, tf.int32), 0)
    if like is not None:
        zeros = tf.zeros(tf.concat([[count], tf.shape(like)], 0), layout.dtype)
        zeros.set_shape([None, *layout.shape])
        return TensorList.of_rows(zeros).handle
    shape = -1 if layout.shape.rank is None else [-1 if axis is None else axis for axis in layout.shape]
    return tf.raw_ops.TensorListReserve(
        element_shape=tf.constant(shape, tf.int32), num_elements=count, element_dtype=layout.dtype
    )


def _added(handle: tf.Tensor, element: tf.Tensor, index: tf.Tensor, is_counted: bool) -> tf.Tensor:
    if is_counted:
        return tf.raw_ops.TensorListSetItem(input_handle=handle, index=tf.cast(index, tf.int32), item=element)
    return tf.raw_ops.TensorListPushBack(input_handle=handle, tensor=element)


def _stacked(made: TensorList, *, is_run: bool) -> tf.Tensor:
    """A scan output; of a loop that may not run, an axis that is not known is empty then."""
    shape = made.element_shape
    if is_run or shape is None or shape.rank is None or shape.is_fully_defined():
        return made.stacked()
    lengths = tf.constant([-1 if axis is None else axis for axis in shape], tf.int32)
    stacked = tf.raw_ops.TensorListStack(
        input_handle=made.handle,
        element_shape=tf.where(made.length() > 0, lengths, tf.maximum(lengths, 0)),
        element_dtype=made.dtype,
    )
    stacked.set_shape([None, *shape])
    return stacked


def _unpacked(tensors: Sequence[tf.Tensor], layouts: Sequence[Layout]) -> list[Any]:
    values, start = [], 0
    for layout in layouts:
        end = start + len(shapes(layout))
        values.append(unpack(tensors[start:end], layout))
        start = end
    return values


def _guess(value: ir.Value) -> TensorLayout:
    dtype = tf.float32 if value.dtype is None else tensorflow_dtype(value.dtype)
    shape = None if value.shape is None else [axis if isinstance(axis, int) else None for axis in value.shape]
    return TensorLayout(dtype, tf.TensorShape(shape))


def _is_true(value: ir.Value, given: ir.Value) -> bool:
    """Whether the condition that a body gives holds always: it is a constant, or the one that the body was given."""
    producer = value.producer()
    if value is given:
        return True
    if producer is not None and producer.op_type == "Identity" and producer.inputs[0] is not None:
        return _is_true(producer.inputs[0], given)
    known = ir.convenience.get_const_tensor(value)
    return known is not None and bool(known.numpy().all())


def _axis_moved(x: tf.Tensor, source: int, target: int) -> tf.Tensor:
    rank = x.shape.rank
    if rank is None or source % rank == target % rank:
        return x
    order = [axis for axis in range(rank) if axis != source % rank]
    order.insert(target % rank, source % rank)
    return tf.transpose(x, order)
