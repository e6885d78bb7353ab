"""Attention and rotary positions: ONNX's operators, and what those of other domains share with them.

Heads are an axis of their own in here: queries [batch, heads, queries, head_size], keys and values
[batch, kv_heads, keys, head_size].
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = [
    "Attended",
    "attend",
    "causal_mask",
    "default_scale",
    "masked",
    "merge_heads",
    "ops",
    "rotate",
    "split_heads",
]

ops = Family("Attention")

_ATTRIBUTES = {
    "is_causal",
    "kv_num_heads",
    "q_num_heads",
    "qk_matmul_output_mode",
    "scale",
    "softcap",
    "softmax_precision",
}


@dataclass(frozen=True, slots=True)
class Attended:
    """What attention computes; scores and weights are [batch, heads, queries, keys].

    Attributes:
        output: [batch, heads, queries, v_head_size].
        scores: queries by keys, scaled.
        capped: the scores after the soft cap.
        weights: those after the masks and the softmax.
    """

    output: tf.Tensor
    scores: tf.Tensor
    capped: tf.Tensor
    weights: tf.Tensor


def split_heads(x: tf.Tensor, heads: int) -> tf.Tensor:
    """[batch, sequence, heads * size] to [batch, heads, sequence, size]."""
    hidden = x.shape[-1]
    size = -1 if hidden is None else hidden // heads
    return tf.transpose(tf.reshape(x, tf.stack([_length(x, 0), _length(x, 1), heads, size])), [0, 2, 1, 3])


def merge_heads(x: tf.Tensor) -> tf.Tensor:
    """[batch, heads, sequence, size] to [batch, sequence, heads * size]."""
    batch, heads, sequence, size = (_length(x, axis) for axis in range(4))
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), tf.stack([batch, sequence, heads * size]))


def default_scale(query: tf.Tensor) -> Any:
    """1 / sqrt(head_size): a number where the size is known."""
    size = query.shape[-1]
    return tf.math.rsqrt(tf.cast(tf.shape(query)[-1], query.dtype)) if size is None else 1 / np.sqrt(size)


def causal_mask(queries: Any, keys: Any, past: Any = 0) -> Any:
    """Which keys each query may see, [queries, keys] of bool: an array where both lengths are known, else a tensor.

    Args:
        queries: how many queries there are: a number or a scalar int32 tensor, as the others.
        keys: how many keys there are, those of the past included.
        past: how many keys stand before that of the first query; a tensor may also be [batch, 1, 1, 1], and then so is
            the mask [batch, 1, queries, keys].
    """
    if not any(tf.is_tensor(value) for value in (queries, keys, past)):
        return np.arange(keys) <= np.arange(queries)[:, np.newaxis] + past
    return tf.range(keys) <= tf.range(queries)[:, tf.newaxis] + past


def attend(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    *,
    scale: Any,
    masks: tuple[Any, ...] = (),
    softcap: float = 0.0,
    softmax_dtype: tf.DType | None = None,
) -> Attended:
    """Scaled dot-product attention; each head of keys serves as many heads of queries as their numbers' ratio.

    Args:
        query: [batch, heads, queries, head_size].
        key: [batch, kv_heads, keys, head_size].
        value: [batch, kv_heads, keys, v_head_size].
        scale: of the scores.
        masks: each can be broadcast to [batch, heads, queries, keys]: of bool, an array or a tensor (True: is seen), or
            numbers to add. A query that sees no key has weights and an output of 0.
        softcap: the bound of the scores, by tanh; 0: none.
        softmax_dtype: in which the softmax is computed; default: the query's.
    """
    scores = _by_group(query * tf.cast(scale, query.dtype), key, transpose_b=True)
    capped = tf.tanh(scores / softcap) * softcap if softcap else scores
    logits = masked(capped, masks, _hidden(capped.dtype))
    logits = logits if softmax_dtype is None else tf.cast(logits, softmax_dtype)
    weights = tf.cast(tf.nn.softmax(logits), query.dtype)
    output = tf.cast(_by_group(tf.cast(weights, value.dtype), value), query.dtype)
    if (sees := _sees_any(masks)) is not None:
        weights = tf.where(sees, weights, tf.zeros([], weights.dtype))
        output = tf.where(sees, output, tf.zeros([], output.dtype))
    return Attended(output, scores, capped, weights)


def masked(scores: tf.Tensor, masks: tuple[Any, ...], hidden: float) -> tf.Tensor:
    """Scores under masks, as `attend` takes them; ``hidden`` is what stands for a key that is not seen."""
    for mask in masks:
        if isinstance(mask, np.ndarray):
            # Known: an addition fuses where a selection does not.
            added = np.where(mask, 0.0, hidden)
            scores = scores if mask.all() else scores + tf.constant(added, scores.dtype)
        elif mask.dtype == tf.bool:
            scores = tf.where(mask, scores, tf.constant(hidden, scores.dtype))
        else:
            scores += tf.maximum(tf.cast(mask, scores.dtype), tf.constant(hidden, scores.dtype))
    return scores


def rotate(x: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor, *, is_interleaved: bool = False) -> tf.Tensor:
    """Turns pairs of the last axis by angles; what of it lies beyond twice the angles' last axis stays.

    Args:
        x: [..., head_size].
        cosine: of the angles, can be broadcast to [..., turned / 2] where turned <= head_size; so can the sine.
        sine: of the angles.
        is_interleaved: whether neighbours are a pair, or elements half of what is turned apart.
    """
    half = cosine.shape[-1]
    turned = x[..., : 2 * half]
    if is_interleaved:
        pairs = tf.reshape(turned, tf.concat([tf.shape(x)[:-1], [half, 2]], 0))
        first, second = pairs[..., 0], pairs[..., 1]
    else:
        first, second = turned[..., :half], turned[..., half:]
    real, imaginary = first * cosine - second * sine, first * sine + second * cosine
    if is_interleaved:
        turned = tf.reshape(tf.stack([real, imaginary], -1), tf.shape(turned))
    else:
        turned = tf.concat([real, imaginary], -1)
    return turned if x.shape[-1] == 2 * half else tf.concat([turned, x[..., 2 * half :]], -1)


@ops.register("Attention", 23, 24)
def attention(
    node: Node,
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    mask: tf.Tensor | None = None,
    past_key: tf.Tensor | None = None,
    past_value: tf.Tensor | None = None,
    nonpad_kv_seqlen: tf.Tensor | None = None,
) -> tuple[tf.Tensor | None, ...]:
    """Attention over [batch, heads, sequence, size] or [batch, sequence, heads * size], with a cache.

    As onnx 1.19 and later and ONNX Runtime have it. The reference and the tests of onnx 1.18 took inputs of three axes
    apart without a transposition, repeated the heads of keys in another order, and capped scores after the mask.
    """
    if unknown := sorted(set(node.node.attributes) - _ATTRIBUTES):
        raise node.unsupported(f"it has attributes of a later opset than 24: {', '.join(unknown)}; leave them out")
    is_flat = query.shape.rank == 3
    if query.shape.rank not in (3, 4):
        raise node.unsupported("its query has neither 3 nor 4 axes; state the input's shape, whose axes may be dynamic")
    if is_flat:
        query = split_heads(query, node.integer("q_num_heads"))
        key, value = (split_heads(x, node.integer("kv_num_heads")) for x in (key, value))
    past: Any = 0
    if past_key is not None and past_value is not None:
        past = _length(past_key, 2)
        key, value = tf.concat([past_key, key], 2), tf.concat([past_value, value], 2)
    masks: list[Any] = []
    if nonpad_kv_seqlen is not None:
        # The cache is outside and padded: the queries are the last of what each row of the batch really has.
        present = tf.reshape(tf.cast(nonpad_kv_seqlen, tf.int32), [-1, 1, 1, 1])
        masks.append(tf.range(_length(key, 2)) < present)
        past = present - _length(query, 2) if past_key is None else past
    if node.integer("is_causal", 0):
        masks.append(causal_mask(_length(query, 2), _length(key, 2), past))
    if mask is not None:
        masks.append(_over_all_keys(mask, key))
    precision = node.integer("softmax_precision", 0)
    attended = attend(
        query,
        key,
        value,
        scale=node.number("scale") if node.has("scale") else default_scale(query),
        masks=tuple(masks),
        softcap=node.number("softcap", 0.0),
        softmax_dtype=tensorflow_dtype(ir.DataType(precision)) if precision else None,
    )
    mode = node.integer("qk_matmul_output_mode", 0)
    if mode == 2:
        stage = masked(attended.capped, tuple(masks), float("-inf"))
    else:
        stage = {0: attended.scores, 1: attended.capped, 3: attended.weights}[mode]
    return merge_heads(attended.output) if is_flat else attended.output, key, value, stage


@ops.register("RotaryEmbedding", 23)
def rotary_embedding(
    node: Node,
    x: tf.Tensor,
    cosine: tf.Tensor,
    sine: tf.Tensor,
    position_ids: tf.Tensor | None = None,
) -> tf.Tensor:
    """Turns [batch, heads, sequence, size] or [batch, sequence, heads * size] by the angles of the positions.

    The tables are [positions, half] with position_ids [batch, sequence], else [batch, sequence, half].
    """
    if x.shape.rank not in (3, 4):
        raise node.unsupported("its input has neither 3 nor 4 axes; state the input's shape, whose axes may be dynamic")
    if position_ids is not None:
        cosine, sine = tf.gather(cosine, position_ids), tf.gather(sine, position_ids)
    if turned := node.integer("rotary_embedding_dim", 0):
        cosine, sine = cosine[..., : turned // 2], sine[..., : turned // 2]
    if cosine.shape[-1] is None:
        raise node.unsupported("the last axis of its tables is of unknown length; state it or rotary_embedding_dim")
    heads_axis = 1 if x.shape.rank == 4 else 2
    y = x
    if x.shape.rank == 3:
        heads, hidden = node.integer("num_heads"), x.shape[-1]
        size = -1 if hidden is None else hidden // heads
        y = tf.reshape(x, tf.stack([_length(x, 0), _length(x, 1), heads, size]))
    cosine, sine = tf.expand_dims(cosine, heads_axis), tf.expand_dims(sine, heads_axis)
    y = rotate(y, cosine, sine, is_interleaved=bool(node.integer("interleaved", 0)))
    return tf.reshape(y, _shape(x)) if x.shape.rank == 3 else y


def _length(x: tf.Tensor, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


def _shape(x: tf.Tensor) -> Any:
    return x.shape.as_list() if x.shape.is_fully_defined() else tf.shape(x)


def _by_group(a: tf.Tensor, b: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """Multiplies [batch, heads, m, k] by [batch, kv_heads, k, n], without copies of the heads that serve several."""
    heads, kv_heads = a.shape[1], b.shape[1]
    if heads == kv_heads or kv_heads == 1:
        return tf.matmul(a, b, transpose_b=transpose_b)
    batch, heads, rows, inner = (_length(a, axis) for axis in range(4))
    kv_heads = _length(b, 1)
    grouped = tf.reshape(a, tf.stack([batch, kv_heads, heads // kv_heads * rows, inner]))
    product = tf.matmul(grouped, b, transpose_b=transpose_b)
    return tf.reshape(product, tf.stack([batch, heads, rows, _length(product, 3)]))


def _hidden(dtype: tf.DType) -> float:
    """A score that the softmax turns to 0. Half of the lowest: two of them add up to a finite number, and no NaN."""
    return float(dtype.min) / 2


def _sees_any(masks: tuple[Any, ...]) -> tf.Tensor | None:
    """Whether each query sees a key, [..., queries, 1]; None where all certainly do."""
    visible = None
    for mask in masks:
        if isinstance(mask, np.ndarray) and mask.all():
            continue
        is_bool = isinstance(mask, np.ndarray) or mask.dtype == tf.bool
        seen = mask if is_bool else mask > tf.constant(_hidden(mask.dtype), mask.dtype)
        visible = seen if visible is None else tf.logical_and(visible, seen)
    if visible is None or (isinstance(visible, np.ndarray) and visible.any(-1).all()):
        return None
    return tf.reduce_any(visible, axis=-1, keepdims=True)


def _over_all_keys(mask: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """A mask may cover fewer keys than there are, the first: no query sees the rest."""
    covered, keys = mask.shape[-1], key.shape[2]
    if covered in (None, 1) or keys is None or covered >= keys:
        return mask
    padding = [[0, 0]] * (mask.shape.rank - 1) + [[0, keys - covered]]
    return tf.pad(mask, padding, constant_values=False if mask.dtype == tf.bool else _hidden(mask.dtype))
