"""onnx-tf on what torch's exporters write, and what stands in for two packages that it imports."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,  # TensorFlow and PyTorch
    # onnx-tf 1.10.0 is not maintained: it asks onnx for what will be gone in a later one.
    pytest.mark.filterwarnings(r"ignore:`mapping\.TENSOR_TYPE_TO_NP_TYPE` is now deprecated:DeprecationWarning"),
]

ROOT = Path(__file__).parents[3]
STAND_INS = {
    "tensorflow_addons": "seq2seq",
    "tensorflow_probability": "distributions",
}


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory):
    program = """
import sys
from pathlib import Path
from safetensors.numpy import save_file
from models.or_gate.spec import SPEC
from models.or_gate.training import initial_weights
from pipeline.spec import write_spec
from pipeline.to_onnx import export_onnx

folder = Path(sys.argv[1])
write_spec(out=folder, spec=SPEC.to_dict())
save_file(initial_weights(0), folder / "weights.safetensors")
for exporter in ("dynamo", "torchscript"):
    (folder / exporter).mkdir()
    export_onnx(out=folder / exporter, spec=folder / "spec.json", weights=folder / "weights.safetensors",
                network="pytorch", exporter=exporter, opset=None)
"""
    folder = tmp_path_factory.mktemp("onnx")
    subprocess.run([sys.executable, "-c", program, folder], cwd=ROOT, check=True, capture_output=True)
    return folder


def graph_of(operator: str, opset: int = 18):
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [4], [1.0] * 4)
    inputs = ["x", "scale"] if operator == "LayerNormalization" else ["x"]
    node = helper.make_node(operator, inputs, ["y"], name="the node")
    graph = helper.make_graph([node], "graph", [x], [y], [scale] if len(inputs) > 1 else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_names_and_the_dynamic_batch_of_each_exporter_are_kept(onnx_files, exporter, tmp_path):
    import onnx
    import tensorflow as tf

    from pipeline.to_tensorflow.with_onnx_tf import convert

    convert(onnx.load(onnx_files / exporter / "model.onnx"), tmp_path / "saved_model")
    signature = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    assert {name: spec.shape.as_list() for name, spec in signature.structured_input_signature[1].items()} == {
        "x": [None, 2]
    }
    assert {name: spec.shape.as_list() for name, spec in signature.structured_outputs.items()} == {"y": [None, 1]}
    assert [signature(x=tf.zeros((size, 2)))["y"].shape[0] for size in (1, 7)] == [1, 7]


@pytest.mark.parametrize(
    ("operator", "opset"), [("Mish", 18), ("LayerNormalization", 18), ("Gelu", 20), ("Nonsense", 18)]
)
def test_an_operator_that_onnx_tf_does_not_know_is_named_with_its_domain_opset_and_node(operator, opset, tmp_path):
    from contract.errors import UnsupportedOpError
    from pipeline.to_tensorflow.with_onnx_tf import convert

    with pytest.raises(UnsupportedOpError) as caught:
        convert(graph_of(operator, opset), tmp_path / "saved_model")
    assert str(caught.value) == (
        f"onnx-tf cannot convert the file: {operator} is not implemented (domain ai.onnx, opset {opset}, "
        "node 'the node')"
    )


def test_a_version_of_an_operator_that_onnx_tf_does_not_know_is_named(tmp_path):
    from contract.errors import UnsupportedOpError
    from pipeline.to_tensorflow.with_onnx_tf import convert

    # Gelu is new in opset 20, so that the model cannot be lowered to one where Identity is an older version.
    model = graph_of("Gelu", 20)
    model.graph.node[0].output[0] = "z"
    model.graph.node.add(op_type="Reshape", name="shape", input=["z", "size"], output=["y"])
    model.graph.initializer.add(name="size", data_type=7, dims=[2], int64_data=[-1, 4])
    model.graph.node.insert(0, model.graph.node.pop())
    with pytest.raises(UnsupportedOpError) as caught:
        convert(model, tmp_path / "saved_model")
    assert "Reshape version 19 is not implemented (domain ai.onnx, opset 20, node 'shape')" in str(caught.value)
    assert str(caught.value).endswith("; 1 other nodes are not either")


def test_a_newer_opset_is_lowered_where_the_model_is_valid_there_too(tmp_path):
    import tensorflow as tf

    from pipeline.to_tensorflow.with_onnx_tf import convert

    model = graph_of("Relu", 21)
    model.graph.node[0].output[0] = "z"
    model.graph.node.add(op_type="Reshape", name="shape", input=["z", "size"], output=["y"])
    model.graph.initializer.add(name="size", data_type=7, dims=[2], int64_data=[-1, 4])
    convert(model, tmp_path / "saved_model")
    predict = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    assert predict(x=tf.constant([[-1.0, 2, -3, 4]]))["y"].numpy().tolist() == [[0, 2, 0, 4]]


def test_an_operator_that_needs_an_absent_package_says_which(tmp_path):
    from contract.errors import ConversionError
    from pipeline.to_tensorflow.with_onnx_tf import convert

    with pytest.raises(ConversionError) as caught:
        convert(graph_of("Hardmax"), tmp_path / "saved_model")
    assert "onnx-tf needs tensorflow_addons.seq2seq.hardmax, which no longer exists" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_stand_ins_are_there_only_while_onnx_tf_runs(onnx_files, monkeypatch, tmp_path):
    import onnx

    from contract.errors import ConversionError
    from pipeline.to_tensorflow.with_onnx_tf import _absent_packages, convert

    with _absent_packages():
        import onnx_tf.backend
    assert not STAND_INS.keys() & sys.modules.keys()
    seen = []

    def prepare(model, device):
        seen.append(STAND_INS.keys() & sys.modules.keys())
        raise ValueError("stop")

    monkeypatch.setattr(onnx_tf.backend, "prepare", prepare)
    with pytest.raises(ConversionError, match="stop"):
        convert(onnx.load(onnx_files / "dynamo" / "model.onnx"), tmp_path / "saved_model")
    assert seen == [STAND_INS.keys()]
    assert not STAND_INS.keys() & sys.modules.keys()


@pytest.mark.parametrize("missing", STAND_INS)
def test_onnx_tf_still_imports_the_absent_package(missing):
    """Fails with an onnx-tf that does not: then its stand-in in with_onnx_tf.py goes, and this line of the test."""
    [(given, part)] = [(package, part) for package, part in STAND_INS.items() if package != missing]
    program = f"""
import sys
from types import ModuleType
sys.modules["{given}"] = ModuleType("{given}")
sys.modules["{given}"].{part} = sys.modules["{given}.{part}"] = ModuleType("{given}.{part}")
sys.modules["{given}"].{part}.hardmax = sys.modules["{given}"].{part}.Bernoulli = None
try:
    import onnx_tf.backend
except ModuleNotFoundError as err:
    print(err.name)
else:
    print("nothing is missing")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == missing
