"""Values that the model holds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Constants")

_STATED: dict[str, Callable[[Node], Any]] = {
    "value_float": lambda node: np.float32(node.number("value_float")),
    "value_floats": lambda node: np.array(node.numbers("value_floats"), np.float32),
    "value_int": lambda node: np.int64(node.integer("value_int")),
    "value_ints": lambda node: np.array(node.integers("value_ints"), np.int64),
    "value_string": lambda node: np.array(node.text("value_string"), object),
    "value_strings": lambda node: np.array(node.texts("value_strings"), object),
    "value": lambda node: node.array("value"),
}


@ops.register("Constant", 1, 9, 11, 12, 13, 19, 21, 23)
def constant(node: Node) -> tf.Tensor:
    """The value of whichever attribute states one."""
    for attribute, value in _STATED.items():
        if node.has(attribute):
            array = value(node)
            return tf.constant(array.astype(object) if array.dtype.kind == "U" else array)
    raise node.unsupported("it states no dense value; store a sparse one as an initializer with its zeros")


@ops.register("Identity", 1, 13, 14, 16, 19, 21, 23)
def identity(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The input: a tensor, a sequence or an optional."""
    return x
