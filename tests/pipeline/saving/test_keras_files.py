"""Weights and models of Keras, bit for bit through each kind of file."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from contract.errors import FormatError, SpecError, UsageError

pytestmark = pytest.mark.slow  # Keras and TensorFlow

SUFFIXES = (".weights.h5", ".safetensors")


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def files():
    """The module, which imports Keras."""
    from pipeline.saving import keras_files

    return keras_files


@pytest.fixture(params=SUFFIXES)
def suffix(request) -> str:
    name: str = request.param
    return name


@pytest.fixture
def build(keras):
    """Layers with weights that are trained and such that are not, seeds, a table, other dtypes."""

    def built(seed=0, units=4):
        keras.utils.set_random_seed(seed)
        a = keras.Input((3,), name="a")
        b = keras.Input((None,), name="b", dtype="int64")
        h = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(units, name="one", dtype="float64")(a))
        table = keras.layers.Embedding(7, units, name="table", dtype="bfloat16")
        mean = keras.layers.GlobalAveragePooling1D(name="mean")(table(b))
        inner = keras.Sequential([keras.Input((units,)), keras.layers.Dense(2, name="two")], name="inner")
        y = inner(keras.layers.Dropout(0.5, name="drop")(keras.layers.Add(name="sum")([h, mean])))
        net = keras.Model({"a": a, "b": b}, {"y": y, "h": h}, name="net")
        random = np.random.default_rng(seed)
        for variable in net.weights:
            variable.assign(random.standard_normal(variable.shape))
        return net

    return built


def bits(net):
    import keras

    return {variable.path: keras.ops.convert_to_numpy(variable).tobytes() for variable in net.weights}


def test_weights_come_back_bit_for_bit(build, files, suffix, tmp_path):
    net, other = build(1), build(2)
    assert bits(net) != bits(other)
    path = tmp_path / f"net{suffix}"
    files.save_weights(path, net)
    files.load_weights(path, other)
    assert bits(net) == bits(other)
    assert len({len(value) for value in bits(net).values()}) > 3
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    files.save_weights(tmp_path / f"again{suffix}", other)
    files.save_weights(path, build(3))  # a file that is there is replaced
    files.load_weights(path, other)
    assert bits(other) == bits(build(3))


def test_special_values_stay(keras, files, suffix, tmp_path):
    def scale():
        net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False, name="d")], name="net")
        return net, net.layers[0].kernel

    net, kernel = scale()
    kernel.assign(np.array([[np.nan], [-np.inf], [-0.0], [1e-45]], np.float32))
    files.save_weights(tmp_path / f"net{suffix}", net)
    other, _ = scale()
    files.load_weights(tmp_path / f"net{suffix}", other)
    assert bits(net) == bits(other)


def test_safetensors_go_by_the_path_and_pass_over_seeds(build, files, tmp_path):
    path = tmp_path / "net.safetensors"
    net = build()
    files.save_weights(path, net)
    values = load_file(path)
    assert not [name for name in values if "seed" in name]
    assert values["one/kernel"].dtype == np.float64
    assert values["table/embeddings"].dtype.name == "bfloat16"
    [seed] = [variable.path for variable in net.variables if variable.path not in values]
    save_file(values | {seed: np.array([1, 2], np.uint32)}, path)
    other = build(5)
    files.load_weights(path, other)
    assert bits(other) == bits(net)


def test_a_model_comes_back_bit_for_bit(build, files, tmp_path):
    from runtimes.keras_model import call_by_name, load_model

    net = build(1)
    files.save_model(tmp_path / "net.keras", net)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.keras"]
    loaded = load_model(tmp_path / "net.keras")
    # By their order: the path of a weight in a nested model has not the nested model's name in it any more.
    assert list(bits(loaded).values()) == list(bits(net).values())
    inputs = {"a": np.random.default_rng(0).random((5, 3)), "b": np.array([[0, 6, 1]] * 5)}
    for name, value in call_by_name(net, inputs).items():
        np.testing.assert_array_equal(call_by_name(loaded, inputs)[name], value)
    files.save_model(tmp_path / "net.keras", build(2))
    assert list(bits(load_model(tmp_path / "net.keras")).values()) == list(bits(build(2)).values())


def test_strings_are_taken_as_bytes(keras, files, tmp_path):
    from runtimes.keras_model import call_by_name, load_model

    text = keras.Input((), dtype="string", name="text")
    files.save_model(
        tmp_path / "m.keras", keras.Model(text, keras.layers.StringLookup(vocabulary=["x", "ä"], name="number")(text))
    )
    loaded = load_model(tmp_path / "m.keras")
    answer = call_by_name(loaded, {"text": np.array(["ä".encode(), b"?"], object)})
    assert keras.ops.convert_to_numpy(answer["number"]).tolist() == [2, 0]


def test_a_save_that_fails_leaves_what_was_there(build, files, suffix, tmp_path, monkeypatch):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"old")
    net = build()

    def failing(name, *rest):
        name.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(net), "save_weights", lambda self, name: failing(name))
    monkeypatch.setattr(files, "save_file", lambda values, name: failing(name))
    with pytest.raises(OSError, match="No space left"):
        files.save_weights(path, net)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {path.name: b"old"}


def test_weights_of_another_model(build, files, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    files.save_weights(path, build(units=5))
    with pytest.raises(SpecError, match=rf"net\{suffix}: ") as caught:
        files.load_weights(path, build())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda values: values.pop("one/bias"), "it has no one/bias, which net has"),
        (lambda values: values.update({"x/kernel": np.zeros(2)}), "it has x/kernel, which net has not"),
        (
            lambda values: values.update({"one/bias": np.zeros(4, np.float32)}),
            "one/bias is float32[4], in net it is float64[4]",
        ),
        (
            lambda values: values.update({"inner/two/bias": np.zeros((2, 1), np.float32)}),
            "inner/two/bias is float32[2, 1], in net it is float32[2]",
        ),
    ],
)
def test_nothing_is_set_where_something_does_not_fit(build, files, tmp_path, edit, reason):
    path = tmp_path / "net.safetensors"
    files.save_weights(path, build(1))
    values = load_file(path)
    edit(values)
    save_file(values, path)
    net = build(2)
    with pytest.raises(SpecError) as caught:
        files.load_weights(path, net)
    assert str(caught.value) == f"{path}: {reason}"
    assert bits(net) == bits(build(2))


def test_truncated(build, files, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    files.save_weights(path, build())
    content = path.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError, match=rf"net\{suffix}: .*damaged") as caught:
            files.load_weights(path, build())
        assert "\n" not in str(caught.value)


def test_a_layer_that_keeps_its_random_weights_is_an_error(keras, files, tmp_path):
    """Keras warns of it: files of older versions have not the weights of layers in lists of lists."""
    h5py = pytest.importorskip("h5py")

    class Holder(keras.layers.Layer):  # type: ignore[name-defined]
        def __init__(self, **more):
            super().__init__(**more)
            self.blocks = [[keras.layers.Dense(1)]]

        def build(self, shape):
            self.blocks[0][0].build(shape)

        def call(self, x):
            return self.blocks[0][0](x)

    net = keras.Sequential([keras.Input((1,)), Holder()], name="net")
    path = tmp_path / "net.weights.h5"
    files.save_weights(path, net)
    files.load_weights(path, net)
    with h5py.File(path, "a") as file:
        del file["layers/holder/blocks/container"]
    with pytest.raises(SpecError, match=r"its weights do not fit net: .*freshly-initialized weights"):
        files.load_weights(path, net)


def test_two_variables_of_one_path(keras, files, tmp_path):
    class Twice(keras.layers.Layer):  # type: ignore[name-defined]
        def build(self, shape):
            self.first, self.second = (self.add_weight(shape=(1,), name="same") for _ in range(2))

        def call(self, x):
            return x

    net = keras.Sequential([keras.Input((1,)), Twice(name="twice")], name="net")
    with pytest.raises(
        SpecError, match="net: several weights have the path net/twice/same; give the layers other names"
    ):
        files.save_weights(tmp_path / "net.safetensors", net)
    assert not list(tmp_path.iterdir())


def test_names_and_files_that_are_not_there(keras, build, files, tmp_path):
    net = build()
    for name in ("net.h5", "net.npz", "weights"):
        with pytest.raises(UsageError, match=rf"{name}: a file of Keras weights has a name that ends in \.weights\.h5"):
            files.save_weights(tmp_path / name, net)
        (tmp_path / name).write_bytes(b"something")
        with pytest.raises(UsageError, match=r"or \.safetensors"):
            files.load_weights(tmp_path / name, net)
    with pytest.raises(UsageError, match=r"net\.h5: Keras saves a model under a name that ends in \.keras"):
        files.save_model(tmp_path / "net.h5", net)
    with pytest.raises(UsageError, match="there is no such file"):
        files.load_weights(tmp_path / "absent.safetensors", net)
    unbuilt = keras.Sequential([keras.layers.Dense(1)], name="empty")
    with pytest.raises(SpecError, match="empty: the model is not built"):
        files.save_weights(tmp_path / "empty.weights.h5", unbuilt)
