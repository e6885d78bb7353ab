"""What prepares features, against ONNX Runtime."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contract.errors import ConversionError, UnsupportedOpError

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]

TEXTS = np.array([["bée", "ant", ""], ["cat", "bée", "dog"]], object)
NUMBERS = np.array([[1, -2, 3.5], [0, 2, 7], [-4, 0, 0.5]])


@pytest.fixture
def to_module() -> Any:
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline.onnx_to_tf.convert import to_module

    return to_module


def kind_of(array: NDArray[Any]) -> int:
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def model(op_type: str, given: int, *inputs: NDArray[Any], version: int = 1, **attributes: Any) -> onnx.ModelProto:
    names = [f"X{position}" for position in range(len(inputs))]
    shapes: list[list[Any]] = [[f"axis_{name}", *array.shape[1:]] for name, array in zip(names, inputs, strict=True)]
    node = helper.make_node(op_type, names, ["Y"], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "features",
        [
            helper.make_tensor_value_info(name, kind_of(array), shape)
            for name, array, shape in zip(names, inputs, shapes, strict=True)
        ],
        [helper.make_tensor_value_info("Y", given, None)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def fed(*inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {f"X{position}": array for position, array in enumerate(inputs)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, object])
@pytest.mark.parametrize("columns", [[2], [1, 2], [2, 0], [[0, 0, 1]]])
def test_array_feature_extractor(check: Check, dtype: Any, columns: list[Any]) -> None:
    x, chosen = TEXTS if dtype is object else NUMBERS.astype(dtype), np.array(columns, np.int64)
    proto = model("ArrayFeatureExtractor", kind_of(x), x, chosen)
    check(proto, fed(x, chosen))
    proto.graph.initializer.append(numpy_helper.from_array(chosen, "X1"))
    del proto.graph.input[1]
    check(proto, fed(x), tflite=dtype in (np.float32, np.int64) or (dtype is object and columns[0] in (1, [2])))


def test_array_feature_extractor_of_a_vector(check: Check) -> None:
    x, chosen = np.arange(5, dtype=np.float32), np.array([4, 1])
    check(model("ArrayFeatureExtractor", TensorProto.FLOAT, x, chosen), fed(x, chosen))


def test_binarizer(check: Check) -> None:
    x = NUMBERS.astype(np.float32)
    check(model("Binarizer", TensorProto.FLOAT, x, threshold=0.5), fed(x), tflite=True)


@pytest.mark.parametrize("replaced", [-2.0, float("nan")])
@pytest.mark.parametrize("imputed", [[9.0], [7.0, 8.0, 9.0]])
def test_imputer(check: Check, replaced: float, imputed: list[float]) -> None:
    x = NUMBERS.astype(np.float32)
    x[1, 2] = np.nan
    proto = model("Imputer", TensorProto.FLOAT, x, imputed_value_floats=imputed, replaced_value_float=replaced)
    check(proto, fed(x), tflite=True)


def test_imputer_of_integers(check: Check) -> None:
    x = NUMBERS.astype(np.int64)
    proto = model("Imputer", TensorProto.INT64, x, imputed_value_int64s=[7, 8, 9], replaced_value_int64=0)
    check(proto, fed(x), tflite=True)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_normalizer(check: Check, norm: str, dtype: Any) -> None:
    x = np.concatenate([NUMBERS, [[0, 0, 0], [-1, -2, -3]]]).astype(dtype)
    proto = model("Normalizer", TensorProto.FLOAT, x, norm=norm)
    check(proto, fed(x), tflite=dtype == np.float32)
    vector = x[0]
    check(model("Normalizer", TensorProto.FLOAT, vector, norm=norm), fed(vector))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("count", [1, 3])
def test_scaler(check: Check, dtype: Any, count: int) -> None:
    x = NUMBERS.astype(dtype)
    proto = model("Scaler", TensorProto.FLOAT, x, offset=[0.5, 1.0, -3.0][:count], scale=[2.0, 0.1, 3.0][:count])
    check(proto, fed(x), tflite=dtype == np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_feature_vectorizer(check: Check, dtype: Any) -> None:
    """Cut, filled up, and just right; of three axes the last two are one row."""
    x = NUMBERS.astype(dtype)
    inputs = (x, x + 1, x + 2, np.arange(12).reshape(3, 2, 2).astype(dtype))
    proto = model("FeatureVectorizer", TensorProto.FLOAT, *inputs, inputdimensions=[2, 3, 5, 4])
    check(proto, fed(*inputs), tflite=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_one_hot_encoder(check: Check, dtype: Any) -> None:
    """Numbers are cut; of a category that is there twice the last place holds."""
    x = NUMBERS.astype(dtype)
    proto = model("OneHotEncoder", TensorProto.FLOAT, x, cats_int64s=[3, 0, -2, 0])
    check(proto, fed(x), tflite=dtype != np.float64)


def test_one_hot_encoder_of_texts(check: Check) -> None:
    proto = model("OneHotEncoder", TensorProto.FLOAT, TEXTS, cats_strings=["bée", "", "dog"])
    check(proto, fed(TEXTS), tflite=True)


def test_category_mapper(check: Check) -> None:
    table: dict[str, Any] = {"cats_strings": ["bée", "cat", ""], "cats_int64s": [5, 1, 0]}
    check(model("CategoryMapper", TensorProto.INT64, TEXTS, **table, default_int64=-9), fed(TEXTS), tflite=True)
    x = np.array([1, 5, 7, 0])
    check(model("CategoryMapper", TensorProto.STRING, x, **table, default_string="?"), fed(x), tflite=True)


def test_label_encoder_1(check: Check) -> None:
    table = ["cat", "bée", ""]
    attributes: dict[str, Any] = {"classes_strings": table, "default_int64": -9, "default_string": "?"}
    check(model("LabelEncoder", TensorProto.INT64, TEXTS, **attributes), fed(TEXTS), tflite=True)
    x = np.array([1, 5, 2, 0, -1])
    check(model("LabelEncoder", TensorProto.STRING, x, **attributes), fed(x), tflite=True)


KEYS = {
    "strings": (["bée", "", "dog"], TEXTS),
    "int64s": ([3, -2, 0], NUMBERS.astype(np.int64)),
    "floats": ([3.5, -2.0, 0.0], NUMBERS.astype(np.float32)),
}
VALUES = {
    "strings": (["x", "ü", ""], TensorProto.STRING),
    "int64s": ([4, -5, 1 << 40], TensorProto.INT64),
    "floats": ([0.5, -1.5, 2.0], TensorProto.FLOAT),
}
SERVED = [pair for pair in product(KEYS, VALUES) if pair != ("int64s", "int64s")]


@pytest.mark.parametrize(("keys", "values"), [*SERVED, ("int64s", "int64s")])
@pytest.mark.parametrize("version", [2, 4])
def test_label_encoder(check: Check, keys: str, values: str, version: int) -> None:
    """Of any two types, with the defaults of the specification."""
    (listed, x), (given, kind) = KEYS[keys], VALUES[values]
    attributes = {f"keys_{keys}": listed, f"values_{values}": given}
    check(model("LabelEncoder", kind, x, version=version, **attributes), fed(x), tflite=True)


def test_defaults_of_label_encoder(check: Check) -> None:
    x = NUMBERS.astype(np.int64)
    proto = model(
        "LabelEncoder", TensorProto.STRING, x, version=2, keys_int64s=[1], values_strings=["a"], default_string="none"
    )
    check(proto, fed(x))
    proto = model(
        "LabelEncoder", TensorProto.FLOAT, x, version=4, keys_int64s=[1], values_floats=[0.5], default_float=7.0
    )
    check(proto, fed(x))


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_tensors_of_label_encoder(check: Check, dtype: Any) -> None:
    """Of types that have no attribute of their own."""
    x = NUMBERS.astype(dtype)
    proto = model(
        "LabelEncoder",
        kind_of(x),
        x,
        version=4,
        keys_tensor=numpy_helper.from_array(np.array([1, 2, -4], dtype)),
        values_tensor=numpy_helper.from_array(np.array([10, 20, 30], dtype)),
        default_tensor=numpy_helper.from_array(np.array([5], dtype)),
    )
    check(proto, fed(x), reference=dtype == np.int16)


def test_nan_as_a_key(check: Check) -> None:
    x = np.array([1, np.nan, 2, 7], np.float32)
    keys = {"keys_floats": [2.0, float("nan"), 1.0], "values_int64s": [1, 2, 3]}
    check(model("LabelEncoder", TensorProto.INT64, x, version=4, **keys), fed(x), tflite=True)
    check(model("LabelEncoder", TensorProto.INT64, x, version=2, **keys), fed(x))


def test_many_keys(check: Check) -> None:
    rng = np.random.default_rng(1)
    keys, x = rng.permutation(np.arange(-500, 500, 3)), rng.integers(-600, 600, (40, 7))
    attributes = {"keys_int64s": keys.tolist(), "values_int64s": list(range(len(keys)))}
    check(model("LabelEncoder", TensorProto.INT64, x, version=2, **attributes), fed(x), tflite=True)


def test_repeated_keys(check: Check) -> None:
    """The first holds in ONNX Runtime; from version 4 on the specification says the last."""
    x = np.array([1, 2, 3])
    table = {"keys_int64s": [1, 2, 1], "values_int64s": [10, 20, 30]}
    check(model("LabelEncoder", TensorProto.INT64, x, version=2, **table), fed(x))
    check(model("LabelEncoder", TensorProto.INT64, x, version=4, **table), fed(x), reference=True)


def test_maps_are_refused(to_module: Any) -> None:
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    node = helper.make_node("DictVectorizer", ["X"], ["Y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    graph = helper.make_graph(
        [node],
        "maps",
        [helper.make_value_info("X", kind)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 2])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    with pytest.raises(ConversionError, match="input 'X' is a map"):
        to_module(helper.make_model(graph, opset_imports=opsets))


def test_what_is_left_out_is_named(to_module: Any) -> None:
    x = TEXTS
    with pytest.raises(UnsupportedOpError, match="no categories of the type of its input, string"):
        to_module(model("OneHotEncoder", TensorProto.FLOAT, x, cats_int64s=[1, 2]))
