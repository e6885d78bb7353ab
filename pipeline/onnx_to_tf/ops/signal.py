"""Fourier transforms, windows and filters of signals."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Signals")

_LONGEST_TABLE = 2048
"""Up to this length a transform is a multiplication by a table, which TFLite has built in: 16 MiB of float32 each for
cosines and sines."""


@ops.register("DFT", 17, 20)
def dft(node: Node, x: tf.Tensor, dft_length: tf.Tensor | None = None, axis: tf.Tensor | None = None) -> tf.Tensor:
    """The discrete Fourier transform of real [..., 1] or complex [..., 2] signals along an axis: [..., 2]."""
    rank = x.shape.rank
    if rank is None:
        raise node.unsupported("the rank of its input is unknown; state the input's shape, whose axes may be dynamic")
    if node.version < 20:
        at: Any = node.integer("axis", 1) % rank
    elif axis is None:
        at = rank - 2
    elif (known := node.static_integers(axis)) is not None:
        at = known[0] % rank
    else:
        at = tf.math.floormod(tf.cast(tf.reshape(axis, []), tf.int32), rank)
    is_inverse, is_onesided = bool(node.integer("inverse", 0)), bool(node.integer("onesided", 0))
    places = np.arange(rank, dtype=np.int32)
    # The axis changes places with the last one of the signal; the same again undoes it.
    swapped: Any
    if tf.is_tensor(at):
        swapped = tf.where(places == at, rank - 2, tf.where(places == rank - 2, at, places))
    else:
        swapped = places.copy()
        swapped[at], swapped[rank - 2] = rank - 2, at
    is_moved = tf.is_tensor(at) or at != rank - 2
    moved = tf.transpose(x, swapped) if is_moved else x
    if tf.is_tensor(at):
        moved.set_shape([None] * (rank - 1) + [x.shape[-1]])
    length = _transform_length(node, moved, dft_length)
    y = _transformed(_resized(moved, length), length, is_inverse=is_inverse, is_onesided=is_onesided)
    return tf.cast(tf.transpose(y, swapped) if is_moved else y, x.dtype)


@ops.register("STFT", 17)
def stft(
    node: Node,
    signal: tf.Tensor,
    frame_step: tf.Tensor,
    window: tf.Tensor | None = None,
    frame_length: tf.Tensor | None = None,
) -> tf.Tensor:
    """The transform of each frame of signals [batch, length, 1 or 2]: [batch, frames, bins, 2].

    Where the frames are known it is a convolution whose filters are waves under the window. Signals [batch, length],
    which torch's exporter writes, are taken for real ones, as ONNX Runtime does.
    """
    if signal.shape.rank == 2:
        signal = tf.expand_dims(signal, 2)
    is_onesided = bool(node.integer("onesided", 1))
    real = tf.float64 if signal.dtype == tf.float64 else tf.float32
    x = tf.cast(signal, real)
    if frame_length is not None:
        known = node.static_integers(frame_length)
        length: Any = known[0] if known else tf.cast(tf.reshape(frame_length, []), tf.int32)
    else:
        whole = signal if window is None else window
        length = _length(whole, 1 if window is None else 0)
    step_known = node.static_integers(frame_step)
    step: Any = step_known[0] if step_known else tf.cast(tf.reshape(frame_step, []), tf.int32)
    weights = tf.ones([length], real) if window is None else _padded(tf.cast(window, real), length)
    components = signal.shape[-1]
    if tf.is_tensor(length) or tf.is_tensor(step) or length > _LONGEST_TABLE or components is None:
        frames = tf.signal.frame(x, length, step, axis=1) * weights[:, tf.newaxis]
        y = _fft(frames, is_inverse=False)
        return tf.cast(_half(y, length) if is_onesided else y, signal.dtype)
    bins = length // 2 + 1 if is_onesided else length
    cosine, sine = _waves(length, bins)
    # Filters [length, components, bins]: the real parts of all bins, then the imaginary ones.
    filters = np.stack([np.concatenate([cosine, -sine], 1), np.concatenate([sine, cosine], 1)], 1)[:, :components]
    y = tf.nn.conv1d(x, tf.constant(filters, real) * weights[:, tf.newaxis, tf.newaxis], step, "VALID")
    y = tf.stack([y[..., :bins], y[..., bins:]], axis=-1)
    return tf.cast(y, signal.dtype)


@ops.register("HannWindow", 17)
def hann_window(node: Node, size: tf.Tensor) -> tf.Tensor:
    """The Hann window of a length."""
    return _window(node, size, (0.5, -0.5))


@ops.register("HammingWindow", 17)
def hamming_window(node: Node, size: tf.Tensor) -> tf.Tensor:
    """The Hamming window of a length, with 25/46 as its constant."""
    return _window(node, size, (25 / 46, 25 / 46 - 1))


@ops.register("BlackmanWindow", 17)
def blackman_window(node: Node, size: tf.Tensor) -> tf.Tensor:
    """The Blackman window of a length."""
    return _window(node, size, (0.42, -0.5, 0.08))


@ops.register("MelWeightMatrix", 17)
def mel_weight_matrix(
    node: Node,
    num_mel_bins: tf.Tensor,
    dft_length: tf.Tensor,
    sample_rate: tf.Tensor,
    lower_edge_hertz: tf.Tensor,
    upper_edge_hertz: tf.Tensor,
) -> tf.Tensor:
    """Triangles over the bins of a spectrum, evenly spaced in mel: [dft_length // 2 + 1, num_mel_bins].

    Source: onnx/reference/ops/op_mel_weight_matrix.py.
    """
    inputs = num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz
    real = _precision(node, *inputs)
    bands, samples = (tf.cast(tf.reshape(x, []), tf.int32) for x in inputs[:2])
    rate, lower, upper = (tf.cast(tf.reshape(x, []), real) for x in inputs[2:])
    low, high = (2595 * tf.math.log(1 + edge / 700) / np.log(10) for edge in (lower, upper))
    mels = tf.cast(tf.range(bands + 2), real) * ((high - low) / tf.cast(bands + 2, real)) + low
    hertz = 700 * (tf.exp(mels * (np.log(10) / 2595)) - 1)
    edges = tf.floor(tf.cast(samples + 1, real) * hertz / rate)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    bins = tf.cast(tf.range(samples // 2 + 1), real)[:, tf.newaxis]
    rising = (bins - left) / tf.maximum(center - left, 1)
    falling = (right - bins) / tf.maximum(right - center, 1)
    sides = tf.maximum(tf.where(bins < center, rising, falling), 0)
    matrix = tf.where(bins == center, tf.ones_like(sides), sides)
    return tf.cast(matrix, _output_datatype(node))


def _window(node: Node, size: tf.Tensor, terms: tuple[float, ...]) -> tf.Tensor:
    """A sum of cosines, of which the k-th has k periods."""
    real = _precision(node, size)
    count = tf.cast(tf.reshape(size, []), tf.int32)
    periods = count if node.integer("periodic", 1) else tf.maximum(count - 1, 1)
    angle = tf.cast(tf.range(count), real) * (2 * np.pi) / tf.cast(periods, real)
    total = tf.fill(tf.shape(angle), tf.constant(terms[0], real))
    for order, factor in enumerate(terms[1:], 1):
        total += factor * tf.cos(order * angle)
    return tf.cast(total, _output_datatype(node))


def _precision(node: Node, *inputs: tf.Tensor) -> tf.DType:
    """Double what is computed at conversion; single what is when the model runs, where TFLite has no double."""
    return tf.float32 if any(node.static(x) is None for x in inputs) else tf.float64


def _output_datatype(node: Node) -> tf.DType:
    return tensorflow_dtype(ir.DataType(node.integer("output_datatype", onnx.TensorProto.FLOAT)))


def _length(x: tf.Tensor, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


def _transform_length(node: Node, x: tf.Tensor, dft_length: tf.Tensor | None) -> Any:
    """How many samples are transformed; the signal's axis is the last but one."""
    if dft_length is None:
        return _length(x, x.shape.rank - 2)
    known = node.static_integers(dft_length)
    return known[0] if known else tf.cast(tf.reshape(dft_length, []), tf.int32)


def _resized(x: tf.Tensor, length: Any) -> tf.Tensor:
    """The last axis but one cut or padded by zeros to a length."""
    axis = x.shape.rank - 2
    given = _length(x, axis)
    if not tf.is_tensor(given) and not tf.is_tensor(length) and given == length:
        return x
    x = x[..., :length, :]
    missing = tf.maximum(length - _length(x, axis), 0)
    return tf.pad(x, [[0, 0]] * axis + [[0, missing], [0, 0]])


def _padded(window: tf.Tensor, length: Any) -> tf.Tensor:
    return _resized(window[:, tf.newaxis], length)[:, 0]


def _waves(length: int, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines and sines [length, bins]."""
    angle = 2 * np.pi / length * (np.outer(np.arange(length), np.arange(bins)) % length)
    return np.cos(angle), np.sin(angle)


def _transformed(x: tf.Tensor, length: Any, *, is_inverse: bool, is_onesided: bool) -> tf.Tensor:
    """The transform of [..., length, 1 or 2]: [..., bins, 2]."""
    components = x.shape[-1]
    if tf.is_tensor(length) or length > _LONGEST_TABLE or components is None:
        y = _fft(x, is_inverse=is_inverse)
        return _half(y, length) if is_onesided else y
    real = tf.float64 if x.dtype == tf.float64 else tf.float32
    bins = length // 2 + 1 if is_onesided else length
    cosine, sine = _waves(length, bins)
    if is_inverse:
        cosine, sine = cosine / length, -sine / length
    # [..., length * components] by [length * components, bins * 2], so that the parts need not be taken apart.
    table = np.empty((length, components, bins, 2))
    table[:, 0] = np.stack([cosine, -sine], -1)
    table[:, 1:] = np.stack([sine, cosine], -1)[:, np.newaxis]
    shape = [_length(x, axis) for axis in range(x.shape.rank - 2)]
    flat = tf.reshape(tf.cast(x, real), tf.stack([*shape, length * components]))
    y = tf.matmul(flat, tf.constant(table.reshape(length * components, bins * 2), real))
    return tf.reshape(y, tf.stack([*shape, bins, 2]))


def _fft(x: tf.Tensor, *, is_inverse: bool) -> tf.Tensor:
    """The transform along the last axis but one by FFT, in double precision: TFLite has no such operator anyway."""
    wide = tf.cast(x, tf.float64)
    imaginary = tf.zeros_like(wide[..., 0]) if x.shape[-1] == 1 else wide[..., -1]
    if x.shape[-1] is None:
        imaginary *= tf.cast(tf.shape(x)[-1] - 1, tf.float64)
    signal = tf.complex(wide[..., 0], imaginary)
    y = tf.signal.ifft(signal) if is_inverse else tf.signal.fft(signal)
    return tf.stack([tf.math.real(y), tf.math.imag(y)], axis=-1)


def _half(y: tf.Tensor, length: Any) -> tf.Tensor:
    """What is not redundant in the transform of a real signal."""
    return y[..., : length // 2 + 1, :]
