"""Where the elements of a tensor stand among constants."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

__all__ = ["place_among", "place_among_numbers"]


def place_among(keys: Sequence[Any] | NDArray[Any], x: tf.Tensor) -> tf.Tensor:
    """The position of each element among the keys, int32; ``len(keys)`` for one that is not there.

    Args:
        keys: without duplicates; strings where x is a tensor of strings, else numbers, of which one may be NaN: it is
            where any NaN is.
        x: of any shape.
    """
    if x.dtype != tf.string:
        return place_among_numbers(np.asarray(keys, x.dtype.as_numpy_dtype), x)
    if not len(keys):
        return tf.zeros_like(x, tf.int32)
    # TensorFlow's hash tables would have to be initialised by whoever loads the model.
    found = tf.equal(tf.expand_dims(x, -1), tf.constant(list(keys), tf.string))
    # Behind the keys stands one that everything is equal to: the first that is equal counts.
    wanted = tf.concat([tf.cast(found, tf.int32), tf.ones_like(tf.cast(found[..., :1], tf.int32))], -1)
    return tf.argmax(wanted, -1, output_type=tf.int32)


def place_among_numbers(keys: NDArray[Any], x: tf.Tensor) -> tf.Tensor:
    """As `place_among`, by bisection: as many gathers as the number of keys has bits."""
    nan = np.flatnonzero(keys != keys)
    order = np.argsort(keys, kind="stable")[: len(keys) - len(nan)]
    if not len(order):
        place = tf.fill(tf.shape(x), np.int32(len(keys)))
    else:
        ascending = tf.constant(keys[order])
        low = tf.zeros_like(x, tf.int32)
        for bit in reversed(range(int(len(order) - 1).bit_length())):
            there = low + (1 << bit)
            inside = tf.minimum(there, len(order) - 1)
            low = tf.where((tf.gather(ascending, inside) <= x) & (there < len(order)), there, low)
        is_there = tf.equal(tf.gather(ascending, low), x)
        place = tf.where(is_there, tf.gather(tf.constant(order.astype(np.int32)), low), np.int32(len(keys)))
    return tf.where(tf.math.is_nan(x), np.int32(nan[0]), place) if len(nan) else place
