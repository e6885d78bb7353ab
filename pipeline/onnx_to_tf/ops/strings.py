"""Text."""

from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Text")

_CASES = {
    "NONE": lambda text: text,
    "LOWER": lambda text: tf.strings.lower(text, encoding="utf-8"),
    "UPPER": lambda text: tf.strings.upper(text, encoding="utf-8"),
}


@ops.register("StringConcat", 20)
def string_concat(node: Node, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Joins the texts of two tensors, which broadcast."""
    return tf.add(x, y)


@ops.register("RegexFullMatch", 20)
def regex_full_match(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Whether each text is matched as a whole by a regular expression, of RE2's kind as ONNX's are."""
    return tf.strings.regex_full_match(x, node.text("pattern"))


@ops.register("StringSplit", 20)
def string_split(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits each text as Python does: shape [..., most parts], padded with empty texts, and how many parts, int64."""
    delimiter = node.text("delimiter", "")
    flat = tf.reshape(x, [-1])
    parts = tf.raw_ops.StringSplitV2(input=flat, sep=tf.constant(delimiter), maxsplit=node.integer("maxsplit", -1))
    indices, values = parts.indices, parts.values
    if not delimiter:
        # At white space no part is empty, but TensorFlow gives one where a limit is not reached.
        is_part = tf.strings.length(values) > 0
        indices, values = tf.boolean_mask(indices, is_part), tf.boolean_mask(values, is_part)
    counts = tf.scatter_nd(indices[:, :1], tf.ones_like(indices[:, 0]), tf.shape(flat, tf.int64))
    most = tf.reduce_max(tf.concat([counts, tf.zeros([1], tf.int64)], 0))
    sparse = tf.sparse.SparseTensor(indices, values, tf.stack([tf.size(flat, tf.int64), most]))
    shape = tf.shape(x, tf.int64)
    split = tf.reshape(tf.sparse.to_dense(sparse, default_value=""), tf.concat([shape, most[tf.newaxis]], 0))
    if x.shape.rank is not None:
        split.set_shape([*x.shape, None])
    return split, tf.reshape(counts, shape)


@ops.register("StringNormalizer", 10)
def string_normalizer(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Removes stop words and changes case: [words] or [1, words], with one empty text where no word is left."""
    stopwords = node.texts("stopwords", None)
    action = node.text("case_change_action", "NONE")
    if action not in _CASES:
        raise node.unsupported(f"its case_change_action is {action!r}; {', '.join(_CASES)} there are")
    flat = tf.reshape(x, [-1])
    kept = flat
    if stopwords:
        is_exact = bool(node.integer("is_case_sensitive", 0))
        listed, compared = tf.constant(stopwords), flat
        if not is_exact:
            listed, compared = _CASES["LOWER"](listed), _CASES["LOWER"](flat)
        kept = tf.boolean_mask(flat, ~tf.reduce_any(compared[:, tf.newaxis] == listed, axis=1))
    changed = _CASES[action](kept)
    changed = tf.cond(tf.size(changed) > 0, lambda: changed, lambda: tf.constant([""]))
    return changed if x.shape.rank == 1 else changed[tf.newaxis]


@ops.register("TfIdfVectorizer", 9)
def tf_idf_vectorizer(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Counts the n-grams of a pool in each row, or weighs them: [entries] or [rows, entries] to [..., n-grams]."""
    mode = node.text("mode")
    if mode not in ("TF", "IDF", "TFIDF"):
        raise node.unsupported(f"its mode is {mode!r}; TF, IDF and TFIDF there are")
    indexes = np.array(node.integers("ngram_indexes"))
    rows = tf.reshape(x, [1, -1]) if x.shape.rank == 1 else x
    counts = tf.zeros(tf.stack([tf.shape(rows)[0], int(indexes.max()) + 1]), tf.float32)
    for grams, places in _pool(node, indexes):
        counts += _counted(node, rows, grams, places, int(indexes.max()) + 1)
    weights = np.array(node.numbers("weights", None) or np.ones(len(indexes)), np.float32)
    by_place = np.ones(int(indexes.max()) + 1, np.float32)
    # By the standard and ONNX Runtime weights are in the pool's order; onnx's reference has them in the output's.
    by_place[indexes] = weights
    if mode == "IDF":
        counts = tf.cast(counts > 0, tf.float32)
    weighed = counts if mode == "TF" else counts * by_place
    return weighed[0] if x.shape.rank == 1 else weighed


def _pool(node: Node, indexes: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """The n-grams that are counted, one array [n-grams, n] for each n, and their places in the output."""
    items = node.texts("pool_strings", None) or node.integers("pool_int64s", None)
    starts = [*node.integers("ngram_counts"), len(items)]
    found, before = [], 0
    for position, (start, end) in enumerate(pairwise(starts)):
        length = position + 1
        number = (end - start) // length
        if number and node.integer("min_gram_length") <= length <= node.integer("max_gram_length"):
            grams = np.array(items[start : start + number * length]).reshape(number, length)
            found.append((grams, indexes[before : before + number]))
        before += number
    return found


def _counted(node: Node, rows: tf.Tensor, grams: NDArray[Any], places: NDArray[Any], size: int) -> tf.Tensor:
    """How often each n-gram of one length is in each row, at every distance: float32, [rows, size].

    Entries are compared as their positions among the pool's distinct ones, -1 for one that is not among them.
    """
    vocabulary, codes = np.unique(grams, return_inverse=True)
    codes = codes.reshape(grams.shape)
    words = tf.constant(vocabulary.astype(object)) if grams.dtype.kind == "U" else tf.cast(vocabulary, rows.dtype)
    is_equal = rows[..., tf.newaxis] == words
    entries = tf.where(tf.reduce_any(is_equal, -1), tf.argmax(tf.cast(is_equal, tf.int32), -1, tf.int32), -1)
    total = tf.zeros(tf.stack([tf.shape(rows)[0], len(grams)]), tf.float32)
    width = tf.shape(rows)[1]
    # Single entries are counted once: a distance makes no difference to them.
    for distance in range(1, 2 if grams.shape[1] == 1 else node.integer("max_skip_count") + 2):
        starts = tf.maximum(width - distance * (grams.shape[1] - 1), 0)
        is_match = tf.constant(True)
        for offset in range(grams.shape[1]):
            begin = offset * distance
            window = entries[:, begin : begin + starts]
            is_match = tf.logical_and(is_match, window[..., tf.newaxis] == tf.constant(codes[:, offset], tf.int32))
        total += tf.reduce_sum(tf.cast(is_match, tf.float32), 1)
    return tf.transpose(tf.math.unsorted_segment_sum(tf.transpose(total), places, size))
