"""Every TFLite file of the export: what is in it, what it answers, and what its manifest says of it."""

import importlib.metadata
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.files import sha256
from contract.golden import read_golden
from contract.store import Format, check_files, read_manifest
from export.recipes import Recipe, load_recipes
from models.or_gate.spec import SPEC

pytestmark = [
    pytest.mark.slow,  # TensorFlow
    # Its converter uses, for calibration, an interpreter that it tells everybody else not to use.
    pytest.mark.filterwarnings(r"ignore:\s*Warning. tf\.lite\.Interpreter is deprecated:UserWarning"),
]

NETWORKS = [network.name for network in SPEC.networks]
RECIPES = {recipe.name: recipe for recipe in load_recipes()}
FILES = [f"{network}.{recipe}" for network, recipe in itertools.product(NETWORKS, RECIPES)]
RUNTIMES = ("tflite_runtime", "ai_edge_litert")
TABLE = {(0.0, 0.0): 0, (0.0, 1.0): 1, (1.0, 0.0): 1, (1.0, 1.0): 1}
MARGIN = 0.1


@pytest.fixture(scope="module", params=FILES)
def name(request) -> str:
    value: str = request.param
    return value


@pytest.fixture
def recipe(name) -> Recipe:
    return RECIPES[name.partition(".")[2]]


@pytest.fixture
def tflite(exported, name) -> Path:
    path: Path = exported / "tflite" / f"or_gate_{name}.tflite"
    return path


@pytest.fixture
def manifest(tflite):
    return read_manifest(tflite.with_suffix(".json"))


def parsed(path):
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def names_of(enumeration) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def operators(model) -> list[tuple[str, Any]]:
    from tensorflow.lite.python import schema_py_generated as schema

    builtin = names_of(schema.BuiltinOperator)
    [graph] = model.subgraphs
    return [(builtin[model.operatorCodes[operator.opcodeIndex].builtinCode], operator) for operator in graph.operators]


def dense_weights(model):
    [graph] = model.subgraphs
    return [graph.tensors[operator.inputs[1]] for kind, operator in operators(model) if kind == "FULLY_CONNECTED"]


def test_every_network_and_recipe_is_there_and_nothing_else(exported):
    names = {path.name for path in (exported / "tflite").iterdir()}
    assert names == {f"or_gate_{name}.{end}" for name in FILES for end in ("tflite", "json")}


def test_only_built_in_operators_are_used(tflite):
    model = parsed(tflite)
    kinds = {kind for kind, _ in operators(model)}
    assert {"FULLY_CONNECTED", "LOGISTIC"} <= kinds <= {"FULLY_CONNECTED", "LOGISTIC", "QUANTIZE", "DEQUANTIZE"}
    assert [code.customCode for code in model.operatorCodes if code.customCode] == []


def test_the_border_has_the_specs_names_the_recipes_dtype_and_a_dynamic_batch(tflite, recipe):
    from tensorflow.lite.python import schema_py_generated as schema

    model = parsed(tflite)
    [signature], [graph] = model.signatureDefs, model.subgraphs
    assert signature.signatureKey == b"serving_default"
    dtypes = names_of(schema.TensorType)
    border = {
        tensor.name.decode(): (
            dtypes[graph.tensors[tensor.tensorIndex].type].lower(),
            graph.tensors[tensor.tensorIndex].shapeSignature.tolist(),
        )
        for tensor in (*signature.inputs, *signature.outputs)
    }
    assert border == {"x": (recipe.border.value, [-1, 2]), "y": (recipe.border.value, [-1, 1])}


def test_weights_are_of_the_recipes_dtype(tflite, recipe):
    from tensorflow.lite.python import schema_py_generated as schema

    dtypes = names_of(schema.TensorType)
    model = parsed(tflite)
    [graph] = model.subgraphs
    constants = {
        dtypes[tensor.type].lower() for tensor in graph.tensors if model.buffers[tensor.buffer].data is not None
    }
    # Dynamic range leaves weights of fewer than 1,024 elements in float.
    assert ("float32" if recipe.name == "dynamic" else recipe.weights.value) in constants
    assert ("float32" in constants) == (recipe.name in {"float32", "dynamic"})


def test_dense_weights_are_quantized_per_tensor(tflite, recipe):
    weights = dense_weights(parsed(tflite))
    assert len(weights) == 2
    scales = [
        0 if w.quantization is None or w.quantization.scale is None else len(w.quantization.scale) for w in weights
    ]
    assert scales == ([1, 1] if recipe.needs_calibration else [0, 0])


def converted(recipe, exported, out: Path) -> Path:
    from export.tflite import convert_tflite
    from pipeline.spec import write_spec

    out.mkdir()
    folder = exported / "serving" / "or_gate_pytorch" / "1"
    write_spec(out=out, spec=SPEC.to_dict())
    convert_tflite(out=out, spec=out / "spec.json", saved_model=folder, recipe=recipe.to_dict(), is_optional=False)
    return out / "model.tflite"


def test_per_channel_dense_weights_would_have_a_scale_for_each_output(exported, tmp_path):
    """TFLite 2.9 and its kin answer such a file wrongly without an error; a recipe has to ask for it."""
    asked = Recipe.from_dict({**RECIPES["int8"].to_dict(), "per_channel_dense": True})
    weights = dense_weights(parsed(converted(asked, exported, tmp_path / "per_channel")))
    assert sorted(len(weight.quantization.scale) for weight in weights) == [1, 2]


def test_converting_again_gives_the_published_bytes(exported, tmp_path):
    again = converted(RECIPES["int8"], exported, tmp_path / "again")
    assert again.read_bytes() == (exported / "tflite" / "or_gate_pytorch.int8.tflite").read_bytes()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_or_table_is_right_with_a_margin_in_every_file(exported, answers, runtime):
    pytest.importorskip(runtime, reason=f"{runtime} is not installed here")
    files = {name: exported / "tflite" / f"or_gate_{name}.tflite" for name in FILES}
    replies = answers(runtime, files, [list(point) for point in TABLE])
    assert list(replies) == FILES
    for name, reply in replies.items():
        dtype = RECIPES[name.partition(".")[2]].border.value
        assert reply["border"] == [["x", dtype, 2, 1], ["y", dtype, 2, 1]]
        for (point, label), [y] in zip(TABLE.items(), reply["y"], strict=True):
            assert y < 0.5 - MARGIN if label == 0 else y > 0.5 + MARGIN, f"{name} answers {y} for {point}"


@pytest.mark.parametrize(("low", "high", "wrong_at"), [(0.25, 0.75, (0.0, 0.0)), (0.0, 0.25, (1.0, 1.0))])
def test_calibration_that_does_not_reach_a_corner_is_wrong_there(
    exported, answers, monkeypatch, tmp_path, low, high, wrong_at
):
    from models.or_gate import data

    seen = [call for call in data.representative_dataset() if call["x"].min() >= low and call["x"].max() <= high]
    monkeypatch.setattr(data, "representative_dataset", lambda: iter(seen))
    cornerless = converted(RECIPES["int8"], exported, tmp_path / "cornerless")
    files = {"ours": exported / "tflite" / "or_gate_pytorch.int8.tflite", "cornerless": cornerless}
    replies = answers("ai_edge_litert", files, [list(wrong_at)])
    vectors = read_golden(exported / "golden" / "or_gate_pytorch.json").vectors
    [golden] = [vector.outputs["y"].item() for vector in vectors if tuple(vector.inputs["x"][0]) == wrong_at]
    off = {name: abs(reply["y"][0][0] - golden) for name, reply in replies.items()}
    # A step of the output is 1/256; inside the calibrated range two of them are seen.
    assert off["ours"] < 3 / 256 < MARGIN < off["cornerless"]


def test_a_keras_model_inside_a_module_would_leave_its_weights_out_of_the_file(tmp_path):
    """Why plain variables are saved: such a file converts, and answers from memory that nobody filled.

    Fails with a TensorFlow that repaired it: then the model itself can be saved.
    """
    import tensorflow as tf

    from models.or_gate import keras_net

    module = tf.Module()
    module.net = net = keras_net.build()
    predict = tf.function(
        lambda x: {"y": net(x)}, input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")], autograph=False
    )
    tf.saved_model.save(module, tmp_path / "saved_model", signatures={"serving_default": predict})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "saved_model"), signature_keys=["serving_default"]
    )
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    kinds = [kind for kind, _ in operators(parsed(tmp_path / "model.tflite"))]
    assert kinds.count("READ_VARIABLE") == len(net.variables)


def test_the_manifest_has_the_files_digest_and_the_recipe(tflite, manifest, recipe):
    check_files(manifest, tflite.parent)
    assert (manifest.format, manifest.model) == (Format.TFLITE, "or_gate")
    assert {name: record.sha256 for name, record in manifest.files.items()} == {tflite.name: sha256(tflite)}
    assert manifest.details["recipe"] == recipe.to_dict()


def test_the_manifest_has_the_scales_of_the_border(tflite, manifest):
    model = parsed(tflite)
    [signature], [graph] = model.signatureDefs, model.subgraphs
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for described, tensor in zip(manifest.details[side], tensors, strict=True):
            quantization = graph.tensors[tensor.tensorIndex].quantization
            assert described["name"] == tensor.name.decode()
            if quantization is None or quantization.scale is None:
                assert described["quantization"] is None
            else:
                # The file has float32, the manifest the same number as a double.
                assert np.float32(described["quantization"]["scale"]) == quantization.scale[0]
                assert described["quantization"]["zero_point"] == quantization.zeroPoint[0]


def test_the_manifest_tells_the_parity_of_every_hop_in_every_runtime(manifest, name, recipe):
    converted = ["to_onnx", "to_tensorflow"] if name.startswith("pytorch.") else []
    hops = ["train", *converted, "saved_model", f"tflite.{recipe.name}"]
    assert [entry["hop"] for entry in manifest.parity] == hops
    runtimes = [[check["runtime"] for check in entry["checks"]] for entry in manifest.parity]
    before = [["onnxruntime"], ["tensorflow_c"]] if converted else []
    own = SPEC.network(name.partition(".")[0]).framework.value
    assert runtimes == [[own], *before, ["tensorflow_c"], list(RUNTIMES)]
    for entry in manifest.parity:
        for check in entry["checks"]:
            assert check["verdict"] in {"verified", "absent"}
            if check["verdict"] == "verified":
                assert check["max_abs_diff"] <= check["tolerance"]["atol"] == SPEC.tolerance(entry["hop"]).atol
                assert "answers" not in check


def test_the_manifest_has_the_digests_of_what_the_file_was_made_from(exported, manifest, name):
    network = name.partition(".")[0]
    files = {"weights": f"train.{network}/*/weights.safetensors", "golden": "golden.oracle/*/golden.json"}
    if network == "pytorch":
        files |= {"onnx": "to_onnx.pytorch/*/model.onnx", "onnx_info": "to_onnx.pytorch/*/onnx.json"}
    digests = {}
    for made_from, pattern in files.items():
        [path] = (exported / "cache" / "or_gate").glob(pattern)
        digests[made_from] = sha256(path)
    assert manifest.made_from == digests


def test_the_manifest_has_an_opset_only_behind_onnx_and_every_library(manifest, name):
    if name.startswith("pytorch."):
        assert isinstance(manifest.opset, int)
        assert manifest.opset >= 18
    else:
        assert manifest.opset is None
    assert {"tensorflow", "torch", "onnx", "onnx-tf", "keras", "numpy"} <= set(manifest.libraries)
    assert manifest.libraries == {library: importlib.metadata.version(library) for library in manifest.libraries}
    assert manifest.config["seed"] == 0
