"""Maps of probabilities, as skl2onnx has classifiers give them."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

from contract.errors import ConversionError

pytestmark = pytest.mark.slow

TEXTS = ["b", "ü", "a"]


@pytest.fixture
def ours() -> SimpleNamespace:
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline.onnx_to_tf import to_module
    from pipeline.onnx_to_tf.loading import deserialize
    from pipeline.onnx_to_tf.passes.drop_zip_maps import LABELS, DropZipMaps, zip_maps

    return SimpleNamespace(
        to_module=to_module, deserialize=deserialize, LABELS=LABELS, DropZipMaps=DropZipMaps, zip_maps=zip_maps
    )


def classifier(*, is_output: bool = True, **labels: Any) -> onnx.ModelProto:
    key = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    scaler = helper.make_node("Scaler", ["X"], ["P"], domain="ai.onnx.ml", offset=[0.0], scale=[0.5])
    nodes = [scaler, helper.make_node("ZipMap", ["P"], ["probabilities"], domain="ai.onnx.ml", **labels)]
    outputs = [helper.make_value_info("probabilities", maps)]
    if not is_output:
        nodes.append(helper.make_node("SequenceLength", ["probabilities"], ["count"]))
        outputs = [helper.make_tensor_value_info("count", TensorProto.INT64, [])]
    graph = helper.make_graph(
        nodes, "classifier", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 3])], outputs
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("labels", [{"classlabels_strings": TEXTS}, {"classlabels_int64s": [3, 1, 2]}])
def test_case_1_gives_the_tensor(ours: SimpleNamespace, labels: dict[str, Any]) -> None:
    model = classifier(**labels)
    before = model.SerializeToString()
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    session = onnxruntime.InferenceSession(before, providers=["CPUExecutionProvider"])
    (maps,) = session.run(None, {"X": x})
    given = ours.to_module(model).serve(x)["probabilities"].numpy()
    (columns,) = labels.values()
    np.testing.assert_allclose(given, [[row[label] for label in columns] for row in maps])
    assert model.SerializeToString() == before


def test_case_1_documents_the_labels(ours: SimpleNamespace) -> None:
    model = ours.deserialize(classifier(classlabels_strings=TEXTS), "the model")
    assert ours.zip_maps(model) == {"probabilities": TEXTS}
    assert ours.DropZipMaps()(model).modified
    (output,) = model.graph.outputs
    assert json.loads(output.metadata_props[ours.LABELS]) == TEXTS
    assert output.doc_string is not None
    assert "b, ü, a" in output.doc_string
    assert (output.name, output.dtype) == ("probabilities", ir.DataType.FLOAT)
    assert ours.zip_maps(model) == {}


def test_case_1_needs_an_operator_set_of_onnx(ours: SimpleNamespace) -> None:
    model = ours.deserialize(classifier(classlabels_strings=TEXTS), "the model")
    del model.opset_imports[""]
    ours.DropZipMaps()(model)
    assert "" in model.opset_imports


def test_case_1_nobody_takes_the_maps(ours: SimpleNamespace) -> None:
    model = ours.deserialize(classifier(is_output=False, classlabels_strings=TEXTS), "the model")
    length = next(node for node in model.graph if node.op_type == "SequenceLength")
    length.op_type = "Size"
    length.replace_input_with(0, model.graph.inputs[0])
    x = np.ones((2, 3), np.float32)
    assert ours.to_module(model).serve(x)["count"].numpy() == 6


def test_case_2_is_refused(ours: SimpleNamespace) -> None:
    with pytest.raises(ConversionError, match=r"gives maps to SequenceLength .* let that take 'P'"):
        ours.to_module(classifier(is_output=False, classlabels_strings=TEXTS))


def test_case_3_is_left(ours: SimpleNamespace) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { y = Identity(x) }'
    assert not ours.DropZipMaps()(ir.from_proto(onnx.parser.parse_model(text))).modified
