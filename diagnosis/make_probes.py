"""Writes the tiny models of `diagnosis.load_runtime` again: ``python -m diagnosis.make_probes FOLDER``."""

import sys
from pathlib import Path

import onnx
import tensorflow as tf
from onnx import TensorProto, helper

__all__ = ["make_probes"]

v1 = tf.compat.v1


def make_probes(folder: Path) -> None:
    """Writes ``double.onnx``, ``double/saved_model.pb`` and ``double.tflite``."""
    _onnx(folder / "double.onnx")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 2), name="x")
        y = tf.add(x, x, name="y")
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(folder / "double"))
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.SERVING], {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature}
        )
        builder.save()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "double"), signature_keys=["serving_default"])
    (folder / "double.tflite").write_bytes(converter.convert())


def _onnx(path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


if __name__ == "__main__":
    make_probes(Path(sys.argv[1]))
