"""JSON values into tensors without a look at each value: regular lists of numbers, the bulk of all requests."""

import re
from array import array
from itertools import chain
from typing import Final

import numpy as np

from runtimes.tensor import MAX_RANK, NUMPY_TYPES, DataType, Tensor
from serving.rest.json_tensor import flush
from serving.rest.json_values import Json

__all__ = ["QuickTensors"]

_FLOAT: Final = int(DataType.FLOAT)
_FLOATS: Final = (_FLOAT, int(DataType.DOUBLE))
_FLOAT32 = np.dtype(np.float32)
_INTEGERS: dict[int, tuple[int, int]] = {
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT8: (0, 2**8 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.INT8: (-(2**7), 2**7 - 1),
}
_NUMBERS = frozenset((int, float))
_SMALL = 1000
_EXTREME = re.compile(rb"[0-9][eE]|[0-9]{30}")


class QuickTensors:
    """Makes tensors of the values of one request."""

    def __init__(self, body: bytes) -> None:
        self._extreme = len(body) > _SMALL or _EXTREME.search(body) is not None
        """Whether a number may be beyond the normal range of the floats."""

    def make(self, value: Json, dtype: int) -> Tensor | None:
        """A tensor, or None: to be read value by value, which may also find what is wrong."""
        if type(value) is not list:
            return None
        shape = [len(value)]
        kinds = set(map(type, value))
        while len(kinds) == 1 and list in kinds:
            widths = set(map(len, value))
            if len(widths) > 1 or len(shape) >= MAX_RANK:
                return None
            shape.append(widths.pop())
            value = list(chain.from_iterable(value))
            kinds = set(map(type, value))
        if not kinds or not kinds <= _NUMBERS:
            return None
        if dtype in _FLOATS:
            if dtype == _FLOAT and not self._extreme:
                return Tensor(dtype, np.frombuffer(array("f", value), _FLOAT32).reshape(shape))
            doubles = np.frombuffer(array("d", value)).reshape(shape)
            return Tensor(dtype, flush(doubles, NUMPY_TYPES[dtype]) if self._extreme else doubles)
        if dtype not in _INTEGERS or float in kinds:
            return None
        try:
            integers = np.frombuffer(array("q", value), np.int64).reshape(shape)
        except OverflowError:
            return None
        least, most = _INTEGERS[dtype]
        if integers.min() < least or integers.max() > most:
            return None
        return Tensor(dtype, integers.astype(NUMPY_TYPES[dtype]))
