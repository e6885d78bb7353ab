"""Functions that TFLite has no kernel for, from those that it has, as exact as their type."""

import tensorflow as tf

__all__ = ["absolute", "erf", "floor_quotient", "is_infinite", "log1p", "softplus", "whole_power"]

_ERF_NUMERATOR = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
_ERF_DENOMINATOR = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03),
    -1.42647390514189e-02,
)
"""Of a rational function of the square, for float32 (the minimax approximation that Eigen and XLA use)."""

_ERF_IS_ONE = 4.0
"""From here on erf is 1 in float32."""

_ARTANH = (1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0)
"""Of artanh(s) / s by powers of the square, as far as float32 needs them up to s = 1 / 7."""

_SMALL = 0.25

_ROUNDS = 3
"""A quotient of up to 63 bits, of which division in float32 gives 22 at a time."""

_BITS_OF_EXPONENT = 6
"""A power above 63 of a whole number is 0, 1, -1 or beyond int64."""


def absolute(x: tf.Tensor) -> tf.Tensor:
    """The absolute value; of int64, for which TFLite has no kernel, by a maximum."""
    return tf.maximum(x, -x) if x.dtype == tf.int64 else tf.abs(x)


def is_infinite(x: tf.Tensor, *, positive: bool = True, negative: bool = True) -> tf.Tensor:
    """Whether a real is infinite, of the signs asked for; one of them at least.

    TensorFlow 2.21's converter to TFLite writes an infinite constant as the largest finite value, so that nothing
    equals it: this compares with that value instead. test_logic.py shows it.
    """
    largest = tf.constant(x.dtype.max, x.dtype)
    if positive and negative:
        return tf.greater(tf.abs(x), largest)
    return tf.greater(x, largest) if positive else tf.less(x, -largest)


def floor_quotient(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The quotient of whole numbers towards minus infinity; of int64 without a division, which TFLite lacks.

    Without its rest the dividend is a multiple of the divisor: each round takes the leading bits of the quotient in
    float32 from what is left, and the last one leaves nothing.
    """
    if a.dtype != tf.int64:
        return tf.math.floordiv(a, b)
    left = a - tf.math.floormod(a, b)
    divisor = tf.cast(b, tf.float32)
    quotient = tf.zeros([], a.dtype)
    for _ in range(_ROUNDS):
        part = tf.cast(tf.round(tf.cast(left, tf.float32) / divisor), a.dtype)
        quotient, left = quotient + part, left - part * b
    return quotient


def whole_power(base: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    """A power of whole numbers of one type, by squaring; with a negative exponent the real one, towards zero."""
    one, two = tf.ones([], base.dtype), tf.constant(2, base.dtype)
    result, square, left = one, base, tf.maximum(exponent, tf.zeros([], base.dtype))
    is_odd = tf.equal(tf.math.floormod(exponent, two), one)
    for _ in range(_BITS_OF_EXPONENT):
        bit = tf.math.floormod(left, two)
        result = result * tf.where(tf.equal(bit, one), square, one)
        square, left = square * square, floor_quotient(left, two)
    # 1 and -1 stay what they are whatever the exponent; of the others a negative power lies between -1 and 1.
    is_unit = tf.equal(base * base, one)
    of_unit = tf.where(is_odd, base, one)
    return tf.where(is_unit, of_unit, tf.where(tf.less(exponent, 0), tf.zeros([], base.dtype), result))


def log1p(x: tf.Tensor) -> tf.Tensor:
    """The logarithm of 1 + x without loss for small x; in float64 TensorFlow's own.

    In float32 TFLite's converter makes of TensorFlow's own the logarithm of a sum, which loses digits; and Goldberg's
    correction of that (1991, theorem 4) goes wrong in a SavedModel, where Grappler makes log1p of the sum again. So
    small ones go by log(1 + x) = 2 artanh(x / (2 + x)).
    """
    if x.dtype != tf.float32:
        return tf.math.log1p(x)
    part = x / (2 + x)
    series = 2 * part * _polynomial(part * part, _ARTANH)
    return tf.where(tf.less(tf.abs(x), _SMALL), series, tf.math.log(1 + x))


def softplus(x: tf.Tensor) -> tf.Tensor:
    """log(1 + exp(x)), for x of any size."""
    return tf.nn.relu(x) + log1p(tf.exp(-tf.abs(x)))


def erf(x: tf.Tensor) -> tf.Tensor:
    """The error function: in float32 of products and sums alone; in float64 TensorFlow's own, which TFLite lacks."""
    if x.dtype != tf.float32:
        return tf.math.erf(x)
    x = tf.clip_by_value(x, -_ERF_IS_ONE, _ERF_IS_ONE)
    square = x * x
    return x * _polynomial(square, _ERF_NUMERATOR) / _polynomial(square, _ERF_DENOMINATOR)


def _polynomial(x: tf.Tensor, coefficients: tuple[float, ...]) -> tf.Tensor:
    """Horner's scheme, the highest power first."""
    value = tf.constant(coefficients[0], x.dtype)
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
