"""Linear models and support vector machines, with random coefficients, against ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from contract.errors import UnsupportedOpError

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]

FEATURES = 4


def model(op_type: str, dtype: Any = np.float32, **attributes: Any) -> onnx.ModelProto:
    outputs = {"Y": TensorProto.FLOAT}
    if "Classifier" in op_type:
        outputs = {"label": TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64, **outputs}
    node = helper.make_node(op_type, ["X"], list(outputs), domain="ai.onnx.ml", **attributes)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("X", kind, ["rows", FEATURES])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def floats(rng: np.random.Generator, *shape: int) -> list[float]:
    return [float(value) for value in rng.standard_normal(shape).ravel()]


def rows(rng: np.random.Generator, dtype: Any = np.float32, count: int = 50) -> NDArray[Any]:
    return (rng.standard_normal((count, FEATURES)) * (1 if np.dtype(dtype).kind == "f" else 3)).astype(dtype)


LABELS = [{"classlabels_ints": [7, -1, 4]}, {"classlabels_strings": ["ant", "bée", ""]}]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("labels", LABELS)
def test_several_classes(check: Check, transform: str, labels: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    proto = model(
        "LinearClassifier",
        coefficients=floats(rng, 3, FEATURES),
        intercepts=floats(rng, 3),
        post_transform=transform,
        **labels,
    )
    check(proto, {"X": rows(rng)}, {"X": rows(rng, count=1)}, tflite=True)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_two_classes_with_one_score(check: Check, transform: str, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    proto = model(
        "LinearClassifier",
        dtype,
        coefficients=floats(rng, FEATURES),
        intercepts=[0.1],
        post_transform=transform,
        classlabels_ints=[10, 20],
    )
    check(proto, {"X": rows(rng, dtype)}, tflite=dtype == np.float32)


def test_probit_of_one_score(check: Check) -> None:
    """What ONNX Runtime gives then is half overwritten."""
    proto = model(
        "LinearClassifier", coefficients=[1.0] * 4, intercepts=[0.1], post_transform="PROBIT", classlabels_ints=[1, 2]
    )
    with pytest.raises(UnsupportedOpError, match="PROBIT"):
        check(proto, {"X": rows(np.random.default_rng(3))})


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("has_intercepts", [True, False])
def test_regressor(check: Check, transform: str, targets: int, has_intercepts: bool) -> None:
    rng = np.random.default_rng(4)
    intercepts = {"intercepts": floats(rng, targets)} if has_intercepts else {}
    proto = model(
        "LinearRegressor",
        coefficients=floats(rng, targets, FEATURES),
        targets=targets,
        post_transform=transform,
        **intercepts,
    )
    check(proto, {"X": rows(rng)}, tflite=True)


KERNELS = {
    "LINEAR": [0.0, 0.0, 0.0],
    "POLY": [0.3, 0.5, 3.0],
    "RBF": [0.2, 0.0, 0.0],
    "SIGMOID": [0.1, 0.2, 0.0],
}


def machine(rng: np.random.Generator, counts: list[int], kernel: str) -> dict[str, Any]:
    pairs = len(counts) * (len(counts) - 1) // 2
    return {
        "vectors_per_class": counts,
        "support_vectors": floats(rng, sum(counts), FEATURES),
        "coefficients": floats(rng, len(counts) - 1, sum(counts)),
        "rho": floats(rng, pairs),
        "kernel_type": kernel,
        "kernel_params": KERNELS[kernel],
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("has_probabilities", [True, False])
def test_support_vectors(check: Check, kernel: str, classes: int, has_probabilities: bool) -> None:
    rng = np.random.default_rng(5)
    attributes = machine(rng, [3, 5, 2, 4, 1][:classes], kernel)
    pairs = len(attributes["rho"])
    if has_probabilities:
        attributes.update(prob_a=floats(rng, pairs), prob_b=floats(rng, pairs))
    proto = model("SVMClassifier", classlabels_ints=[4, 1, 9, -3, 0][:classes], **attributes)
    check(proto, {"X": rows(rng)}, {"X": rows(rng, count=1)}, rtol=1e-4, atol=1e-5, tflite=True)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("has_probabilities", [True, False])
def test_transforms_of_support_vectors(check: Check, transform: str, classes: int, has_probabilities: bool) -> None:
    rng = np.random.default_rng(6)
    attributes = machine(rng, [3, 5, 2][:classes], "RBF")
    pairs = len(attributes["rho"])
    if has_probabilities:
        attributes.update(prob_a=floats(rng, pairs), prob_b=floats(rng, pairs))
    labels = ["b", "a", "c"][:classes]
    proto = model("SVMClassifier", classlabels_strings=labels, post_transform=transform, **attributes)
    check(proto, {"X": rows(rng)}, rtol=1e-4, atol=1e-5, tflite=True)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int32])
def test_types_of_support_vectors(check: Check, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    proto = model("SVMClassifier", dtype, classlabels_ints=[0, 1, 2], **machine(rng, [2, 2, 3], "RBF"))
    check(proto, {"X": rows(rng, dtype)}, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("is_positive", [True, False])
def test_without_support_vectors(check: Check, classes: int, transform: str, is_positive: bool) -> None:
    rng = np.random.default_rng(8)
    coefficients = rng.standard_normal(classes * FEATURES)
    proto = model(
        "SVMClassifier",
        coefficients=[float(value) for value in (abs(coefficients) if is_positive else coefficients)],
        rho=[0.25],
        classlabels_ints=[5, 3, 8][:classes],
        kernel_params=KERNELS["RBF"],
        post_transform=transform,
    )
    check(proto, {"X": rows(rng)}, rtol=1e-4, atol=1e-5, tflite=True)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
def test_support_vector_regressor(check: Check, kernel: str, one_class: int) -> None:
    rng = np.random.default_rng(9)
    proto = model(
        "SVMRegressor",
        support_vectors=floats(rng, 6, FEATURES),
        coefficients=floats(rng, 6),
        rho=[0.1],
        n_supports=6,
        one_class=one_class,
        kernel_type=kernel,
        kernel_params=KERNELS[kernel],
    )
    check(proto, {"X": rows(rng)}, rtol=1e-4, atol=1e-5, tflite=True)


def test_far_from_the_origin(check: Check) -> None:
    """Distances of rows that are near each other and far from zero."""
    rng = np.random.default_rng(10)
    vectors = 1000 + rng.standard_normal((6, FEATURES))
    proto = model(
        "SVMRegressor",
        support_vectors=[float(value) for value in vectors.ravel()],
        coefficients=floats(rng, 6),
        rho=[0.1],
        n_supports=6,
        kernel_type="RBF",
        kernel_params=KERNELS["RBF"],
    )
    check(proto, {"X": 1000 + rows(rng)}, rtol=1e-4, atol=1e-5, tflite=True)
