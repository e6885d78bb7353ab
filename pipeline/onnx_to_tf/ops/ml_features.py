"""What prepares features: scales, fills in, encodes and selects."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.ml_lookup import place_among
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Features (ai.onnx.ml)")

_ML = "ai.onnx.ml"


@ops.register("ArrayFeatureExtractor", 1, domain=_ML)
def array_feature_extractor(node: Node, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The columns y of the last axis; a vector becomes a row, [1, columns], as in ONNX Runtime."""
    known = node.static_integers(y)
    if known and min(known) >= 0 and known == list(range(known[0], known[0] + len(known))):
        columns = x[..., known[0] : known[0] + len(known)]
    else:
        columns = tf.gather(x, tf.reshape(y, [-1]), axis=-1)
    return tf.expand_dims(columns, 0) if x.shape.rank == 1 else columns


@ops.register("Binarizer", 1, domain=_ML)
def binarizer(node: Node, x: tf.Tensor) -> tf.Tensor:
    """1 above the threshold, else 0."""
    wide = tf.cast(x, tf.float64) if x.dtype in (tf.int64, tf.int32) else x
    return tf.cast(wide > tf.constant(node.number("threshold", 0.0), wide.dtype), x.dtype)


@ops.register("Imputer", 1, domain=_ML)
def imputer(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Puts a value, or one of its column's own, [N, columns], in the place of the replaced value, which may be NaN."""
    if x.dtype.is_floating:
        imputed: NDArray[Any] = np.asarray(node.numbers("imputed_value_floats", None), np.float32)
        replaced: float = node.number("replaced_value_float", 0.0)
    else:
        imputed = np.asarray(node.integers("imputed_value_int64s", None), np.int64)
        replaced = node.integer("replaced_value_int64", 0)
    if not imputed.size:
        raise node.unsupported(f"it states no value to put in, of the type of its input {x.dtype.name}")
    imputed = imputed.astype(x.dtype.as_numpy_dtype)
    if imputed.size > 1 and x.shape[-1] not in (None, imputed.size):
        imputed = imputed[:1]
    is_missing = tf.math.is_nan(x) if replaced != replaced else tf.equal(x, tf.constant(replaced, x.dtype))
    return tf.where(is_missing, tf.constant(imputed), x)


@ops.register("Normalizer", 1, domain=_ML)
def normalizer(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Divides each row by its largest value, its sum of sizes or its length; float32. A row of length 0 stays."""
    norm, values = node.text("norm", "MAX"), tf.cast(x, tf.float32)
    if norm == "MAX":
        length = tf.reduce_max(values, -1, keepdims=True)
    elif norm == "L1":
        length = tf.reduce_sum(tf.abs(values), -1, keepdims=True)
    elif norm == "L2":
        length = tf.sqrt(tf.reduce_sum(values * values, -1, keepdims=True))
    else:
        raise node.unsupported(f"norm is {norm!r}; there are MAX, L1 and L2")
    return values / tf.where(tf.equal(length, 0), tf.ones_like(length), length)


@ops.register("Scaler", 1, domain=_ML)
def scaler(node: Node, x: tf.Tensor) -> tf.Tensor:
    """``(x - offset) * scale``, float32; one of each, or one for each column."""
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    offset, scale = (tf.constant(node.numbers(name, None) or [plain], wide) for name, plain in _SCALES)
    return tf.cast((tf.cast(x, wide) - offset) * scale, tf.float32)


_SCALES = (("offset", 0.0), ("scale", 1.0))


@ops.register("FeatureVectorizer", 1, domain=_ML)
def feature_vectorizer(node: Node, *inputs: tf.Tensor) -> tf.Tensor:
    """The inputs side by side, float32 [N, sum of dimensions], each cut or filled with zeros to its dimension."""
    parts = []
    for x, size in zip(inputs, node.integers("inputdimensions"), strict=True):
        rows = tf.expand_dims(x, 0) if x.shape.rank == 1 else x
        if rows.shape.rank != 2:
            rows = tf.reshape(rows, [tf.shape(rows)[0], -1 if None in rows.shape[1:] else np.prod(rows.shape[1:])])
        rows = tf.cast(rows[:, :size], tf.float32)
        if rows.shape[1] != size:
            rows = tf.pad(rows, [[0, 0], [0, size - tf.shape(rows)[1]]])
        parts.append(tf.ensure_shape(rows, [None, size]))
    return tf.concat(parts, 1)


@ops.register("OneHotEncoder", 1, domain=_ML)
def one_hot_encoder(node: Node, x: tf.Tensor) -> tf.Tensor:
    """A new last axis, float32, with 1 at the place of the category, or 0 all along it for one that is unknown.

    Numbers are cut to whole ones. With ``zeros`` 0, ONNX Runtime fails for an unknown category.
    """
    if x.dtype == tf.string:
        categories: list[Any] = node.texts("cats_strings", None)
    else:
        categories, x = node.integers("cats_int64s", None), tf.cast(x, tf.int64)
    if not categories:
        raise node.unsupported(f"it states no categories of the type of its input, {x.dtype.name}")
    last = {category: place for place, category in enumerate(categories)}
    place = place_among(list(last), x)
    rows = np.zeros((len(last) + 1, len(categories)), np.float32)
    rows[np.arange(len(last)), list(last.values())] = 1
    return tf.gather(tf.constant(rows), place)


@ops.register("CategoryMapper", 1, domain=_ML)
def category_mapper(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Strings to integers, or the other way."""
    pairs = zip(node.texts("cats_strings"), node.integers("cats_int64s"), strict=True)
    if x.dtype == tf.string:
        return _mapped(dict(pairs), node.integer("default_int64", -1), x, tf.int64)
    return _mapped({key: text for text, key in pairs}, node.text("default_string", "_Unused"), x, tf.string)


@ops.register("LabelEncoder", 1, domain=_ML)
def label_encoder_1(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Strings to their positions in a list, or the other way."""
    positions = {text: position for position, text in enumerate(node.texts("classes_strings"))}
    if x.dtype == tf.string:
        return _mapped(positions, node.integer("default_int64", -1), x, tf.int64)
    texts = dict(enumerate(node.texts("classes_strings")))
    return _mapped(texts, node.text("default_string", "_Unused"), x, tf.string)


@ops.register("LabelEncoder", 2, 4, domain=_ML)
def label_encoder(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Keys to values of any two types.

    Of a key that is there twice the last holds from version 4 on, before the first, as in ONNX Runtime; and from
    version 4 on NaN may be a key.
    """
    keys, values = _listed(node, "keys"), _listed(node, "values")
    if len(keys) != len(values):
        raise node.unsupported(f"it has {len(keys)} keys and {len(values)} values; state one for each")
    pairs = list(zip(keys, values, strict=True))
    if node.version < 4:
        pairs = [(key, value) for key, value in reversed(pairs) if key == key]
    # Two NaN are two keys to Python, and one here.
    table = {_NAN if key != key else key: value for key, value in pairs}
    kind = "strings" if isinstance(values[0], str) else "floats" if isinstance(values[0], float) else "int64s"
    if node.has("values_tensor"):
        dtype = tf.dtypes.as_dtype(node.array("values_tensor").dtype) if kind != "strings" else tf.string
    else:
        dtype = _TYPES[kind]
    return _mapped(table, _default(node, kind), x, dtype)


@ops.register("ZipMap", 1, domain=_ML)
def zip_map(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The values that the maps would have: what `pipeline.onnx_to_tf.passes.drop_zip_maps` puts in its place."""
    return x


_NAN = float("nan")

_TYPES = {"strings": tf.string, "int64s": tf.int64, "floats": tf.float32}


def _listed(node: Node, what: str) -> list[Any]:
    """The keys or the values, of whichever type the node states."""
    if node.has(f"{what}_tensor"):
        return _plain(node.array(f"{what}_tensor"))
    if texts := node.texts(f"{what}_strings", None):
        return texts
    if integers := node.integers(f"{what}_int64s", None):
        return integers
    if numbers := node.numbers(f"{what}_floats", None):
        return numbers
    raise node.unsupported(f"it states no {what}")


def _plain(array: NDArray[Any]) -> list[Any]:
    return [entry.decode() if isinstance(entry, bytes) else entry for entry in np.ravel(array).tolist()]


def _default(node: Node, kind: str) -> Any:
    """The value of a key that is not there; an attribute of an empty tensor is none."""
    if node.has("default_tensor") and node.array("default_tensor").size:
        return _plain(node.array("default_tensor"))[0]
    if kind == "strings":
        return node.text("default_string", "_Unused")
    return node.integer("default_int64", -1) if kind == "int64s" else node.number("default_float", -0.0)


def _mapped(table: dict[Any, Any], default: Any, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    values = tf.constant([*table.values(), default], dtype)
    return tf.gather(values, place_among(list(table), x))
