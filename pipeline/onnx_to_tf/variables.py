"""The weights of an ONNX model as variables."""

from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.names import scope_name

__all__ = ["Variables"]

_TRAINED = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class Variables:
    """Makes a variable of each initializer that is a weight: of a floating-point type, with more than one element.

    Whole numbers and scalars stay constants: they are shapes, axes and factors. Variables are made when they are first
    read.

    Attributes:
        made: the variables, by the initializer's name.
    """

    def __init__(self) -> None:
        """See the class."""
        self.made: dict[str, tf.Variable] = {}
        self._arrays: dict[ir.Value, NDArray[Any]] = {}

    def holds(self, value: ir.Value) -> bool:
        """Whether an initializer is a weight."""
        tensor = value.const_value
        return tensor is not None and tensor.dtype in _TRAINED and len(tensor.shape) > 0 and tensor.size > 1

    def array(self, value: ir.Value) -> NDArray[Any]:
        """An initializer's value."""
        if value not in self._arrays:
            assert value.const_value is not None
            array = value.const_value.numpy()
            if value.const_value.dtype == ir.DataType.STRING:
                array = np.asarray(array, dtype=object)
            self._arrays[value] = array
        return self._arrays[value]

    def read(self, value: ir.Value) -> tf.Tensor:
        """Reads the weight in TensorFlow's current graph."""
        name = value.name or ""
        if name not in self.made:
            with tf.init_scope():
                self.made[name] = tf.Variable(self.array(value), name=scope_name(name))
        return tf.convert_to_tensor(self.made[name])
