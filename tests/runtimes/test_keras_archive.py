"""What is found wrong with a .keras file before Keras sees it; no framework is imported."""

import json
import stat
import zipfile

import pytest

from contract.errors import RuntimeRefusedError
from runtimes import keras_archive
from runtimes.keras_archive import Foreign, check_keras


def one(class_name, *, module="keras.layers", **more):
    return {"module": module, "class_name": class_name, "config": {}, "registered_name": None, **more}


def net(*layers, **more):
    return one("Sequential", module="keras", **more) | {"config": {"name": "net", "layers": list(layers)}}


@pytest.fixture
def write(tmp_path):
    """A .keras file with this config and these other entries."""

    def written(config, *extra, method=zipfile.ZIP_STORED):
        path = tmp_path / "m.keras"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in [("metadata.json", "{}"), ("model.weights.h5", bytes(100)), *extra]:
                archive.writestr(name, content)
            if config is not None:
                archive.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        return path

    return written


def test_a_net_of_keras_s_own_layers_needs_nothing_more(write):
    dense = one("Dense") | {"config": {"activation": one("function", module="builtins") | {"config": "relu"}}}
    assert check_keras(write(net(one("InputLayer"), dense))) == ()


def test_foreign_classes_and_functions_are_named_once_and_in_order(write):
    scale = one("Scale", module="my.layers", registered_name="mine>Scale")
    function = one("function", module="os") | {"config": "system", "registered_name": "system"}
    hub = one("Backbone", module="keras_hub.src.models", registered_name="keras_hub>Backbone")
    lookalike = one("Evil", module="keras_evil")
    inner = net(scale, {"name": "seen", "config": [one("Dense") | {"config": {"activation": function}}]})
    assert check_keras(write(net(scale, inner, hub, lookalike))) == (
        Foreign("my.layers.Scale", "mine>Scale"),
        Foreign("os.system", "system"),
        Foreign("keras_evil.Evil", "None"),
    )


def test_so_are_those_of_a_main_program_and_registered_functions_which_have_no_module(write):
    scale = one("Scale", module=None, registered_name="mine>Scale")
    function = one("function", module="builtins") | {"config": "mine>act", "registered_name": "function"}
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 2]}}
    old = {"class_name": "GlorotUniform", "config": {"seed": None}}
    dense = one("Dense") | {"config": {"activation": function, "kernel_initializer": old}, "inbound_nodes": [tensor]}
    assert check_keras(write(net(scale, dense))) == (
        Foreign("Scale", "mine>Scale"),
        Foreign("mine>act", "mine>act"),
    )


def test_what_a_net_was_compiled_with_counts_for_nothing(write):
    compiled = {"loss": one("Curious", module="my.losses")}
    assert check_keras(write(net(compile_config=compiled))) == ()
    # Of a net within the net it does: Keras builds that.
    assert [entry.name for entry in check_keras(write(net(net(compile_config=compiled))))] == ["my.losses.Curious"]


@pytest.mark.parametrize(
    "layer",
    [
        one("Lambda"),
        one("Lambda", module=None),
        one("Dense") | {"config": {"activation": {"class_name": "__lambda__", "config": {"value": "4wEA"}}}},
    ],
)
def test_a_lambda_layer_is_code(write, layer):
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: it has a Lambda layer, which is Python code and is not"):
        check_keras(write(net(net(layer))))


@pytest.mark.parametrize("name", ["../evil", "assets/../../evil", "/evil", "assets\\..\\evil", "C:evil"])
def test_an_entry_outside_the_archive(write, name):
    with pytest.raises(RuntimeRefusedError, match=r"m\.keras: its entry '.*evil' lies outside the archive"):
        check_keras(write(net(), (name, "")))


def test_a_link(write):
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(RuntimeRefusedError, match="its entry 'assets/link' is a link"):
        check_keras(write(net(), (link, "/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_there_twice(write):
    with pytest.raises(RuntimeRefusedError, match=r"its entry 'config\.json' stands there twice"):
        check_keras(write(net(), ("config.json", "{}")))


def test_a_bomb(write):
    with pytest.raises(RuntimeRefusedError, match=r"'assets/zeros' takes .* and unpacks to 2,000,000, a zip bomb"):
        check_keras(write(net(), ("assets/zeros", bytes(2_000_000)), method=zipfile.ZIP_DEFLATED))
    assert check_keras(write(net(), ("assets/zeros", bytes(1_000_000)), method=zipfile.ZIP_DEFLATED)) == ()


def test_entries_that_share_their_bytes(write):
    """As in the bombs that need no nesting: each entry is small for what it takes, together they are not."""
    path = write(net(), *((f"assets/{letter}", bytes(5_000)) for letter in "ab"))
    content = path.read_bytes()
    size = (5_000).to_bytes(4, "little")
    assert content.count(size) == 8  # what it takes and what it unpacks to, before the entry and in the directory
    path.write_bytes(content.replace(size, (5_500).to_bytes(4, "little")))
    with pytest.raises(RuntimeRefusedError, match=r"its entries overlap: they state more bytes than the 10,\d+ of"):
        check_keras(path)


def test_a_method_that_keras_never_uses(write):
    with pytest.raises(RuntimeRefusedError, match="is compressed by method 14, Keras stores"):
        check_keras(write(net(), method=zipfile.ZIP_LZMA))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, r"no \.keras file: it has no config\.json"),
        ("<html>", r"its config\.json is no JSON: "),
        (b"\xff\xfe\xfd", r"its config\.json is no JSON: "),
        ("[1]", r"its config\.json is no JSON object"),
        ("[" * 100_000, r"its config\.json is nested too deeply"),
    ],
)
def test_a_config_that_is_none(write, config, reason):
    with pytest.raises(RuntimeRefusedError, match=rf"m\.keras: {reason}"):
        check_keras(write(config))


def test_a_config_without_end(write, monkeypatch):
    monkeypatch.setattr(keras_archive, "_MAX_CONFIG_BYTES", 1000)
    with pytest.raises(RuntimeRefusedError, match=r"its config\.json has 2,002 bytes; over 1,000 are not read"):
        check_keras(write("[" + " " * 2000 + "]"))


def test_every_truncation_is_found(write):
    path = write(net(one("Dense")))
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(RuntimeRefusedError, match=r"m\.keras: damaged or not a \.keras file: "):
            check_keras(path)


def test_a_flipped_bit_of_the_config_is_found_by_its_checksum(write):
    path = write(net(one("Dense")))
    path.write_bytes(path.read_bytes().replace(b"Sequential", b"Sequentiam"))
    with pytest.raises(RuntimeRefusedError, match=r"damaged or not a \.keras file: Bad CRC-32"):
        check_keras(path)


def test_so_is_one_of_the_weights_which_keras_would_load(write):
    path = write(net(), ("assets/table", b"a weight"))
    path.write_bytes(path.read_bytes().replace(b"a weight", b"b weight"))
    with pytest.raises(RuntimeRefusedError, match="damaged: its entry 'assets/table' does not fit its checksum"):
        check_keras(path)


def test_an_encrypted_entry(write):
    path = write(net())
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    with pytest.raises(RuntimeRefusedError, match="is encrypted"):
        check_keras(path)
