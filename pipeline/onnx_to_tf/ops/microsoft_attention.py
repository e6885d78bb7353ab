"""Attention as ONNX Runtime's optimizer of transformers and exporters of language models write it.

Letters of shapes: B batch, S tokens of the query, L tokens of key and value that are new, P that are past, T all of
them, N heads, K heads of key and value, H size of a head.
"""

from dataclasses import dataclass

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops import quantization
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Attention of ONNX Runtime")

_MICROSOFT = "com.microsoft"

_MASKED = -10000.0
"""What is added to the score of a key that is masked, by default: attribute mask_filter_value."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """What happens between the products of query and key, and those with the value.

    Attributes:
        scale: of the scores.
        bias: added to them; broadcasts against [B, N, S, T].
        softcap: they are bent into (-softcap, softcap) before; 0 for not.
        sink: a score of its own for each head, [1, N, 1, 1], that takes a share and gives nothing.
    """

    scale: float
    bias: tf.Tensor | None = None
    softcap: float = 0.0
    sink: tf.Tensor | None = None


@ops.register("Attention", domain=_MICROSOFT)
def attention(
    node: Node,
    x: tf.Tensor,
    weights: tf.Tensor,
    bias: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    past: tf.Tensor | None = None,
    attention_bias: tf.Tensor | None = None,
    past_length: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Self-attention with the projections of query, key and value in one matrix; gives the state behind the past."""
    if past_length is not None:
        raise node.unsupported("past and present share a buffer; export with past_present_share_buffer=0")
    projected = tf.matmul(x, weights)
    if bias is not None:
        projected = projected + bias
    return _self_attention(node, projected, mask, past, attention_bias)


@ops.register("QAttention", domain=_MICROSOFT)
def qattention(
    node: Node,
    x: tf.Tensor,
    weights: tf.Tensor,
    bias: tf.Tensor,
    x_scale: tf.Tensor,
    weight_scale: tf.Tensor,
    mask: tf.Tensor | None = None,
    x_zero: tf.Tensor | None = None,
    weight_zero: tf.Tensor | None = None,
    past: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """As Attention, the projection of quantized input with quantized weights; the rest in floating point."""
    product = quantization.matrix_product(node, x, weights, x_zero, weight_zero)
    projected = tf.cast(product, tf.float32) * (x_scale * weight_scale) + bias
    return _self_attention(node, projected, mask, past, None)


@ops.register("MultiHeadAttention", domain=_MICROSOFT)
def multi_head_attention(
    node: Node,
    query: tf.Tensor,
    key: tf.Tensor | None = None,
    value: tf.Tensor | None = None,
    bias: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    attention_bias: tf.Tensor | None = None,
    past_key: tf.Tensor | None = None,
    past_value: tf.Tensor | None = None,
    past_length: tf.Tensor | None = None,
    cache_indirection: tf.Tensor | None = None,
) -> tuple[tf.Tensor | None, ...]:
    """Attention of what is projected already: query [B, S, N * H]; key and value alike, or [B, N, L, H]."""
    if past_length is not None or cache_indirection is not None:
        raise node.unsupported("past and present share a buffer; export the model without past_sequence_length")
    if key is None or value is None or query.shape.rank != 3 or key.shape.rank not in (3, 4):
        raise node.unsupported("query, key and value are packed; export them apart, each [batch, tokens, hidden]")
    if node.wants(3):
        raise node.unsupported("its output qk is asked for; compute the scores by nodes of their own")
    heads = node.integer("num_heads")
    if bias is not None:
        width = query.shape[-1]
        if width is None or key.shape.rank != 3:
            raise node.unsupported("it has a bias, and its width is unknown; add the bias before this node")
        query, key, value = query + bias[:width], key + bias[width : 2 * width], value + bias[2 * width :]
    q = _split_heads(query, heads)
    k, v = (_split_heads(x, heads) if x.shape.rank == 3 else x for x in (key, value))
    if past_key is not None and past_value is not None:
        k, v = tf.concat([past_key, k], 2), tf.concat([past_value, v], 2)
    scores = _Scores(_scale(node, q), _masks(node, mask, attention_bias, q, k))
    return _attend(q, k, v, scores), k, v, None


@ops.register("GroupQueryAttention", domain=_MICROSOFT)
def group_query_attention(
    node: Node,
    query: tf.Tensor,
    key: tf.Tensor | None,
    value: tf.Tensor | None,
    past_key: tf.Tensor | None,
    past_value: tf.Tensor | None,
    last: tf.Tensor,
    total: tf.Tensor,
    cos: tf.Tensor | None = None,
    sin: tf.Tensor | None = None,
    positions: tf.Tensor | None = None,
    attention_bias: tf.Tensor | None = None,
    head_sink: tf.Tensor | None = None,
    k_scale: tf.Tensor | None = None,
    v_scale: tf.Tensor | None = None,
    q_norm: tf.Tensor | None = None,
    k_norm: tf.Tensor | None = None,
    query_lengths: tf.Tensor | None = None,
) -> tuple[tf.Tensor | None, ...]:
    """Causal attention with a state, in which several heads of the query share one of key and value.

    Args:
        node: the node.
        query: [B, S, N * H], or with key and value behind it.
        key: [B, S, K * H].
        value: as key.
        past_key: [B, K, P, H]; each row filled up to a length of its own.
        past_value: as past_key.
        last: int32, [B]: the number of tokens with these, less one.
        total: int32: the largest such number.
        cos: [positions, H / 2 or less], of the rotary embedding.
        sin: as cos.
        positions: int64, [B, S]; default: they follow the past.
        attention_bias: added to the scores; broadcasts against [B, N, S, T].
        head_sink: [N], a score of its own for each head.
        k_scale: of a quantized state.
        v_scale: of a quantized state.
        q_norm: [H], weights of a root-mean-square normalization of each head.
        k_norm: as q_norm.
        query_lengths: of queries that are padded on the right.
    """
    _refuse_group_query(node, k_scale, v_scale, query_lengths)
    heads, shared = node.integer("num_heads"), node.integer("kv_num_heads")
    if key is None or value is None:
        packed = _split_heads(query, heads + 2 * shared)
        q, k, v = packed[:, :heads], packed[:, heads : heads + shared], packed[:, heads + shared :]
    else:
        q, k, v = _split_heads(query, heads), _split_heads(key, shared), _split_heads(value, shared)
    if q_norm is not None and k_norm is not None:
        epsilon = node.number("qk_norm_epsilon", 1e-6)
        q = _root_mean_square(q, q_norm, node.number("q_norm_epsilon", epsilon))
        k = _root_mean_square(k, k_norm, node.number("k_norm_epsilon", epsilon))
    tokens = tf.shape(q)[2]
    total = tf.reshape(total, [])
    # [B, 1]; a first prompt may be padded on the right: its tokens begin at 0 whatever their number.
    lengths = tf.reshape(last, [-1, 1]) + 1 - tokens
    past = tf.where(tf.equal(tokens, total), tf.zeros_like(lengths), lengths)
    places = past + tf.range(tokens)[tf.newaxis, :]
    if node.integer("do_rotary", 0):
        if cos is None or sin is None:
            raise node.unsupported("do_rotary is set, and cos_cache or sin_cache is missing; give both")
        where = places if positions is None else tf.cast(positions, tf.int32)
        interleaved = bool(node.integer("rotary_interleaved", 0))
        q = _rotated(q, where, cos, sin, interleaved=interleaved)
        k = _rotated(k, where, cos, sin, interleaved=interleaved)
    k, v = (_appended(old, new, past, total) for old, new in ((past_key, k), (past_value, v)))
    scores = _Scores(
        _scale(node, q),
        _group_query_bias(node, places, k, attention_bias, q.dtype),
        node.number("softcap", 0.0),
        _sink(node, head_sink, q.dtype),
    )
    return _attend(q, _repeated(k, heads // shared), _repeated(v, heads // shared), scores), k, v, None


@ops.register("RotaryEmbedding", domain=_MICROSOFT)
def rotary_embedding(node: Node, x: tf.Tensor, positions: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor) -> tf.Tensor:
    """Rotates pairs of entries of each head by an angle that depends on the position; [B, S, N * H] or [B, N, S, H]."""
    if node.integer("is_packed_batching", 0):
        raise node.unsupported("its batch is ragged; pad it, with is_packed_batching=0")
    if positions.shape.rank == 1:
        # One number: the position of the first token.
        length = tf.shape(x)[1 if x.shape.rank == 3 else 2]
        positions = tf.cast(positions, tf.int32)[:, tf.newaxis] + tf.range(length)[tf.newaxis, :]
    positions = tf.cast(positions, tf.int32)
    interleaved = bool(node.integer("interleaved", 0))
    if x.shape.rank == 4:
        return _rotated(x, positions, cos, sin, interleaved=interleaved)
    heads = node.integer("num_heads", 0)
    if not heads:
        if x.shape[-1] is None or cos.shape[-1] is None:
            raise node.unsupported("the number of its heads is unknown; state num_heads")
        heads = x.shape[-1] // (2 * cos.shape[-1])
    rotated = _rotated(_split_heads(x, heads), positions, cos, sin, interleaved=interleaved)
    return tf.ensure_shape(_merged_heads(rotated), x.shape)


def _self_attention(
    node: Node,
    projected: tf.Tensor,
    mask: tf.Tensor | None,
    past: tf.Tensor | None,
    attention_bias: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    if node.integer("do_rotary", 0):
        raise node.unsupported("do_rotary is set; rotate by a RotaryEmbedding and attend by a MultiHeadAttention")
    heads = node.integer("num_heads")
    sizes = node.integers("qkv_hidden_sizes", None)
    q, k, v = (_split_heads(x, heads) for x in tf.split(projected, sizes or 3, axis=-1))
    if past is not None:
        k, v = tf.concat([past[0], k], 2), tf.concat([past[1], v], 2)
    scores = _Scores(_scale(node, q), _masks(node, mask, attention_bias, q, k))
    return _attend(q, k, v, scores), tf.stack([k, v]) if node.wants(1) else None


def _attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, scores: _Scores) -> tf.Tensor:
    """Softmax of the scores times the value: q [B, N, S, H], k [B, N, T, H], v [B, N, T, W]; gives [B, S, N * W]."""
    found = tf.matmul(q * tf.cast(scores.scale, q.dtype), k, transpose_b=True)
    if scores.softcap:
        found = scores.softcap * tf.tanh(found / scores.softcap)
    if scores.bias is not None:
        found = found + tf.cast(scores.bias, found.dtype)
    if scores.sink is None:
        return _merged_heads(tf.matmul(tf.nn.softmax(found), v))
    sink = tf.zeros_like(found[..., :1]) + scores.sink
    return _merged_heads(tf.matmul(tf.nn.softmax(tf.concat([found, sink], -1))[..., :-1], v))


def _scale(node: Node, q: tf.Tensor) -> float:
    stated = node.number("scale", 0.0)
    if stated:
        return stated
    if q.shape[-1] is None:
        raise node.unsupported("the size of a head is unknown; state the width of the query, or scale")
    return float(1.0 / q.shape[-1] ** 0.5)


def _split_heads(x: tf.Tensor, heads: int) -> tf.Tensor:
    """[B, S, N * H] to [B, N, S, H]."""
    size = -1 if x.shape[-1] is None else x.shape[-1] // heads
    return tf.transpose(tf.reshape(x, _shape([*_sizes(x)[:2], heads, size])), [0, 2, 1, 3])


def _merged_heads(x: tf.Tensor) -> tf.Tensor:
    """[B, N, S, H] to [B, S, N * H]."""
    batch, heads, tokens, size = _sizes(x)
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), _shape([batch, tokens, heads * size]))


def _sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The length of each axis: a number where it is known, else a tensor."""
    return [tf.shape(x)[axis] if size is None else size for axis, size in enumerate(x.shape)]


def _shape(sizes: list[int | tf.Tensor]) -> list[int | tf.Tensor]:
    """A shape to reshape to; one unknown length is left to be found."""
    unknown = [position for position, size in enumerate(sizes) if tf.is_tensor(size)]
    if len(unknown) == 1 and -1 not in [size for size in sizes if not tf.is_tensor(size)]:
        sizes = [-1 if position in unknown else size for position, size in enumerate(sizes)]
    return sizes


def _masks(
    node: Node, mask: tf.Tensor | None, attention_bias: tf.Tensor | None, q: tf.Tensor, k: tf.Tensor
) -> tf.Tensor | None:
    """What is added to the scores, [B, 1 or N, S or 1, T], or None."""
    tokens, keys = _sizes(q)[2], _sizes(k)[2]
    filtered = node.number("mask_filter_value", _MASKED)
    bias = None
    if mask is not None:
        bias = filtered * (1.0 - tf.cast(_is_visible(node, mask, q, keys), tf.float32))
    if node.integer("unidirectional", 0):
        behind = tf.range(keys)[tf.newaxis, :] > tf.range(tokens)[:, tf.newaxis] + (keys - tokens)
        # Far below what a padding mask adds: the future stays hidden where all of the past is masked.
        hidden = q.dtype.min * tf.cast(behind, tf.float32)[tf.newaxis, tf.newaxis]
        bias = hidden if bias is None else tf.maximum(hidden + bias, q.dtype.min)
    if attention_bias is not None:
        attention_bias = tf.cast(attention_bias, tf.float32)
        bias = attention_bias if bias is None else bias + attention_bias
    return bias


def _is_visible(node: Node, mask: tf.Tensor, q: tf.Tensor, keys: int | tf.Tensor) -> tf.Tensor:
    """Which keys may be seen, [B, 1, S or 1, T]."""
    mask = tf.cast(mask, tf.int32)
    if mask.shape.rank == 2:
        return mask[:, tf.newaxis, tf.newaxis, :] > 0
    if mask.shape.rank == 3:
        return mask[:, tf.newaxis] > 0
    if mask.shape.rank != 1:
        raise node.unsupported("its mask has 4 axes; give one of [batch, tokens, keys]")
    batch, place = q.shape[0], tf.range(keys)[tf.newaxis, :]
    if mask.shape[0] is None or batch is None:
        # An unknown number of entries: the ends alone, or ends and then starts, of each row of the batch.
        count = tf.shape(q)[0]
        has_starts = tf.size(mask) >= 2 * count
        starts = tf.cond(has_starts, lambda: mask[count : 2 * count], lambda: tf.zeros([count], tf.int32))
        ends = mask[:count]
    elif mask.shape[0] == batch:
        ends, starts = mask, tf.zeros([batch], tf.int32)
    elif mask.shape[0] == 2 * batch:
        ends, starts = mask[:batch], mask[batch:]
    else:
        raise node.unsupported("its mask has neither one nor two entries a row of the batch; give [batch, keys]")
    seen = tf.logical_and(place < ends[:, tf.newaxis], place >= starts[:, tf.newaxis])
    return seen[:, tf.newaxis, tf.newaxis, :]


def _refuse_group_query(
    node: Node, k_scale: tf.Tensor | None, v_scale: tf.Tensor | None, query_lengths: tf.Tensor | None
) -> None:
    if k_scale is not None or v_scale is not None:
        raise node.unsupported("its state is quantized; export with k_quant_type=v_quant_type=NONE")
    if query_lengths is not None or node.integer("sliding_window_cache", 0):
        raise node.unsupported("its state is a sliding window, or its queries are padded; export without")
    if node.integer("qk_output", 0) or node.wants(3):
        raise node.unsupported("its output of scores is asked for; export with qk_output=0")


def _group_query_bias(
    node: Node, places: tf.Tensor, k: tf.Tensor, attention_bias: tf.Tensor | None, dtype: tf.DType
) -> tf.Tensor:
    """Hides the future, and what lies before the window; [B, 1, S, T]."""
    key_places = tf.range(_sizes(k)[2])[tf.newaxis, tf.newaxis, :]
    places = places[:, :, tf.newaxis]
    window = node.integer("local_window_size", -1)
    hidden = key_places > places if node.integer("causal", 1) else key_places > places[:, -1:]
    if window >= 0:
        hidden = tf.logical_or(hidden, key_places <= places - window)
    bias = dtype.min * tf.cast(hidden, tf.float32)[:, tf.newaxis]
    if attention_bias is None:
        return bias
    # The state's buffer may be longer than the bias.
    missing = _sizes(k)[2] - tf.shape(attention_bias)[-1]
    padded = tf.pad(tf.cast(attention_bias, tf.float32), [[0, 0], [0, 0], [0, 0], [0, tf.maximum(missing, 0)]])
    return tf.maximum(bias + padded, dtype.min)


def _sink(node: Node, head_sink: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor | None:
    if head_sink is not None:
        return tf.reshape(head_sink, [1, -1, 1, 1])
    return tf.zeros([1, 1, 1, 1], dtype) if node.integer("smooth_softmax", -1) == 1 else None


def _appended(old: tf.Tensor | None, new: tf.Tensor, past: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """The state with the new tokens behind the past ones of each row: [B, K, P, H] and [B, K, S, H]; past [B, 1]."""
    if old is None:
        return new
    room, tokens = tf.shape(old)[2], tf.shape(new)[2]
    place = tf.range(tf.maximum(room, total))[tf.newaxis, :]
    both = tf.concat([old, new, tf.zeros_like(new[:, :, :1])], 2)
    is_new = tf.logical_and(place >= past, place < past + tokens)
    kept = tf.where(place < past, place, room + tokens)
    index = tf.where(is_new, room + place - past, kept)
    # TensorFlow Lite gathers along an axis that follows the batch.
    gathered = tf.gather(tf.transpose(both, [0, 2, 1, 3]), index, axis=1, batch_dims=1)
    return tf.transpose(gathered, [0, 2, 1, 3])


def _repeated(x: tf.Tensor, times: int) -> tf.Tensor:
    """[B, K, T, H] to [B, K * times, T, H], each head several times in a row."""
    if times == 1:
        return x
    batch, heads, tokens, size = _sizes(x)
    tiled = tf.tile(x[:, :, tf.newaxis], [1, 1, times, 1, 1])
    return tf.reshape(tiled, _shape([batch, heads * times, tokens, size]))


def _rotated(x: tf.Tensor, positions: tf.Tensor, cos: tf.Tensor, sin: tf.Tensor, *, interleaved: bool) -> tf.Tensor:
    """Rotates the pairs of x, [B, N, S, H], by the angles of its positions, [B or 1, S]; a rest of H stays."""
    half = cos.shape[-1]
    c, s = (tf.gather(table, positions)[:, tf.newaxis] for table in (cos, sin))
    turned, rest = x[..., : 2 * half], x[..., 2 * half :]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., :half], turned[..., half:]
    first, second = a * c - b * s, b * c + a * s
    if interleaved:
        batch, heads, tokens, _ = _sizes(x)
        turned = tf.reshape(tf.stack([first, second], -1), _shape([batch, heads, tokens, 2 * half]))
    else:
        turned = tf.concat([first, second], -1)
    return turned if rest.shape[-1] == 0 else tf.concat([turned, rest], -1)


def _root_mean_square(x: tf.Tensor, weight: tf.Tensor, epsilon: float) -> tf.Tensor:
    wide = tf.cast(x, tf.float32)
    normal = wide * tf.math.rsqrt(tf.reduce_mean(tf.square(wide), -1, keepdims=True) + epsilon)
    return tf.cast(normal * tf.cast(weight, tf.float32), x.dtype)
