"""What is told of a .keras file without Keras."""

import json
import subprocess
import sys
import zipfile
from typing import Any

import pytest

from contract.errors import FormatError
from inspection import Kind, inspect, kind_of, zip_archive


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


SAVE = """
import sys, keras

class Own(keras.layers.Layer):
    def call(self, x):
        return x

class Loss(keras.losses.MeanSquaredError):
    pass

a = keras.Input((3,), name="a")
b = keras.Input((None,), dtype="int64", name="b")
encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="one"), keras.layers.Dense(2, name="two")])
encoder.name = "encoder"
table = keras.layers.Embedding(5, 4, name="table", dtype="mixed_float16")(b)
net = keras.Model({"b": b, "a": a}, [Own(name="own")(encoder(a)), table], name="net")
net.compile("sgd", Loss())
net.save(sys.argv[1])
print(keras.__version__, net.count_params())
"""


@pytest.mark.slow
def test_what_keras_writes_is_read(tmp_path):
    path = tmp_path / "net.keras"
    done = subprocess.run([sys.executable, "-c", SAVE, path], check=True, capture_output=True, text=True)
    version, parameters = done.stdout.split()
    found = look_into(path).content
    assert (found.keras, found.model, found.name) == (version, "Functional", "net")
    assert found.saved.startswith("20")
    assert [(one.direction, one.name, one.dtype, one.shape) for one in found.inputs] == [
        ("input", "a", "float32", ("batch", 3)),
        ("input", "b", "int64", ("batch", "?")),
    ]
    assert {one.operator: one.count for one in found.operators} == {
        "InputLayer": 3,
        "Dense": 2,
        "Embedding": 1,
        "Own": 1,
    }
    layers = {one.layer: (one.operator, one.dtype) for one in found.layers}
    assert layers["encoder/two"] == ("Dense", "float32")
    assert layers["table"] == ("Embedding", "mixed_float16")
    assert found.weight_bytes > 4 * int(parameters)
    assert found.needed_modules == ("__main__",)  # of Own; it is loaded without what it was compiled with
    assert {one.file for one in found.files} == {"metadata.json", "config.json", "model.weights.h5"}


def layer(name, class_name="Dense", *, module="keras.layers", **config):
    return {"module": module, "class_name": class_name, "config": {"name": name, **config}}


def sequential(*layers, **more):
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}, **more}


USUAL: tuple[tuple[str, str | bytes], ...] = (("metadata.json", "{}"), ("model.weights.h5", bytes(100)))


@pytest.fixture
def write(tmp_path):
    """A .keras file with this config and these other entries."""

    def written(config: Any, *extra: tuple[str, str | bytes], name="m.keras", method=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
            for entry, content in extra or USUAL:
                archive.writestr(entry, content)
        return tmp_path / name

    return written


def test_it_is_known_under_any_name(write, tmp_path):
    path = write(sequential(), name="m.bin")
    assert kind_of(path) is Kind.KERAS
    assert look_into(path).content.name == "net"
    assert kind_of(path.rename(tmp_path / "m.pt")) is Kind.KERAS
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FormatError, match="of no kind that is known here"):
        kind_of(tmp_path / "other.zip")


def test_older_and_sparser_configs(write):
    found = look_into(
        write(sequential(layer("a", dtype="float16"), layer("b")), ("model.weights.npz", bytes(7)))
    ).content
    assert (found.keras, found.saved, found.weight_bytes, found.inputs) == ("", "", 7, ())
    assert [(one.layer, one.dtype) for one in found.layers] == [("a", "float16"), ("b", "")]


def test_a_model_of_another_class_states_no_layers(write):
    config = {"module": "my.nets", "class_name": "Net", "config": {"width": 3}, "registered_name": "my>Net"}
    found = look_into(write(config)).content
    assert (found.model, found.layers, found.inputs, found.needed_modules) == ("Net", (), (), ("my.nets",))


def test_needed_modules(write):
    relu = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "relu"}
    odd = {"module": "os", "class_name": "function", "config": "system"}
    config = sequential(
        layer("a", activation=relu),
        layer("b", kernel_initializer=[{"x": odd}]),
        layer("c", module="keras_hub.src.layers"),
        layer("d", module="keras.src.layers.core"),
        compile_config={"loss": layer("e", module="my.losses")},
    )
    assert look_into(write(config)).content.needed_modules == ("keras_hub.src.layers", "os")


@pytest.mark.parametrize(
    "config",
    [
        [],
        {},
        {"class_name": "Net"},
        {"class_name": "Net", "config": 3},
        sequential(3),
        sequential({"config": {}}),
        sequential(layer("a", dtype={"config": 3})),
        {"class_name": "Functional", "config": {"layers": [], "input_layers": []}},
        {"class_name": "Functional", "config": {"layers": [], "input_layers": [["absent", 0, 0]]}},
        {"class_name": "Functional", "config": {"layers": [], "input_layers": 5}},
        sequential(layer("x", "InputLayer", batch_shape=["wide"])),
    ],
)
def test_another_form_is_named(write, config):
    with pytest.raises(FormatError, match=r"m\.keras: a damaged Keras file: its config has not the form of Keras's: "):
        look_into(write(config))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("<html>", r"its config\.json is no JSON: "),
        (b"\xff", r"its config\.json is no JSON: "),
        ('{"a": 1, "a": 2}', r"its config\.json is no JSON: the key 'a' stands there twice"),
        ("[" * 100_000, r"its config\.json is nested too deeply"),
    ],
)
def test_a_config_that_is_no_json(write, config, reason):
    with pytest.raises(FormatError, match=rf"m\.keras: a damaged Keras file: {reason}"):
        look_into(write(config))


def test_models_within_models_without_end(write):
    config = sequential(layer("a"))
    for _ in range(300):
        config = sequential(config)
    assert look_into(write(config)).content.layers[0].layer == "net/" * 300 + "a"


@pytest.mark.parametrize("name", ["../evil", "assets/../../evil", "/evil", "assets\\..\\evil"])
def test_an_entry_outside_the_archive(write, name):
    with pytest.raises(FormatError, match=r"its entry '.*evil' lies outside the archive"):
        look_into(write(sequential(), ("metadata.json", "{}"), (name, "")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_there_twice(write):
    with pytest.raises(FormatError, match=r"its entry 'config\.json' stands there twice"):
        look_into(write(sequential(), ("metadata.json", "{}"), ("config.json", "{}")))


def test_a_bomb_is_not_unpacked(write, monkeypatch):
    monkeypatch.setattr(zip_archive, "MAX_JSON_BYTES", 100_000)
    path = write("[" + " " * 200_000 + "]", method=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match=r"its config\.json unpacks to 200,002 bytes; over 100,000 are not read"):
        look_into(path)
    path = write(sequential(), ("metadata.json", "[" + " " * 99_997 + "]"), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match=r"its metadata\.json unpacks to 99,999 bytes"):
        look_into(path)


def test_a_method_that_unpacks_without_end(write):
    with pytest.raises(FormatError, match=r"its config\.json is compressed by method 12, neither stored nor deflated"):
        look_into(write(sequential(), method=zipfile.ZIP_BZIP2))


def test_truncated(write):
    path = write(sequential(layer("a")))
    content = path.read_bytes()
    for size in range(1, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError, match=r"m\.keras: a damaged Keras file: its zip directory is damaged: "):
            look_into(path)
    path.write_bytes(content.replace(b"Sequential", b"Sequentiam"))
    with pytest.raises(FormatError, match=r"its config\.json cannot be unpacked: Bad CRC-32"):
        look_into(path)
