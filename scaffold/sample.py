"""A small .onnx file to begin with: a dense layer with a softmax, as any tool might have exported it."""

from pathlib import Path

__all__ = ["write_sample"]

_WEIGHTS = (0.5, -1.0, 0.25, 1.0, 0.75, -0.5, -1.5, 0.25, 1.25, 0.5, -0.25, 1.0)
_BIAS = (0.1, 0.0, -0.1)


def write_sample(path: Path) -> None:
    """Writes a file that takes ``features`` float32 [batch, 4] and gives ``scores`` float32 [batch, 3]."""
    from onnx import TensorProto, helper, save  # a quarter of a second, which only this needs

    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "weight", "bias"], ["logits"], name="dense"),
            helper.make_node("Softmax", ["logits"], ["scores"], name="softmax", axis=-1),
        ],
        "sample",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, [4, 3], _WEIGHTS),
            helper.make_tensor("bias", TensorProto.FLOAT, [3], _BIAS),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
