"""What is done to the ONNX graph before it is emitted: one file a pass."""

from pipeline.onnx_to_tf.passes.base import GraphPass, run
from pipeline.onnx_to_tf.passes.drop_zip_maps import DropZipMaps
from pipeline.onnx_to_tf.passes.expand_functions import ExpandFunctions
from pipeline.onnx_to_tf.passes.fold_constants import FoldConstants
from pipeline.onnx_to_tf.passes.forget_shapes import ForgetShapes
from pipeline.onnx_to_tf.passes.infer_shapes import InferShapes
from pipeline.onnx_to_tf.passes.inline_functions import InlineFunctions
from pipeline.onnx_to_tf.passes.remove_unused import RemoveUnused
from pipeline.onnx_to_tf.registry import Registry

__all__ = ["GraphPass", "passes", "run"]


def passes(registry: Registry) -> tuple[GraphPass, ...]:
    """All passes, in order. A layout pass and fusions belong between folding and removal."""
    return (
        ForgetShapes(),
        InlineFunctions(),
        DropZipMaps(),
        InferShapes(),
        ExpandFunctions(registry),
        InlineFunctions(),
        # The body of an operator may hold operators with a body.
        InferShapes(),
        ExpandFunctions(registry),
        InlineFunctions(),
        FoldConstants(),
        RemoveUnused(),
        InferShapes(),
    )
