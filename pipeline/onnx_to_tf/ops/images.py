"""Image files."""

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Image files")

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM")
"""How JPEG, PNG and BMP files begin."""

_COMPLAINT = "ImageDecoder: no JPEG, PNG or BMP file; TensorFlow cannot decode JPEG 2000, TIFF, WebP or PNM"

_LUMA = (19595, 38470, 7471)
"""ITU-R 601-2 in 1/65536, as Pillow converts to gray, which ONNX's reference uses: Pillow, Convert.c."""


@ops.register("ImageDecoder", 20)
def image_decoder(node: Node, encoded: tf.Tensor) -> tf.Tensor:
    """The pixels [height, width, channels] of the uint8 bytes [length] of a JPEG, PNG or BMP file.

    What is in the bytes shows only when the model runs: then it fails for another format that ONNX allows.
    """
    pixel_format = node.text("pixel_format", "RGB")
    if pixel_format not in ("RGB", "BGR", "Grayscale"):
        raise node.unsupported(f"pixel_format {pixel_format!r} is none of RGB, BGR and Grayscale")
    contents = _joined(encoded)
    known = tf.reduce_any([tf.strings.substr(contents, 0, len(magic)) == magic for magic in _MAGIC])
    with tf.control_dependencies([tf.debugging.Assert(known, [_COMPLAINT])]):
        contents = tf.identity(contents)
    pixels = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    if pixel_format == "BGR":
        return tf.reverse(pixels, [2])
    if pixel_format == "Grayscale":
        luma = tf.reduce_sum(tf.cast(pixels, tf.int32) * np.array(_LUMA, np.int32), axis=2, keepdims=True)
        return tf.cast(tf.bitwise.right_shift(luma + 0x8000, tf.constant(16)), tf.uint8)
    return pixels


def _joined(encoded: tf.Tensor) -> tf.Tensor:
    """One string of bytes: a serialized TensorProto ends in them."""
    return tf.strings.substr(tf.io.serialize_tensor(encoded), -tf.size(encoded), tf.size(encoded))
