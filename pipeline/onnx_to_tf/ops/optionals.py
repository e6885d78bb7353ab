"""Optionals: what may be there or not."""

from typing import Any

import tensorflow as tf

from pipeline.onnx_to_tf.containers import OptionalValue
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Optionals")


@ops.register("Optional", 15)
def optional(node: Node, element: Any = None) -> OptionalValue:
    """An optional with an element, or an empty one."""
    return OptionalValue(element, element is not None)


@ops.register("OptionalHasElement", 15, 18)
def optional_has_element(node: Node, value: Any = None) -> tf.Tensor:
    """Whether an optional has an element: bool, shape []. A tensor or a sequence counts as one that has."""
    if isinstance(value, OptionalValue):
        return tf.convert_to_tensor(value.is_present)
    return tf.constant(value is not None)


@ops.register("OptionalGetElement", 15, 18)
def optional_get_element(node: Node, value: Any) -> Any:
    """The element of an optional; of a tensor or a sequence, itself. What an empty one gives is undefined."""
    if not isinstance(value, OptionalValue):
        return value
    if value.element is None:
        raise node.unsupported("the optional is empty; ask OptionalHasElement before, in an If")
    return value.element
