"""Types that TensorFlow or TFLite has no kernel for, computed in a wider one."""

from collections.abc import Callable

import tensorflow as tf

__all__ = ["via", "wide", "widened"]

_WIDE = {
    tf.int8: tf.int32,
    tf.int16: tf.int32,
    tf.uint8: tf.int32,
    tf.uint16: tf.int32,
    tf.uint32: tf.int64,
    tf.float16: tf.float32,
    tf.bfloat16: tf.float32,
}
"""A type that holds every value of another, and that both have kernels for."""


def via(dtype: tf.DType, function: Callable[..., tf.Tensor], *tensors: tf.Tensor) -> tf.Tensor:
    """Casts the tensors to a type, calls the function, and casts its result back to the type of the first.

    Args:
        dtype: a type that holds every value of theirs, and for which TensorFlow has the kernel.
        function: takes and gives tensors of that type.
        tensors: all of one type.
    """
    return tf.cast(function(*(tf.cast(tensor, dtype) for tensor in tensors)), tensors[0].dtype)


def wide(tensor: tf.Tensor) -> tf.Tensor:
    """The same values in the type that is computed in: narrow integers as int32, half precision as float32."""
    return tf.cast(tensor, _WIDE.get(tensor.dtype, tensor.dtype))


def widened(function: Callable[..., tf.Tensor], *tensors: tf.Tensor) -> tf.Tensor:
    """As `via`, with the type that `wide` gives; whole numbers that leave their type wrap around."""
    dtype = _WIDE.get(tensors[0].dtype)
    return function(*tensors) if dtype is None else via(dtype, function, *tensors)
