"""Choosing among detected boxes."""

from typing import Any

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Detection")

_LARGEST_UNROLLED = 4
"""Pairs of image and class: up to so many are emitted one after another, more in a loop."""


@ops.register("NonMaxSuppression", 10, 11)
def non_max_suppression(
    node: Node,
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_output_boxes_per_class: tf.Tensor | None = None,
    iou_threshold: tf.Tensor | None = None,
    score_threshold: tf.Tensor | None = None,
) -> tf.Tensor:
    """Boxes [N, B, 4] by scores [N, C, B], each class by itself: [M, 3] int64 of image, class and box.

    Each image and class is one NonMaxSuppressionV4, which TFLite has built in: it sorts only what exceeds the
    threshold, so that many classes with few boxes each are cheap.
    """
    limit = _scalar(max_output_boxes_per_class, 0)
    known = node.static_integers(limit)
    if known and known[0] <= 0:
        return tf.zeros([0, 3], tf.int64)
    if node.integer("center_point_box", 0):
        center, half = boxes[..., :2], boxes[..., 2:] / 2
        boxes = tf.concat([center - half, center + half], axis=-1)
    count = _length(boxes, 1)
    # Exporters state "all" as the greatest int64. Both bounds in one type would become TFLite's Relu6 for six boxes.
    limit = tf.maximum(tf.cast(tf.minimum(limit, tf.cast(count, tf.int64)), tf.int32), 0)
    images, classes = _length(scores, 0), _length(scores, 1)
    flat_scores = tf.reshape(scores, [-1, count])
    thresholds = _scalar(iou_threshold, 0.0), _scalar(score_threshold, float("-inf"))

    def chosen(pair: Any) -> tf.Tensor:
        """The rows [M, 3] of one image and class, int32."""
        image, class_index = pair // classes, pair % classes
        indices, valid = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes[image],
            scores=flat_scores[pair],
            max_output_size=limit,
            iou_threshold=thresholds[0],
            score_threshold=thresholds[1],
            pad_to_max_output_size=True,
        )
        indices = indices[:valid]
        return tf.stack([tf.fill(tf.shape(indices), image), tf.fill(tf.shape(indices), class_index), indices], axis=1)

    if not tf.is_tensor(images) and not tf.is_tensor(classes) and images * classes <= _LARGEST_UNROLLED:
        rows = [chosen(pair) for pair in range(images * classes)]
        found = tf.concat(rows, 0) if rows else tf.zeros([0, 3], tf.int32)
        return tf.cast(found, tf.int64)
    pairs = images * classes
    _, found = tf.while_loop(
        lambda pair, found: pair < pairs,
        lambda pair, found: (pair + 1, tf.concat([found, chosen(pair)], 0)),
        (tf.constant(0), tf.zeros([0, 3], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 3])),
    )
    return tf.cast(found, tf.int64)


def _scalar(tensor: tf.Tensor | None, default: float) -> tf.Tensor:
    """A scalar or a vector of one element, as a scalar."""
    if tensor is None:
        return tf.constant(default, tf.int64 if isinstance(default, int) else tf.float32)
    return tf.reshape(tensor, [])


def _length(x: tf.Tensor, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known
