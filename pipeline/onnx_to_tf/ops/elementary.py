"""Functions that TFLite has no kernel for, from those that it has, as exact as their type."""

import tensorflow as tf

__all__ = ["erf", "log1p", "softplus"]

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


def log1p(x: tf.Tensor) -> tf.Tensor:
    """The logarithm of 1 + x without loss for small x (Goldberg, 1991, theorem 4); x in floating point."""
    above = 1 + x
    return tf.where(tf.equal(above, 1), x, tf.math.log(above) * x / tf.where(tf.equal(above, 1), 1.0 + x, above - 1))


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
