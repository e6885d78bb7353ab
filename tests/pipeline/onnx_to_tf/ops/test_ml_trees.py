"""Ensembles of trees, grown at random, against ONNX Runtime."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contract.errors import UnsupportedOpError

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]
Attributes = dict[str, Any]

FEATURES = 5
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


class Grown:
    """Trees of versions 1 to 5 of the domain, as attributes."""

    def __init__(self, rng: np.random.Generator, modes: tuple[str, ...], *, trees: int, depth: int) -> None:
        self.rng, self.modes = rng, modes
        names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
        self.nodes: dict[str, list[Any]] = {name: [] for name in (*names, "missing_value_tracks_true")}
        self.leaves: list[tuple[int, int]] = []
        for tree in range(trees):
            self.count = 0
            self._grow(tree, depth)

    def _grow(self, tree: int, depth: int) -> int:
        node, row = self.count, len(self.nodes["modes"])
        self.count += 1
        is_leaf = depth == 0 or (node > 0 and self.rng.random() < 0.15)
        entry = {
            "treeids": tree,
            "nodeids": node,
            "featureids": int(self.rng.integers(FEATURES)),
            # Halves, which the inputs are too: rows meet them exactly.
            "values": float(self.rng.integers(-3, 4)) / 2,
            "modes": "LEAF" if is_leaf else str(self.rng.choice(self.modes)),
            "truenodeids": 0,
            "falsenodeids": 0,
            "missing_value_tracks_true": int(self.rng.integers(2)),
        }
        for name, value in entry.items():
            self.nodes[name].append(value)
        if is_leaf:
            self.leaves.append((tree, node))
        else:
            self.nodes["truenodeids"][row] = self._grow(tree, depth - 1)
            self.nodes["falsenodeids"][row] = self._grow(tree, depth - 1)
        return node

    def attributes(
        self, kind: str, targets: Callable[[int], list[int]], low: float = -1, **more: Any
    ) -> dict[str, Any]:
        """Attributes of a node; ``targets`` says for which a leaf of a tree has weights."""
        entries = [(tree, leaf, target) for tree, leaf in self.leaves for target in targets(tree)]
        weights = self.rng.uniform(low, 1, len(entries)) / (max(self.nodes["treeids"]) + 1)
        return {
            **{f"nodes_{name}": values for name, values in self.nodes.items()},
            f"{kind}_treeids": [tree for tree, _, _ in entries],
            f"{kind}_nodeids": [leaf for _, leaf, _ in entries],
            f"{kind}_ids": [target for _, _, target in entries],
            f"{kind}_weights": [float(weight) for weight in weights],
            **more,
        }


def rows(rng: np.random.Generator, dtype: Any = np.float32, *, count: int = 64) -> NDArray[Any]:
    is_whole = np.dtype(dtype).kind == "i"
    x = (rng.integers(-4, 5, (count, FEATURES)) / (1 if is_whole else 2)).astype(dtype)
    if not is_whole:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def model(op_type: str, attributes: dict[str, Any], dtype: Any = np.float32, version: int = 3) -> onnx.ModelProto:
    is_double = op_type == "TreeEnsemble" and dtype == np.float64
    outputs = {"Y": TensorProto.DOUBLE if is_double else TensorProto.FLOAT}
    if op_type == "TreeEnsembleClassifier":
        label = TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64
        outputs = {"label": label, **outputs}
    node = helper.make_node(op_type, ["X"], list(outputs), domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("X", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["rows", FEATURES])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES, ("BRANCH_LEQ", "BRANCH_GT")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modes(check: Check, modes: tuple[str, ...], dtype: Any) -> None:
    """With NaN, that goes to either side."""
    rng = np.random.default_rng(1)
    grown = Grown(rng, modes, trees=7, depth=5)
    proto = model("TreeEnsembleRegressor", grown.attributes("target", lambda tree: [0], n_targets=1), dtype)
    check(proto, {"X": rows(rng, dtype)}, {"X": rows(rng, dtype, count=1)}, tflite=dtype == np.float32)


def test_no_missing_values(check: Check) -> None:
    """NaN without tracks: no comparison holds, but that of NEQ."""
    rng = np.random.default_rng(2)
    attributes = Grown(rng, MODES, trees=4, depth=4).attributes("target", lambda tree: [0], n_targets=1)
    del attributes["nodes_missing_value_tracks_true"]
    check(model("TreeEnsembleRegressor", attributes), {"X": rows(rng)}, tflite=True)


@pytest.mark.parametrize(("aggregate", "targets"), list(product(("SUM", "AVERAGE", "MIN", "MAX"), (1, 3))))
def test_aggregates(check: Check, aggregate: str, targets: int) -> None:
    rng = np.random.default_rng(3)
    grown = Grown(rng, MODES, trees=6, depth=4)
    attributes = grown.attributes(
        "target",
        lambda tree: sorted({tree % targets, 0}),
        n_targets=targets,
        aggregate_function=aggregate,
        base_values=[0.5, -1.0, 2.0][:targets],
    )
    check(model("TreeEnsembleRegressor", attributes), {"X": rows(rng)}, tflite=True)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"])
@pytest.mark.parametrize("targets", [1, 3])
def test_transforms_of_regressors(check: Check, transform: str, targets: int) -> None:
    rng = np.random.default_rng(4)
    grown = Grown(rng, MODES, trees=6, depth=4)
    attributes = grown.attributes(
        "target", lambda tree: [tree % targets], low=0.1, n_targets=targets, post_transform=transform
    )
    # Near 0.5 the quantile is a difference of two numbers of much more than its size.
    check(model("TreeEnsembleRegressor", attributes), {"X": rows(rng)}, rtol=1e-4, atol=2e-4, tflite=True)


def test_one_target_for_each_tree(check: Check) -> None:
    """As in gradient boosting of several classes."""
    rng = np.random.default_rng(5)
    grown = Grown(rng, MODES, trees=9, depth=4)
    attributes = grown.attributes("class", lambda tree: [tree % 3], classlabels_int64s=[7, 8, 9])
    check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)}, tflite=True)


LABELS = [{"classlabels_int64s": [3, 9, 5]}, {"classlabels_strings": ["ant", "bée", ""]}]


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("base", [[], [0.1, -0.2, 0.3]])
@pytest.mark.parametrize("spread", ["all", "some"])
def test_several_classes(check: Check, transform: str, labels: dict[str, Any], base: list[float], spread: str) -> None:
    """A class without any weight in a row is no candidate: all others may be negative."""
    rng = np.random.default_rng(6)
    grown = Grown(rng, MODES, trees=3, depth=4)
    stated: dict[str, Any] = labels | ({"base_values": base} if base else {})
    attributes = grown.attributes(
        "class",
        lambda tree: [0, 1, 2] if spread == "all" else sorted(rng.choice(3, rng.integers(1, 3), False).tolist()),
        post_transform=transform,
        **stated,
    )
    check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)}, tflite=True)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("low", [0, -1])
@pytest.mark.parametrize("base", [[], [0.1], [0.1, 0.1]])
@pytest.mark.parametrize("classes", [[0], [1], [0, 1]])
def test_two_classes(check: Check, transform: str, low: float, base: list[float], classes: list[int]) -> None:
    """With weights of one of the two or of both, all positive or not."""
    rng = np.random.default_rng(7)
    grown = Grown(rng, MODES, trees=5, depth=4)
    attributes = grown.attributes(
        "class",
        lambda tree: classes,
        low=low,
        post_transform=transform,
        classlabels_int64s=[10, 20],
        **({"base_values": base} if base else {}),
    )
    check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)}, tflite=True)


def test_two_classes_with_texts(check: Check) -> None:
    rng = np.random.default_rng(8)
    grown = Grown(rng, MODES, trees=5, depth=4)
    attributes = grown.attributes("class", lambda tree: [0, 1], classlabels_strings=["no", "yes"])
    check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)}, tflite=True)


@pytest.mark.parametrize("low", [0, -1])
def test_leaves_of_either_class(check: Check, low: float) -> None:
    """Two classes, of which each leaf has one: rows without a score of the second are another case than the others."""
    rng = np.random.default_rng(9)
    grown = Grown(rng, MODES, trees=2, depth=4)
    attributes = grown.attributes("class", lambda tree: [int(rng.integers(2))], low=low, classlabels_int64s=[0, 1])
    check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)}, tflite=True)


def test_what_onnxruntime_leaves_open(check: Check) -> None:
    rng = np.random.default_rng(10)
    grown = Grown(rng, MODES, trees=2, depth=2)
    attributes = grown.attributes("class", lambda tree: [0], classlabels_int64s=[0, 1], post_transform="PROBIT")
    with pytest.raises(UnsupportedOpError, match="second class is left open"):
        check(model("TreeEnsembleClassifier", attributes), {"X": rows(rng)})


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_whole_numbers(check: Check, dtype: Any) -> None:
    rng = np.random.default_rng(16)
    grown = Grown(rng, MODES, trees=7, depth=5)
    attributes = grown.attributes("class", lambda tree: [0, 1, 2], classlabels_int64s=[4, 5, 6])
    check(model("TreeEnsembleClassifier", attributes, dtype), {"X": rows(rng, dtype)}, tflite=True)


@pytest.mark.parametrize("version", [1, 3, 5])
def test_versions(check: Check, version: int) -> None:
    """In version 5 the operator is deprecated, and ONNX Runtime refuses it; the evaluator takes NaN as it comes."""
    rng = np.random.default_rng(11)
    attributes = Grown(rng, MODES, trees=2, depth=3).attributes("target", lambda tree: [0], n_targets=1)
    check(
        model("TreeEnsembleRegressor", attributes, version=version),
        {"X": np.nan_to_num(rows(rng))},
        reference=version == 5,
    )


def test_doubles(check: Check) -> None:
    """Thresholds that float32 cannot tell apart."""
    rng = np.random.default_rng(12)
    attributes = Grown(rng, MODES, trees=3, depth=3).attributes("target", lambda tree: [0], n_targets=1)
    values = np.array(attributes.pop("nodes_values")) + 1e-12
    attributes["nodes_values_as_tensor"] = numpy_helper.from_array(values)
    attributes["target_weights_as_tensor"] = numpy_helper.from_array(np.array(attributes.pop("target_weights")))
    x = rows(rng, np.float64)
    check(model("TreeEnsembleRegressor", attributes, np.float64), {"X": x}, {"X": x + 1e-12})


def test_deep_trees(check: Check) -> None:
    """Deeper than what is unrolled: a tree that is a list."""
    count = 100
    nodes = [(f"BRANCH_{'GT' if i % 2 else 'LEQ'}", i / 10) for i in range(count)]
    attributes = {
        "nodes_treeids": [0] * (2 * count + 1),
        "nodes_nodeids": list(range(2 * count + 1)),
        "nodes_featureids": [i % FEATURES for i in range(count)] + [0] * (count + 1),
        "nodes_modes": [mode for mode, _ in nodes] + ["LEAF"] * (count + 1),
        "nodes_values": [value for _, value in nodes] + [0.0] * (count + 1),
        "nodes_truenodeids": [count + i for i in range(count)] + [0] * (count + 1),
        "nodes_falsenodeids": [*range(1, count), 2 * count] + [0] * (count + 1),
        "target_treeids": [0] * (count + 1),
        "target_nodeids": list(range(count, 2 * count + 1)),
        "target_ids": [0] * (count + 1),
        "target_weights": [float(i) for i in range(count + 1)],
        "n_targets": 1,
    }
    x = np.random.default_rng(13).uniform(0, 10, (200, FEATURES)).astype(np.float32)
    check(model("TreeEnsembleRegressor", attributes), {"X": x}, tflite=True)


@pytest.mark.parametrize("tracks", [0, 1])
def test_chains_of_categories(check: Check, tracks: int) -> None:
    """What LightGBM's converter makes of a set of categories, which are walked in one step."""
    members = [1.0, 3.0, 4.0, 40.0, 7.5]
    count = len(members)
    attributes = {
        "nodes_treeids": [0] * (count + 2),
        "nodes_nodeids": list(range(count + 2)),
        "nodes_featureids": [2] * count + [0, 0],
        "nodes_modes": ["BRANCH_EQ"] * count + ["LEAF"] * 2,
        "nodes_values": [*members, 0.0, 0.0],
        "nodes_truenodeids": [count] * count + [0, 0],
        "nodes_falsenodeids": [*range(1, count), count + 1, 0, 0],
        "nodes_missing_value_tracks_true": [tracks] * count + [0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [count, count + 1],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    x = np.zeros((10, FEATURES), np.float32)
    x[:, 2] = [1, 3, 4, 40, 7.5, 7, 0, -1, np.nan, 41]
    check(model("TreeEnsembleRegressor", attributes), {"X": x}, tflite=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("aggregate", [0, 1, 2, 3])
def test_version_5(check: Check, dtype: Any, aggregate: int) -> None:
    """A tree of all modes, sets among them.

    The features that are held against sets are whole: ONNX Runtime cuts others to whole numbers, the specification
    and the evaluator do not.
    """
    attributes = {
        "tree_roots": [0, 7],
        "nodes_modes": numpy_helper.from_array(np.array([6, 0, 1, 2, 3, 4, 6, 5], np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array([0, 0.5, 0, -0.5, 1, 1.5, 0, 0], dtype)),
        "nodes_featureids": [0, 1, 2, 3, 4, 0, 1, 0],
        "nodes_truenodeids": [1, 3, 5, 0, 2, 4, 6, 8],
        "nodes_trueleafs": [0, 0, 0, 1, 1, 1, 1, 1],
        "nodes_falsenodeids": [2, 4, 6, 1, 3, 5, 7, 9],
        "nodes_falseleafs": [0, 0, 0, 1, 1, 1, 1, 1],
        "nodes_missing_value_tracks_true": [1, 0, 0, 1, 0, 0, 0, 0],
        "membership_values": numpy_helper.from_array(np.array([1, 2, np.nan, 0, -1, 40, np.nan], dtype)),
        "leaf_targetids": [0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
        "leaf_weights": numpy_helper.from_array(np.arange(1, 11).astype(dtype)),
        "n_targets": 2,
        "aggregate_function": aggregate,
    }
    x = rows(np.random.default_rng(14), dtype)
    x[:, :2] = np.floor(x[:, :2])
    check(model("TreeEnsemble", attributes, dtype, version=5), {"X": x}, tflite=dtype == np.float32)


def test_version_5_with_trees_that_are_leaves(check: Check) -> None:
    """Both branches lead to the same leaf; one more tree shares its leaves, and asks for members between integers."""
    attributes = {
        "tree_roots": [0, 1],
        "nodes_modes": numpy_helper.from_array(np.array([0, 0, 6], np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array([0, 0.5, 1.5], np.float32)),
        "nodes_featureids": [0, 1, 2],
        "nodes_truenodeids": [0, 1, 1],
        "nodes_trueleafs": [1, 1, 1],
        "nodes_falsenodeids": [0, 2, 2],
        "nodes_falseleafs": [1, 0, 1],
        "membership_values": numpy_helper.from_array(np.array([-1.5, 0.5, 1e9, np.nan], np.float32)),
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": numpy_helper.from_array(np.array([1, 2, 4], np.float32)),
        "n_targets": 1,
    }
    x = rows(np.random.default_rng(17))
    check(model("TreeEnsemble", attributes, version=5), {"X": x}, reference=True)
