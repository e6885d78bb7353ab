"""A conversion as a whole: what is written, what it is verified with, and that a failure leaves nothing."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.op_run import OpRun

from contract.errors import ConversionError, ParityError, SpecError, UnsupportedOpError, UsageError

pytestmark = pytest.mark.slow

ADD = """<ir_version: 8, opset_import: ["" : 18]>
net (float[n, 3] x, float[3] w) => (float[n, 3] y) { first = Add (x, w) second = Add (first, x) y = Add (second, w) }"""

SWISH = """<ir_version: 8, opset_import: ["" : 18, "mine" : 1]>
net (float[n, 3] x) => (float[n, 3] y) { y = mine.Swish (x) }"""


@pytest.fixture(scope="module")
def tool():
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline import onnx_to_tf

    return onnx_to_tf


@pytest.fixture(scope="module")
def tf():
    import tensorflow as tf

    return tf


@pytest.fixture(scope="module")
def wrong(tool):
    """Takes away instead of adding, where the output has a certain name."""
    family = tool.Family("wrong")

    @family.register("Add", 7, 13, 14)
    def add(node, a, b):
        return a - b if node.node.outputs[0].name == "second" else a + b

    return family


@pytest.fixture(scope="module")
def mine(tool, tf):
    family = tool.Family("mine")

    @family.register("Swish", domain="mine")
    def swish(node, x):
        return x * tf.sigmoid(x)

    return family


class Swish(OpRun):
    """What onnx's evaluator does for mine.Swish."""

    op_domain = "mine"

    def _run(self, x):
        return ((x / (1 + np.exp(-x))).astype(x.dtype),)


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_model_in_memory_becomes_a_saved_model_and_stays_as_it_is(tmp_path, tool):
    model = parsed(ADD)
    before = model.SerializeToString(deterministic=True)
    done = tool.convert(model, tmp_path / "net", tool.Options(tflite=True))
    assert listed(tmp_path) == {"net", "net.tflite"}
    assert model.SerializeToString(deterministic=True) == before
    for verification, runtime in (
        (done.verification, "tensorflow_c"),
        (done.tflite_verification, "ai_edge_litert"),
    ):
        assert verification is not None
        assert (verification.runtime, verification.reference, verification.reason) == (runtime, "onnxruntime", "")
        assert verification.calls == ("n 1", "n 7")
        assert (verification.max_abs_diff, verification.values) == (0, 24)
        assert verification.notes == ()


def test_a_file_with_external_data_is_only_read(tmp_path, tool):
    weight = np.arange(30_000, dtype=np.float32).reshape(3, 10_000)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 10_000]) for name in "xy")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "net", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert tool.convert(tmp_path / "m.onnx", tmp_path / "out").verification.values == 30_000
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == files
    assert tool.first_difference(tmp_path / "m.onnx") is None


def test_fixed_axes_are_those_of_the_saved_model(tmp_path, tool, tf):
    tool.convert(parsed(ADD), tmp_path / "net", tool.Options(static={"n": 4}))
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    specs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert specs["x"].shape == [4, 3]


def test_a_wrong_value_leaves_nothing(tmp_path, tool, wrong):
    with pytest.raises(ParityError, match="the SavedModel in tensorflow_c against onnxruntime: y for random input"):
        tool.convert(parsed(ADD), tmp_path / "net", tool.Options(families=[wrong], tflite=True))
    assert listed(tmp_path) == set()


def test_a_failure_leaves_what_was_there(tmp_path, tool, wrong):
    options = tool.Options(force=True, tflite=True)
    tool.convert(parsed(ADD), tmp_path / "net", options)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ParityError):
        tool.convert(parsed(ADD), tmp_path / "net", tool.Options(force=True, tflite=True, families=[wrong]))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    tool.convert(parsed(ADD.replace("Add (second, w)", "Identity (second)")), tmp_path / "net", options)
    assert listed(tmp_path) == {"net", "net.tflite"}
    assert (tmp_path / "net.tflite").read_bytes() != before[tmp_path / "net.tflite"]


def test_nothing_is_replaced_that_nobody_said_could_go(tmp_path, tool):
    out = tmp_path / "net"
    out.mkdir()
    tool.convert(parsed(ADD), out)  # it is empty
    with pytest.raises(UsageError, match="--force replaces it"):
        tool.convert(parsed(ADD), out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="a folder with other files"):
        tool.convert(parsed(ADD), tmp_path / "other", tool.Options(force=True))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="a file; choose a folder"):
        tool.convert(parsed(ADD), tmp_path / "file", tool.Options(force=True))
    (tmp_path / "new.tflite").touch()
    with pytest.raises(UsageError, match="it is there already"):
        tool.convert(parsed(ADD), tmp_path / "new", tool.Options(tflite=True))


def test_the_model_is_not_in_the_folder_that_is_replaced(tmp_path, tool):
    tool.convert(parsed(ADD), tmp_path / "net")
    onnx.save(parsed(ADD), tmp_path / "net" / "m.onnx")
    with pytest.raises(UsageError, match="the model itself lies there"):
        tool.convert(tmp_path / "net" / "m.onnx", tmp_path / "net", tool.Options(force=True))
    assert (tmp_path / "net" / "m.onnx").is_file()


@pytest.mark.parametrize(("parts", "passes"), [({"atol": 100}, True), ({"rtol": 10, "atol": 0}, True), ({}, False)])
def test_the_tolerance_can_be_said(tmp_path, parts, passes, tool, wrong):
    options = tool.Options(families=[wrong], parts=tool.Parts(**parts))
    if passes:
        assert tool.convert(parsed(ADD), tmp_path / "net", options).verification.max_abs_diff > 0.1
    else:
        with pytest.raises(ParityError):
            tool.convert(parsed(ADD), tmp_path / "net", options)


def test_an_operator_that_nobody_converts_is_one_whole_error(tmp_path, tool):
    with pytest.raises(UnsupportedOpError) as caught:
        tool.convert(parsed(SWISH), tmp_path / "net")
    message = str(caught.value)
    for part in ("Swish (domain mine, opset 1, node 'y')", "it is fed by 'x' float", "--operators: docs/converting.md"):
        assert part in message
    assert listed(tmp_path) == set()


def test_an_operator_of_ones_own_is_verified_in_the_reference_evaluator(tmp_path, tool, mine):
    done = tool.convert(parsed(SWISH), tmp_path / "net", tool.Options(families=[mine], references=[Swish]))
    assert done.verification.reference == "onnx's reference evaluator"
    assert "mine" in done.verification.reason
    assert done.verification.values == 24


def test_what_cannot_be_verified_is_not_kept(tmp_path, tool, mine):
    with pytest.raises(ConversionError, match="cannot be verified, and so is not kept"):
        tool.convert(parsed(SWISH), tmp_path / "net", tool.Options(families=[mine]))
    assert listed(tmp_path) == set()


# --- what it is verified with


def test_sizes_and_inputs_can_be_given(tmp_path, tool):
    done = tool.convert(parsed(ADD), tmp_path / "a", tool.Options(axis_sizes={"n": [2, 9]}))
    assert done.verification.calls == ("n 2", "n 9")
    np.savez(tmp_path / "x.npz", x=np.ones((5, 3)), w=np.ones(3, np.int64))
    done = tool.convert(parsed(ADD), tmp_path / "b", tool.Options(inputs=[tmp_path / "x.npz"]))
    assert done.verification.calls == (str(tmp_path / "x.npz"),)
    assert done.verification.values == 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis_sizes": {"m": [2]}}, "no input has a dynamic axis 'm'"),
        ({"axis_sizes": {"n": [0]}}, "1 is the least"),
        ({"inputs": [Path("absent.npz")]}, "there is no such file"),
        ({"static": {"m": 1}}, "the dynamic axes are n"),
    ],
)
def test_what_is_not_there_is_a_usage_error(tmp_path, options, message, tool):
    with pytest.raises(UsageError, match=message):
        tool.convert(parsed(ADD), tmp_path / "net", tool.Options(**options))


def test_inputs_that_are_of_others_names_or_types_are_refused(tmp_path, tool):
    np.savez(tmp_path / "x.npz", x=np.ones((5, 3)))
    with pytest.raises(UsageError, match="the inputs are x, w; given: x"):
        tool.convert(parsed(ADD), tmp_path / "net", tool.Options(inputs=[tmp_path / "x.npz"]))


def test_a_deep_network_is_tried_with_larger_sizes(tmp_path, tool):
    model = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[n, k] x) => (float[n, 1] y) <int64[1] far = {20}>
    { y = Gather <axis = 1> (x, far) }"""
    assert tool.convert(parsed(model), tmp_path / "net").verification.calls == ("n 1, k 32", "n 7, k 64")


def test_inputs_that_the_original_refuses_are_said_with_the_remedy(tmp_path, tool):
    model = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[n, 3] x, int64[1] index) => (float[n, 1] y) <int64[1] far = {70}>
    { at = Add (index, far) y = Gather <axis = 1> (x, at) }"""
    with pytest.raises(SpecError, match=r"onnxruntime does not take random .*--axis NAME=N,N, or .*--input"):
        tool.convert(parsed(model), tmp_path / "net")
    np.savez(tmp_path / "i.npz", x=np.ones((2, 3)), index=[-70])
    given = tool.Options(inputs=[tmp_path / "i.npz"])
    assert tool.convert(parsed(model), tmp_path / "net", given).verification.values == 2


def test_an_output_of_nothing_but_nan_is_said(tmp_path, tool):
    model = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[1] x) => (float[1] y) { low = Neg (x) high = Sqrt (x) both = Sqrt (low) y = Max (high, both) }"""
    done = tool.convert(parsed(model), tmp_path / "net")
    assert done.verification.notes == (
        "an output is NaN for all inputs that were tried; give better ones by --input FILE.npz",
    )


def test_random_numbers_are_compared_by_shape(tmp_path, tool):
    model = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[n, 3] x) => (float[n, 3] noisy, float[n, 3] clean)
    { noise = RandomNormalLike (x) noisy = Add (x, noise) clean = Add (x, x) }"""
    done = tool.convert(parsed(model), tmp_path / "net")
    assert done.verification.values == 24
    [note] = done.verification.notes
    assert note.startswith("noisy depends on random numbers (RandomNormalLike)")
    assert tool.first_difference(parsed(model)) is None


def test_an_output_that_is_another_output_too_stays(tmp_path, tool):
    text = ADD.replace("=> (float[n, 3] y)", "=> (float[n, 3] first, float[n, 3] y)").replace(
        "Add (second, w)", "Identity (first)"
    )
    assert tool.convert(parsed(text), tmp_path / "net").verification.values == 48


def test_the_maps_of_a_classifier_are_a_tensor(tmp_path, tool):
    skl2onnx = pytest.importorskip("skl2onnx")
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    classifier = linear_model.LogisticRegression().fit(features, (features.sum(1) > 0) + 2 * (features[:, 0] > 1))
    classes = len(classifier.classes_)
    types = [("features", skl2onnx.common.data_types.FloatTensorType([None, 4]))]
    onnx.save(skl2onnx.convert_sklearn(classifier, initial_types=types, target_opset=18), tmp_path / "m.onnx")
    done = tool.convert(tmp_path / "m.onnx", tmp_path / "net")
    assert done.verification.reference == "onnxruntime"
    assert done.verification.values == 8 * (1 + classes)
    assert done.verification.notes == (
        "output_probability is a map for each row in ONNX, and here a tensor of a column for each class",
    )
    assert tool.first_difference(tmp_path / "m.onnx") is None


def test_names_types_and_strings_are_those_of_the_model(tmp_path, tool):
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 18]>
        net (string[n] words, bool[n] flags, int8[2] small, float16[2] half)
        => (string[n] a, bool[n] b, int8[2] c, float16[2] d)
        { a = Identity (words) b = Identity (flags) c = Identity (small) d = Identity (half) }"""
    )
    model.graph.input[0].name = model.graph.node[0].input[0] = "input.1:0"
    assert tool.convert(model, tmp_path / "net").verification.values == 2 * (2 + 2) + 8 + 8


# --- the first node that differs


def test_the_first_node_that_differs_is_found_with_both_values(tool, wrong):
    found = tool.first_difference(parsed(ADD), tool.Options(families=[wrong]))
    assert found is not None
    assert (found.op_type, found.domain, found.node, found.output, found.is_alone) == (
        "Add",
        "ai.onnx",
        "second",
        "second",
        True,
    )
    assert found.call == "n 1"
    assert len(found.at) == 2
    assert float(found.expected) != float(found.actual)
    assert [text.partition(" ")[0] for text in found.inputs] == ["'first'", "'x'"]
    assert f"is {found.actual} instead of {found.expected}" in str(found)


def test_nothing_differs_in_a_right_conversion(tool):
    assert tool.first_difference(parsed(ADD)) is None


def test_the_evaluator_finds_it_as_well(tool, wrong, mine):
    text = SWISH.replace("y = mine.Swish (x)", "a = mine.Swish (x) second = Add (a, x) y = Identity (second)")
    found = tool.first_difference(parsed(text), tool.Options(families=[mine, wrong], references=[Swish]))
    assert found is not None
    assert found.output == "second"


def test_a_module_can_be_had_without_a_file(tool, tf):
    module = tool.to_module(parsed(ADD))
    outputs = module.serve(tf.ones([2, 3]), tf.ones([3]))
    assert outputs["y"].numpy().tolist() == [[4, 4, 4]] * 2


# --- operators by onnx's own definition

ATTENTION = """<ir_version: 11, opset_import: ["" : 23]>
net (float[n, 4, 24] q, float[n, 4, 24] k, float[n, 4, 24] v) => (float[n, 4, 24] y)
{ y = Attention <q_num_heads = 3, kv_num_heads = 3> (q, k, v) }"""


def test_an_operator_is_converted_as_onnx_defines_it_and_held_against_that(tmp_path, tool):
    ours = tool.convert(parsed(ATTENTION), tmp_path / "ours")
    assert (ours.verification.reference, ours.verification.reason) == ("onnxruntime", "")
    # The definition drops a batch of 1.
    options = tool.Options(as_defined=["Attention"], axis_sizes={"n": (2, 7)})
    defined = tool.convert(parsed(ATTENTION), tmp_path / "defined", options)
    assert defined.verification.reference == "onnx's reference evaluator"
    assert defined.verification.reason == f"Attention as onnx {version('onnx')} defines it"
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, 4, 24), np.float32) for _ in "qkv"]
    first, second = (
        tool.to_module(parsed(ATTENTION), operators=operators).serve(*inputs)["y"].numpy()
        for operators in (tool.Options().registry(), options.registry())
    )
    # onnx 1.18 splits the heads of three axes otherwise: benchmarks/onnx_conformance/exceptions.py.
    assert np.abs(first - second).max() > 0.1
    assert tool.first_difference(parsed(ATTENTION), options) is None


def test_a_model_without_such_an_operator_is_held_against_onnx_runtime(tmp_path, tool):
    done = tool.convert(parsed(ADD), tmp_path / "net", tool.Options(as_defined=["Attention"]))
    assert done.verification.reference == "onnxruntime"


@pytest.mark.parametrize(
    ("op_type", "message"), [("Atention", "did you mean 'Attention'"), ("Conv", "onnx defines no")]
)
def test_an_operator_that_onnx_does_not_define_is_refused(tmp_path, tool, op_type, message):
    with pytest.raises(UsageError, match=message):
        tool.convert(parsed(ADD), tmp_path / "net", tool.Options(as_defined=[op_type]))
    assert listed(tmp_path) == set()
