"""Products of matrices, and what else is made of them."""

import math
from collections.abc import Callable, Iterable

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import Entry, at_rank, dimension, reshaped
from pipeline.onnx_to_tf.ops.widening import via
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Matrices")

_WIDER = {tf.uint32: tf.int64, tf.uint64: tf.int64, tf.int8: tf.int32, tf.uint8: tf.int32}
"""Types without a kernel for products; sums that overflow wrap around alike."""


@ops.register("MatMul", 1, 9, 13)
def mat_mul(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """As numpy.matmul: the axes before the last two broadcast; a vector is a row on the left, a column on the right."""
    row, column = at_rank(node, a) == 1, at_rank(node, b) == 1
    product = _product(a[None, :] if row else a, b[:, None] if column else b)
    if row and column:
        return tf.reshape(product, [])
    if row:
        return tf.squeeze(product, [-2])
    return tf.squeeze(product, [-1]) if column else product


def _product(a: tf.Tensor, b: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> tf.Tensor:
    def multiplied(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        return tf.matmul(left, right, transpose_a=transpose_a, transpose_b=transpose_b)

    wider = _WIDER.get(a.dtype)
    return multiplied(a, b) if wider is None else via(wider, multiplied, a, b)


@ops.register("Gemm", 1, 6, 7, 9, 11, 13)
def gemm(node: Node, a: tf.Tensor, b: tf.Tensor, c: tf.Tensor | None = None) -> tf.Tensor:
    """Alpha * A @ B + beta * C, A and B transposed where an attribute says so."""
    product = _product(a, b, transpose_a=bool(node.integer("transA", 0)), transpose_b=bool(node.integer("transB", 0)))
    product = _scaled(product, node.number("alpha", 1.0))
    if c is None:
        return product
    if c.shape.rank == 2 and c.shape[0] == 1:
        # TensorFlow 2.21 fuses the sum with a product whose A is transposed, and then wants a vector.
        c = tf.squeeze(c, [0])
    return tf.add(product, _scaled(c, node.number("beta", 1.0)))


def _scaled(x: tf.Tensor, factor: float) -> tf.Tensor:
    if factor == 1.0:
        return x
    if x.dtype.is_integer:
        return via(tf.float64, lambda values: values * factor, x)
    return x * tf.cast(factor, x.dtype)


@ops.register("Det", 11, 22)
def det(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The determinant of each matrix."""
    size = x.shape[-1] if x.shape[-1] is not None else x.shape[-2]
    if size is not None and 1 <= size <= len(_DETERMINANTS):
        sizes = [*(dimension(x, axis) for axis in range(at_rank(node, x) - 2)), size * size]
        return _DETERMINANTS[size - 1](tf.unstack(reshaped(x, sizes), axis=-1))
    return via(tf.float32, tf.linalg.det, x) if x.dtype in (tf.float16, tf.bfloat16) else tf.linalg.det(x)


_DETERMINANTS: tuple[Callable[[list[tf.Tensor]], tf.Tensor], ...] = (
    lambda m: m[0],
    lambda m: m[0] * m[3] - m[1] * m[2],
    lambda m: (
        m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6])
    ),
)
"""For the small sizes; TensorFlow Lite has no factorization."""


@ops.register("Einsum", 12)
def einsum(node: Node, *operands: tf.Tensor) -> tf.Tensor:
    """Products summed over the labels that the result lacks, done as products of matrices, two operands at a time."""
    labels, wanted = _labels(node, operands)
    terms = [_diagonal(x, of) for x, of in zip(operands, labels, strict=True)]
    x, of = terms[0]
    for position, (y, others) in enumerate(terms[1:], 1):
        needed = set(wanted).union(*(of_later for _, of_later in terms[position + 1 :]))
        x, of = _contracted(x, of, y, others, needed)
    x, of = _summed(x, of, set(wanted))
    return _ordered(x, of, wanted)


def _labels(node: Node, operands: tuple[tf.Tensor, ...]) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand's axes and of the result's; those of an ellipsis are numbers, counted from the end."""
    equation = node.text("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise node.unsupported(f"its equation {equation!r} is not for {len(operands)} operands")
    found, longest = [], 0
    for term, x in zip(terms, operands, strict=True):
        hidden = at_rank(node, x) - len(term.replace("...", "")) if "..." in term else 0
        longest = max(longest, hidden)
        found.append(_term(term, hidden))
        if len(found[-1]) != x.shape.rank:
            raise node.unsupported(f"the term {term!r} of its equation is not for an operand of rank {x.shape.rank}")
    if not arrow:
        named = left.replace("...", "").replace(",", "")
        right = ("..." if "..." in left else "") + "".join(sorted(c for c in set(named) if named.count(c) == 1))
    return found, _term(right, longest)


def _term(term: str, hidden: int) -> list[str]:
    before, dots, after = term.partition("...")
    return [*before, *(str(number) for number in range(hidden if dots else 0, 0, -1)), *after]


Term = tuple[tf.Tensor, list[str]]


def _diagonal(x: tf.Tensor, labels: list[str]) -> Term:
    """Where a label is there twice: the elements for which both indices are the same."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            others = [axis for axis in range(len(labels)) if axis not in (first, second)]
            size = dimension(x, first)
            sizes = [*(dimension(x, axis) for axis in others), size * size]
            flat = reshaped(tf.transpose(x, [*others, first, second]), sizes)
            x = flat[..., :: size + 1]
            labels = [*(labels[axis] for axis in others), label]
    return x, labels


def _summed(x: tf.Tensor, labels: list[str], needed: Iterable[str]) -> Term:
    """Without the axes that nobody needs."""
    axes = [axis for axis, label in enumerate(labels) if label not in needed]
    return (tf.reduce_sum(x, axes) if axes else x), [label for label in labels if label in needed]


def _contracted(x: tf.Tensor, of_x: list[str], y: tf.Tensor, of_y: list[str], needed: set[str]) -> Term:
    """The product of two terms, with the axes that somebody needs still."""
    unit_x, unit_y = _units(x, of_x), _units(y, of_y)
    # An axis of size 1 in one of them is broadcast.
    x, of_x = _summed(x, of_x, set(of_x) - (unit_x & set(of_y) - unit_y))
    y, of_y = _summed(y, of_y, set(of_y) - (unit_y & set(of_x) - unit_x))
    x, of_x = _summed(x, of_x, needed.union(of_y))
    y, of_y = _summed(y, of_y, needed.union(of_x))
    shared = [label for label in of_x if label in of_y]
    batch, inner = [label for label in shared if label in needed], [label for label in shared if label not in needed]
    rows, columns = [label for label in of_x if label not in shared], [label for label in of_y if label not in shared]
    labels = [*batch, *rows, *columns]
    if not inner:
        return _aligned(x, of_x, labels) * _aligned(y, of_y, labels), labels
    size = {label: dimension(tensor, axis) for tensor, of in ((y, of_y), (x, of_x)) for axis, label in enumerate(of)}
    product = _product(_matrices(x, of_x, size, batch, rows, inner), _matrices(y, of_y, size, batch, inner, columns))
    if len(rows) == len(columns) == 1:
        return product, labels
    return reshaped(product, [size[label] for label in labels]), labels


def _units(x: tf.Tensor, labels: list[str]) -> set[str]:
    return {label for axis, label in enumerate(labels) if x.shape[axis] == 1}


def _aligned(x: tf.Tensor, of: list[str], labels: list[str]) -> tf.Tensor:
    """The axes in the order of the labels, with new ones of size 1 for those that the term lacks."""
    x = _ordered(x, of, [label for label in labels if label in of])
    for axis, label in enumerate(labels):
        x = x if label in of else tf.expand_dims(x, axis)
    return x


def _matrices(
    x: tf.Tensor, of: list[str], size: dict[str, Entry], batch: list[str], rows: list[str], columns: list[str]
) -> tf.Tensor:
    """[*batch, rows, columns], where several labels make one axis."""
    x = _ordered(x, of, [*batch, *rows, *columns])
    if len(rows) == len(columns) == 1:
        return x
    merged = (math.prod(size[label] for label in part) for part in (rows, columns))
    return reshaped(x, [*(size[label] for label in batch), *merged])


def _ordered(x: tf.Tensor, of: list[str], labels: list[str]) -> tf.Tensor:
    return x if of == labels else tf.transpose(x, [of.index(label) for label in labels])
