"""A tensor between the wire and a runtime: the element type by TensorFlow's number, the values in a numpy array."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_RANK", "NUMPY_TYPES", "DataType", "Tensor"]

MAX_RANK = 32
"""Dimensions that numpy 1 can have; TensorFlow can have 254."""


class DataType(IntEnum):
    """``DataType`` of tensorflow/core/framework/types.proto."""

    INVALID = 0
    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23


NUMPY_TYPES: dict[int, np.dtype[Any]] = {
    code: np.dtype(name)
    for code, name in (
        (DataType.FLOAT, "float32"),
        (DataType.DOUBLE, "float64"),
        (DataType.INT32, "int32"),
        (DataType.UINT8, "uint8"),
        (DataType.INT16, "int16"),
        (DataType.INT8, "int8"),
        (DataType.STRING, "object"),
        (DataType.COMPLEX64, "complex64"),
        (DataType.INT64, "int64"),
        (DataType.BOOL, "bool"),
        (DataType.QINT8, "int8"),
        (DataType.QUINT8, "uint8"),
        (DataType.QINT32, "int32"),
        (DataType.BFLOAT16, "uint16"),
        (DataType.QINT16, "int16"),
        (DataType.QUINT16, "uint16"),
        (DataType.UINT16, "uint16"),
        (DataType.COMPLEX128, "complex128"),
        (DataType.HALF, "float16"),
        (DataType.UINT32, "uint32"),
        (DataType.UINT64, "uint64"),
    )
}
"""The array of each type. Types that numpy does not have travel as the words that hold them: bfloat16 as uint16."""


class Tensor(NamedTuple):
    """A dense tensor.

    Attributes:
        dtype: number of the element type in types.proto.
        array: the values, of the type that `NUMPY_TYPES` states; strings are ``bytes`` in an object array.
    """

    dtype: int
    array: NDArray[Any]
