"""Keras as a runtime: models of each form, saved, loaded and run; and the files that are not loaded."""

import json
import zipfile

import numpy as np
import pytest

from contract.errors import RuntimeRefusedError, SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes import load
from runtimes.keras_model import call_by_name, load_model

pytestmark = pytest.mark.slow  # Keras and TensorFlow


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture
def save(tmp_path):
    """Saves a model under a name."""

    def saved(net, name="m.keras"):
        net.save(tmp_path / name)
        return tmp_path / name

    return saved


@pytest.fixture
def changed(tmp_path):
    """Copies a .keras file with another config, or without an entry."""

    def copied(path, edit=lambda config: config, without=()):
        copy = tmp_path / "changed.keras"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    content = json.dumps(edit(json.loads(content))).encode()
                if name not in without:
                    new.writestr(name, content)
        return copy

    return copied


@pytest.fixture
def two(keras):
    """Inputs a (float32) and b (int64, of any length) to a dict of outputs."""

    def built(structure=dict):
        a = keras.Input((3,), name="a")
        b = keras.Input((None,), name="b", dtype="int64")
        embedded = keras.layers.Embedding(5, 4, name="table")(b)
        left = keras.layers.Dense(2, name="dense")(a)
        right = keras.layers.GlobalAveragePooling1D(name="mean")(embedded)
        if structure is dict:
            return keras.Model({"a": a, "b": b}, {"left": left, "right": right})
        return keras.Model([b, a], [left, right])

    return built


def sequential(keras):
    return keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, name="y")])


A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([[0, 1, 4, 4], [2, 2, 2, 0]])


@pytest.mark.parametrize(("structure", "names"), [(dict, ("left", "right")), (list, ("dense", "mean"))])
def test_several_inputs_and_outputs_go_by_their_names(two, save, structure, names):
    net = two(structure)
    answer = net({"a": A, "b": B} if structure is dict else [B, A], training=False)
    left, right = answer.values() if structure is dict else answer
    with load("keras", save(net)) as session:
        assert session.runtime == "keras"
        assert {spec.name: spec for spec in session.inputs} == {
            "a": TensorSpec("a", "float32", ("batch", 3)),
            "b": TensorSpec("b", "int64", ("batch", "axis0")),
        }
        assert session.outputs == (
            TensorSpec(names[0], "float32", ("batch", 2)),
            TensorSpec(names[1], "float32", ("batch", 4)),
        )
        assert not session.quantization
        results = session.run({"b": B, "a": A})
    np.testing.assert_array_equal(results[names[0]], left)
    np.testing.assert_array_equal(results[names[1]], right)


def test_a_sequential_model(keras, save):
    net = sequential(keras)
    with load("keras", save(net)) as session:
        assert session.inputs == (TensorSpec("x", "float32", ("batch", 2)),)
        assert session.outputs == (TensorSpec("y", "float32", ("batch", 1)),)
        for rows in (1, 7):
            x = np.random.default_rng(rows).random((rows, 2), np.float32)
            np.testing.assert_array_equal(session.run({"x": x})["y"], net(x))


def test_strings_in_and_out(keras, save):
    text = keras.Input((), dtype="string", name="text")
    lookup = keras.layers.StringLookup(vocabulary=["x", "ä"], name="number")
    back = keras.layers.StringLookup(vocabulary=["x", "ä"], invert=True, name="word")
    number = lookup(text)
    net = keras.Model(text, [number, back(number)])
    with load("keras", save(net)) as session:
        assert session.inputs == (TensorSpec("text", "object", ("batch",)),)
        assert [spec.dtype for spec in session.outputs] == ["int64", "object"]
        results = session.run({"text": np.array(["ä".encode(), b"\xff", b"x"], object)})
        assert results["number"].tolist() == [2, 0, 1]
        assert results["word"].dtype == object
        assert results["word"].tolist() == ["ä".encode(), b"[UNK]", b"x"]
        assert session.run({"text": np.array([], object)})["word"].shape == (0,)
        with pytest.raises(SpecError, match="input text: wanted strings as bytes, given str"):
            session.run({"text": np.array(["x"], object)})


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int32", "uint64", "bool"])
def test_dtypes_and_a_batch_of_one_size(keras, save, dtype):
    x = keras.Input(batch_shape=(2, 2), dtype=dtype, name="x")
    net = keras.Model(x, keras.ops.reshape(x, (2, 1, 2)))
    value = np.array([[0, 1], [1, 0]]).astype(dtype)
    with load("keras", save(net)) as session:
        assert session.inputs == (TensorSpec("x", dtype, (2, 2)),)
        [output] = session.outputs
        assert (output.dtype, output.shape) == (dtype, (2, 1, 2))
        y = session.run({"x": value})[output.name]
    assert y.dtype == value.dtype
    np.testing.assert_array_equal(y, value[:, None])


def test_it_runs_as_in_inference(keras, save):
    x = keras.Input((100,), name="x")
    net = keras.Model(x, keras.layers.BatchNormalization(name="y")(keras.layers.Dropout(0.5)(x)))
    value = np.random.default_rng(0).random((5, 100), np.float32)
    with load("keras", save(net)) as session:
        np.testing.assert_array_equal(session.run({"x": value})["y"], net(value, training=False))


def test_outputs_of_one_layer_are_told_apart(keras, save):
    x = keras.Input((3, 2), name="x")
    named = keras.layers.Dense(1, name="lstm_1")(x)
    net = keras.Model(x, [*keras.layers.LSTM(4, return_state=True, name="lstm")(x), named])
    with load("keras", save(net)) as session:
        assert [spec.name for spec in session.outputs] == ["lstm", "lstm_2", "lstm_3", "lstm_1"]
        results = session.run({"x": np.ones((1, 3, 2), np.float32)})
    np.testing.assert_array_equal(results["lstm"], results["lstm_2"])
    assert results["lstm_1"].shape == (1, 3, 1)


def test_nested_inputs_and_outputs(keras, save):
    x, y = (keras.Input((1,), name=name) for name in "xy")
    net = keras.Model([x, [y]], {"u": [x + y, x - y], "v": x * y})
    with load("keras", save(net)) as session:
        results = session.run({"x": np.array([[5]], np.float32), "y": np.array([[2]], np.float32)})
    assert {name: value.item() for name, value in results.items()} == {"add": 7, "subtract": 3, "multiply": 10}


def test_a_compiled_and_trained_model_is_loaded_without_its_optimizer(keras, save):
    @keras.saving.register_keras_serializable("here")
    def curious(wanted, given):
        return keras.ops.mean(wanted - given)

    net = sequential(keras)
    net.compile("adam", curious)
    net.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    path = save(net)
    with keras.saving.custom_object_scope({}):
        keras.saving.get_custom_objects().clear()
        loaded = load_model(path)
    assert not loaded.compiled
    for ours, theirs in zip(loaded.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_calling_by_name_takes_every_form(keras, two):
    for structure, names in ((dict, {"left", "right"}), (list, {"dense", "mean"})):
        net = two(structure)
        answers = call_by_name(net, {"b": B, "a": A, "more": A})
        assert set(answers) == names
        with pytest.raises(SpecError, match=r"the inputs are a, b; given: a|the inputs are b, a; given: a"):
            call_by_name(net, {"a": A})
    assert set(call_by_name(sequential(keras), {"x": A[:, :2]})) == {"y"}


def test_calling_a_model_that_does_not_state_its_inputs(keras):
    class Add(keras.Model):  # type: ignore[name-defined]
        def call(self, inputs):
            return inputs["a"] + inputs["b"] if isinstance(inputs, dict) else [inputs, -inputs]

    [(name, total)] = call_by_name(Add(), {"a": A, "b": A}).items()
    assert name == "output_0"
    np.testing.assert_array_equal(total, A + A)
    answers = call_by_name(Add(), {"x": A})
    assert list(answers) == ["output_0", "output_1"]
    np.testing.assert_array_equal(answers["output_1"], -A)


def test_wrong_inputs(two, save):
    with load("keras", save(two())) as session:
        for inputs, reason in (
            ({"a": A}, "m.keras: the inputs are a, b; given: a"),
            ({"a": A, "b": B, "c": B}, "the inputs are a, b; given: a, b, c"),
            ({"a": A.astype(np.float64), "b": B}, "input a: wanted a float32[batch, 3], given float64[2, 3]"),
            ({"a": A[:, :2], "b": B}, "input a: wanted a float32[batch, 3], given float32[2, 2]"),
            ({"a": A, "b": B[:1]}, "wanted b int64[batch, axis0] where batch is 2, given int64[1, 4]"),
            ({"a": A, "b": B + 9}, "m.keras: "),  # there is no such row in the table
        ):
            with pytest.raises(SpecError) as caught:
                session.run(inputs)
            assert reason in str(caught.value)
            assert "\n" not in str(caught.value)


def test_closed(keras, save):
    session = load("keras", save(sequential(keras)))
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run({"x": A[:, :2]})


def test_sparse_tensors_are_refused(keras, save):
    x = keras.Input((3,), sparse=True, name="x")
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: x is a sparse or ragged tensor, not an array"):
        load("keras", save(keras.Model(x, keras.layers.Dense(1)(x))))
    x = keras.Input((1,), dtype="int64", name="x")
    hot = keras.layers.IntegerLookup(vocabulary=[1, 2], output_mode="multi_hot", sparse=True, name="hot")
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: hot is a sparse or ragged tensor, not an array"):
        load("keras", save(keras.Model(x, hot(x))))


def test_a_lambda_layer_is_not_loaded(keras, save):
    net = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: it has a Lambda layer, which is Python code") as caught:
        load("keras", save(net))
    assert "\n" not in str(caught.value)


def test_a_class_has_to_be_registered(keras, save):
    @keras.saving.register_keras_serializable("here")
    class Twice(keras.layers.Layer):  # type: ignore[name-defined]
        def call(self, x):
            return x + x

    path = save(keras.Sequential([keras.Input((3,), name="x"), Twice(name="y")]))
    with load("keras", path) as session:
        np.testing.assert_array_equal(session.run({"x": A})["y"], A + A)
    keras.saving.get_custom_objects().pop("here>Twice")
    with pytest.raises(RuntimeRefusedError) as caught:
        load("keras", path)
    message = str(caught.value)
    assert "m.keras: it needs " in message
    assert "Twice, not a part of Keras and not registered here; build the net by a module in models/" in message
    assert "\n" not in message


def test_a_function_has_to_be_registered(keras, save):
    def curious(x):
        return x + 1

    path = save(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation=curious)]))
    with pytest.raises(RuntimeRefusedError, match=r"keras refuses it: .*function 'curious'.* Make sure") as caught:
        load("keras", path)
    assert "{" not in str(caught.value)
    keras.saving.register_keras_serializable("here")(curious)
    path = save(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation=curious)]))
    load("keras", path).close()
    keras.saving.get_custom_objects().pop("here>curious")
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: it needs here>curious, not a part of Keras"):
        load("keras", path)


def test_no_module_is_imported_for_a_file(keras, save, changed, tmp_path, monkeypatch):
    (tmp_path / "harmful.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')\nDense = None\n")
    monkeypatch.syspath_prepend(tmp_path)

    def edit(config):
        config["config"]["layers"][1]["module"] = "harmful"
        return config

    with pytest.raises(RuntimeRefusedError, match=r"changed\.keras: it needs harmful\.Dense, not a part of Keras"):
        load("keras", changed(save(sequential(keras)), edit))
    assert not (tmp_path / "was here").exists()


def test_a_model_of_another_class_does_not_state_its_inputs(keras, save):
    @keras.saving.register_keras_serializable("here")
    class Own(keras.Model):  # type: ignore[name-defined]
        def call(self, x):
            return x

    net = Own()
    net(A)
    try:
        with pytest.raises(RuntimeRefusedError, match=r"m\.keras: Own is a class of its own and does not state its in"):
            load("keras", save(net))
    finally:
        keras.saving.get_custom_objects().pop("here>Own")


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: {},
        lambda config: config | {"class_name": "Nonsense"},
        lambda config: config | {"class_name": "Dense", "module": "keras.layers"},
        lambda config: config | {"config": 5},
        lambda config: config | {"config": {"layers": 7}},
        lambda config: config | {"config": {"layers": [{"class_name": "Dense"}]}},
        lambda config: config | {"module": "keras.src.utils.file_utils", "class_name": "get_file"},
    ],
)
def test_a_config_that_keras_cannot_build(keras, save, changed, edit):
    path = changed(save(sequential(keras)), edit)
    with pytest.raises(RuntimeRefusedError, match=r"changed\.keras: ") as caught:
        load("keras", path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(path))


def test_weights_that_are_missing_or_of_another_model(keras, save, changed):
    path = save(sequential(keras))
    with pytest.raises(RuntimeRefusedError, match=r"keras refuses it: Expected a model\.weights\.h5"):
        load("keras", changed(path, without=["model.weights.h5"]))

    def edit(config):
        config["config"]["layers"][1]["config"]["units"] = 3
        return config

    with pytest.raises(RuntimeRefusedError, match=r"changed\.keras: keras refuses it: .*shape"):
        load("keras", changed(path, edit))


def test_damaged_weights(keras, save, changed):
    path = save(sequential(keras))
    content = path.read_bytes()
    kernel = load_model(path).layers[0].kernel.numpy().tobytes()
    assert content.count(kernel) == 1
    path.write_bytes(content.replace(kernel, bytes(len(kernel))))
    with pytest.raises(RuntimeRefusedError, match=r"its entry 'model\.weights\.h5' does not fit its checksum"):
        load("keras", path)
    path.write_bytes(content)
    for weights in (b"", b"no HDF5 file", content[content.index(b"\x89HDF") :][:3000]):
        copy = changed(path, without=["model.weights.h5"])
        with zipfile.ZipFile(copy, "a") as archive:
            archive.writestr("model.weights.h5", weights)
        with pytest.raises(RuntimeRefusedError, match=r"changed\.keras: keras refuses it: ") as caught:
            load("keras", copy)
        assert "\n" not in str(caught.value)


def test_truncated_and_no_model(keras, save, halved, tmp_path):
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: damaged or not a \.keras file"):
        load("keras", halved(save(sequential(keras))))
    for content in (b"", b"hello world\n"):
        (tmp_path / "text.keras").write_bytes(content)
        with pytest.raises(RuntimeRefusedError, match=r"text\.keras: damaged or not a \.keras file"):
            load("keras", tmp_path / "text.keras")


def test_names_and_folders(keras, save, tmp_path):
    path = save(sequential(keras))
    with pytest.raises(RuntimeRefusedError, match=r"m\.h5: Keras loads a file whose name ends in \.keras; rename it"):
        load("keras", path.rename(tmp_path / "m.h5"))
    with pytest.raises(UsageError, match="a folder, not a model file"):
        load("keras", tmp_path)


def test_another_backend_is_refused(keras, save, monkeypatch):
    path = save(sequential(keras))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeRefusedError, match=r"Keras runs on jax in this process; set KERAS_BACKEND=tensorflow"):
        load("keras", path)


def test_it_is_quiet_and_chooses_tensorflow(keras, save, python):
    path = save(sequential(keras))
    source = f"""
import os, subprocess, sys
program = '''
import sys
from pathlib import Path
import numpy as np
import runtimes
with runtimes.load("keras", Path({str(path)!r})) as session:
    session.run({{"x": np.ones((1, 2), np.float32)}})
print(sys.modules["keras"].backend.backend(), "torch" in sys.modules)
'''
quiet = {{name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}}
done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=quiet)
print(done.stdout + done.stderr, end="")
"""
    assert python(source) == "tensorflow False\n"
