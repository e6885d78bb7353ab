"""Frozen graphs and SavedModels: the same function, bit for bit, after it was saved and loaded."""

import numpy as np
import pytest

from contract.errors import ConversionError, FormatError, SpecError, UsageError
from contract.tensor_spec import TensorSpec

pytestmark = pytest.mark.slow  # TensorFlow


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def files():
    """The module, which imports TensorFlow."""
    from pipeline.saving import tensorflow_files

    return tensorflow_files


@pytest.fixture
def concrete(tf):
    """Makes a function concrete."""

    def made(function, *inputs):
        return tf.function(function, autograph=False).get_concrete_function(*inputs)

    return made


@pytest.fixture
def network(tf, concrete):
    """Two inputs of other dtypes, several outputs, variables, and a branch with a function of its own."""
    random = np.random.default_rng(0)
    first = tf.Variable(random.random((3, 50), np.float32))
    bias = tf.Variable(random.random(50, np.float32))
    second = tf.Variable(random.random((50, 2), np.float32))
    table = tf.Variable(random.random((5, 50), np.float32))

    def forward(x, ids):
        hidden = tf.sigmoid(x @ first + bias)
        looked_up = tf.gather(table, ids)
        y = tf.cond(tf.reduce_sum(ids) > 3, lambda: hidden * looked_up @ second, lambda: hidden @ second)
        return {"y": tf.nn.softmax(y), "top": tf.argmax(y, 1), "hidden": hidden}

    function = concrete(forward, tf.TensorSpec((None, 3), name="x"), tf.TensorSpec((None,), tf.int32, name="ids"))
    # A function does not keep its variables alive.
    function.kept = (first, bias, second, table)
    return function


def inputs(rows=7, ids=(0, 1, 4, 2, 3, 0, 0)):
    return {"x": np.random.default_rng(rows).random((rows, 3), np.float32), "ids": np.array(ids[:rows], np.int32)}


def test_a_frozen_graph_answers_bit_for_bit(tf, files, network, tmp_path):
    path = tmp_path / "net.pb"
    files.save_frozen_graph(path, network)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pb"]
    loaded = files.load_frozen_graph(path)
    assert {spec.name: (spec.dtype, spec.shape[1:]) for spec in loaded.inputs} == {
        "ids": ("int32", ()),
        "x": ("float32", (3,)),
    }
    assert {spec.name: (spec.dtype, spec.shape[1:]) for spec in loaded.outputs} == {
        "hidden": ("float32", (50,)),
        "top": ("int64", ()),
        "y": ("float32", (2,)),
    }
    for given in (inputs(), inputs(1), inputs(3, (0, 0, 1))):
        wanted = network(**{name: tf.constant(value) for name, value in given.items()})
        got = loaded(given)
        assert set(got) == set(wanted)
        for name, value in wanted.items():
            assert got[name].dtype == value.numpy().dtype
            np.testing.assert_array_equal(got[name], value)


def test_it_is_one_protocol_buffer_of_constants_and_operations(tf, files, network, tmp_path):
    files.save_frozen_graph(tmp_path / "net.pb", network)
    content = (tmp_path / "net.pb").read_bytes()
    graph = tf.compat.v1.GraphDef.FromString(content)
    nodes = {node.name: node.op for node in graph.node}
    assert {name: op for name, op in nodes.items() if "/" not in name} == {
        "x": "Placeholder",
        "ids": "Placeholder",
        "y": "Identity",
        "top": "Identity",
        "hidden": "Identity",
    }
    every = {node.op for node in [*graph.node, *(node for one in graph.library.function for node in one.node_def)]}
    assert "Const" in every
    assert not {op for op in every if "Var" in op}


def test_a_saved_model_answers_bit_for_bit_and_freezes(tf, files, network, tmp_path):
    module = tf.Module()
    module.kept, module.network = network.kept, network
    tf.saved_model.save(module, tmp_path / "net", signatures={"serving_default": network})
    loaded = tf.saved_model.load(tmp_path / "net")  # holds the variables
    served = loaded.signatures["serving_default"]
    files.save_frozen_graph(tmp_path / "net.pb", served)
    frozen = files.load_frozen_graph(tmp_path / "net.pb")
    given = inputs()
    tensors = {name: tf.constant(value) for name, value in given.items()}
    wanted = network(**tensors)
    for name, value in served(**tensors).items():
        np.testing.assert_array_equal(value, wanted[name])
        np.testing.assert_array_equal(frozen(given)[name], wanted[name])


def test_a_keras_model(tf, files, concrete, tmp_path):
    keras = pytest.importorskip("keras")
    from runtimes.keras_model import call_by_name

    x = keras.Input((8, 8, 3), name="x")
    h = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    h = keras.layers.BatchNormalization(name="norm")(h)
    net = keras.Model(x, keras.layers.Dense(2, name="y")(keras.layers.GlobalAveragePooling2D(name="pool")(h)))
    function = concrete(lambda given: call_by_name(net, given), {"x": tf.TensorSpec((None, 8, 8, 3))})
    files.save_frozen_graph(tmp_path / "net.pb", function)
    loaded = files.load_frozen_graph(tmp_path / "net.pb")
    assert loaded.inputs == (TensorSpec("x", "float32", ("axis0", 8, 8, 3)),)
    assert loaded.outputs == (TensorSpec("y", "float32", ("axis1", 2)),)
    given = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(loaded({"x": given})["y"], function({"x": tf.constant(given)})["y"])


def test_strings_scalars_and_inputs_that_are_outputs_or_unused(tf, files, concrete, tmp_path):
    function = concrete(
        lambda text, flag, unused: (tf.strings.upper(text), flag),
        tf.TensorSpec((None,), tf.string, name="text"),
        tf.TensorSpec((), tf.bool, name="flag"),
        tf.TensorSpec(None, tf.float16, name="unused"),
    )
    files.save_frozen_graph(tmp_path / "m.pb", function)
    loaded = files.load_frozen_graph(tmp_path / "m.pb")
    assert {spec.name: (spec.dtype, spec.shape) for spec in loaded.inputs} == {
        "text": ("object", ("axis0",)),
        "flag": ("bool", ()),
        "unused": ("float16", ("...",)),
    }
    results = loaded(
        {"text": np.array([b"a\xff", b""], object), "flag": np.array(True), "unused": np.zeros(3, np.float16)}
    )
    assert results["output_0"].tolist() == [b"A\xff", b""]
    assert results["output_1"].shape == ()
    assert results["output_1"]


def test_wrong_inputs(files, network, tmp_path):
    files.save_frozen_graph(tmp_path / "net.pb", network)
    loaded = files.load_frozen_graph(tmp_path / "net.pb")
    good = inputs(2)
    for given, reason in (
        ({"x": good["x"]}, "net.pb: the inputs are "),
        ({**good, "more": good["x"]}, "net.pb: the inputs are "),
        ({**good, "x": good["x"].astype(np.float64)}, "input x: wanted x float32["),
        ({**good, "x": good["x"][:, :2]}, "given float32[2, 2]"),
        ({**good, "ids": np.array([9, 9], np.int32)}, "net.pb: "),  # there is no such row in the table
    ):
        with pytest.raises(SpecError) as caught:
            loaded(given)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("x", "x"), "several tensors have the name x"),
        (("x", "a:0"), "'a:0' cannot be the name of a node"),
        (("x", "graph/x"), "'graph/x' cannot be the name of a node"),
        (("x", "X"), "TensorFlow gives the node X the name X_1"),
    ],
)
def test_names_that_no_node_can_have(tf, files, concrete, tmp_path, names, reason):
    given, wanted = names
    function = concrete(lambda inputs: {wanted: inputs[given] + 1}, {given: tf.TensorSpec((2,))})
    with pytest.raises(SpecError) as caught:
        files.save_frozen_graph(tmp_path / "m.pb", function)
    assert reason in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_table_is_no_parameter(tf, files, concrete, tmp_path):
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["x"], [1]), 0)
    function = concrete(table.lookup, tf.TensorSpec((None,), tf.string, name="text"))
    with pytest.raises(ConversionError, match=r"m\.pb: the function needs .*, a table or another resource"):
        files.save_frozen_graph(tmp_path / "m.pb", function)


def test_parameters_that_do_not_fit(files, network, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MAX_PARAMETER_BYTES", 1000)
    with pytest.raises(ConversionError, match=r"the parameters take 2,200 bytes, .* 2 GiB; write a SavedModel"):
        files.save_frozen_graph(tmp_path / "m.pb", network)


def test_every_truncation_is_found(tf, files, concrete, tmp_path):
    path = tmp_path / "m.pb"
    files.save_frozen_graph(path, concrete(lambda x: tf.sigmoid(x) + 1.0, tf.TensorSpec((2,), name="x")))
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError, match=r"m\.pb: damaged or not a frozen graph: ") as caught:
            files.load_frozen_graph(path)
        assert "\n" not in str(caught.value)


def test_what_is_no_graph(files, tmp_path):
    for content in (b"hello world\n", b"\x00" * 100, b"\x89HDF\r\n\x1a\n"):
        (tmp_path / "m.pb").write_bytes(content)
        with pytest.raises(FormatError, match=r"m\.pb: damaged or not a frozen graph"):
            files.load_frozen_graph(tmp_path / "m.pb")
    with pytest.raises(UsageError, match="there is no such file"):
        files.load_frozen_graph(tmp_path / "absent.pb")


def graph_of(tf, *nodes):
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = 2000
    for name, op, *given in nodes:
        graph.node.add(name=name, op=op, input=given)
    return graph


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([("a", "Nonsense")], "TensorFlow does not take the graph: "),
        ([("a", "Identity", "absent")], "TensorFlow does not take the graph: "),
        ([("a", "Identity", "b"), ("b", "Identity", "a")], "a frozen graph without an output"),
        ([("a", "NoOp"), ("a", "NoOp")], "TensorFlow does not take the graph: "),
        ([("a", "NoOp")], "TensorFlow does not take the graph: "),
        ([("a", "Identity", "b:7:7"), ("b", "NoOp")], "TensorFlow does not take the graph: "),
        ([("x", "Placeholder")], "a frozen graph without an output"),
    ],
)
def test_graphs_that_tensorflow_does_not_take(tf, files, tmp_path, nodes, reason):
    (tmp_path / "m.pb").write_bytes(graph_of(tf, *nodes).SerializeToString())
    with pytest.raises(FormatError) as caught:
        files.load_frozen_graph(tmp_path / "m.pb")
    assert f"m.pb: {reason}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_that_reaches_out_is_not_loaded(tf, files, concrete, tmp_path):
    path = tmp_path / "m.pb"
    spec = tf.TensorSpec((), tf.string, name="name")
    for function in (
        tf.io.read_file,
        lambda name: tf.cond(name == "", lambda: name, lambda: tf.io.read_file(name)),
        lambda name: tf.numpy_function(lambda text: text, [name], tf.string),
    ):
        files.save_frozen_graph(path, concrete(function, spec))
        with pytest.raises(FormatError, match=r"is a (ReadFile|\w*PyFunc), which reaches out of the graph; not loaded"):
            files.load_frozen_graph(path)
