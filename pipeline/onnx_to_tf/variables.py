"""The weights of an ONNX model as variables."""

from collections.abc import Iterable
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

    Whole numbers and scalars stay constants: they are shapes, axes and factors. All variables are made before anything
    is traced: TensorFlow traces a function twice that makes some.

    Args:
        graphs: the model's graph and those within it.
    """

    def __init__(self, graphs: Iterable[ir.Graph]) -> None:
        """See the class."""
        self._arrays: dict[ir.Value, NDArray[Any]] = {}
        self._made = {
            value: tf.Variable(self.array(value), name=scope_name(value.name or "weight"))
            for graph in graphs
            for value in graph.initializers.values()
            if self.holds(value) and value.uses()
        }

    @property
    def all(self) -> list[tf.Variable]:
        """Every variable."""
        return list(self._made.values())

    @property
    def by_name(self) -> dict[str, tf.Variable]:
        """The variables by the name of the initializer; of one name in several graphs, the first has it."""
        return {str(value.name): variable for value, variable in reversed(self._made.items())}

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
        return tf.convert_to_tensor(self._made[value])
