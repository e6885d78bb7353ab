"""Where the channels stand: ONNX has them second, TensorFlow's kernels on a CPU and TFLite's have them last.

Every operator that needs channels last calls `channels_last` on what it gets and `channels_first` on what it gives, and
no other function transposes for this reason: a pass that keeps a whole region channels-last has to look here alone.
"""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import at_rank

__all__ = ["channels_first", "channels_last", "per_channel", "spatial_rank"]


def channels_last(x: tf.Tensor) -> tf.Tensor:
    """[N, C, D1, ..., Dn] to [N, D1, ..., Dn, C]."""
    rank = x.shape.rank
    return x if rank < 3 else tf.transpose(x, [0, *range(2, rank), 1])


def channels_first(x: tf.Tensor) -> tf.Tensor:
    """[N, D1, ..., Dn, C] to [N, C, D1, ..., Dn]."""
    rank = x.shape.rank
    return x if rank < 3 else tf.transpose(x, [0, rank - 1, *range(1, rank - 1)])


def per_channel(vector: tf.Tensor, rank: int) -> tf.Tensor:
    """[C] to [C, 1, ..., 1], which broadcasts against a tensor of that rank with its channels second."""
    return vector if rank < 3 else tf.reshape(vector, [-1, *[1] * (rank - 2)])


def spatial_rank(node: Node, x: tf.Tensor) -> int:
    """How many axes follow batch and channels: at least one."""
    rank = at_rank(node, x)
    if rank < 3:
        raise node.unsupported(f"its input has rank {rank}; it needs batch, channels and at least one axis more")
    return rank - 2
