"""Image files."""

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Image files")

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM")
"""How JPEG, PNG and BMP files begin."""

_COMPLAINT = "ImageDecoder: no JPEG, PNG, BMP or binary PPM file; TensorFlow cannot decode JPEG 2000, TIFF or WebP"

_PPM, _PPM_HEADER = b"P6", 64
"""How a binary PPM file of 8 bits begins, and more bytes than its header has: netpbm, ppm(5)."""

_LUMA = (19595, 38470, 7471)
"""ITU-R 601-2 in 1/65536, as Pillow converts to gray, which ONNX's reference uses: Pillow, Convert.c."""


@ops.register("ImageDecoder", 20)
def image_decoder(node: Node, encoded: tf.Tensor) -> tf.Tensor:
    """The pixels [height, width, channels] of the uint8 bytes [length] of a JPEG, PNG, BMP or PPM file.

    What is in the bytes shows only when the model runs: then it fails for another format that ONNX allows.
    """
    pixel_format = node.text("pixel_format", "RGB")
    if pixel_format not in ("RGB", "BGR", "Grayscale"):
        raise node.unsupported(f"pixel_format {pixel_format!r} is none of RGB, BGR and Grayscale")
    contents = _joined(encoded)
    is_ppm = tf.strings.substr(contents, 0, len(_PPM)) == _PPM
    known = tf.reduce_any([is_ppm, *(tf.strings.substr(contents, 0, len(magic)) == magic for magic in _MAGIC)])
    with tf.control_dependencies([tf.debugging.Assert(known, [_COMPLAINT])]):
        contents = tf.identity(contents)
    pixels = tf.case(
        [
            (tf.io.is_jpeg(contents), lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")),
            (is_ppm, lambda: _ppm(encoded, contents)),
        ],
        default=lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    if pixel_format == "BGR":
        return tf.reverse(pixels, [2])
    if pixel_format == "Grayscale":
        luma = tf.reduce_sum(tf.cast(pixels, tf.int32) * np.array(_LUMA, np.int32), axis=2, keepdims=True)
        return tf.cast(tf.bitwise.right_shift(luma + 0x8000, tf.constant(16)), tf.uint8)
    return pixels


def _ppm(encoded: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """The pixels of a binary PPM file, which stand at its end, behind ``P6 width height 255``, without comments."""
    header = tf.strings.split(tf.strings.substr(contents, 0, _PPM_HEADER))[1:4]
    width, height, largest = tf.unstack(tf.strings.to_number(header, tf.int32), 3)
    with tf.control_dependencies([tf.debugging.Assert(largest == 255, ["ImageDecoder: PPM of 8 bits would do"])]):
        return tf.reshape(encoded[-3 * width * height :], tf.stack([height, width, 3]))


def _joined(encoded: tf.Tensor) -> tf.Tensor:
    """One string of bytes: a serialized TensorProto ends in them."""
    return tf.strings.substr(tf.io.serialize_tensor(encoded), -tf.size(encoded), tf.size(encoded))
