"""The converted model: a ``tf.Module`` with its weights and one function, and how it is saved."""

from pathlib import Path
from typing import Any

import onnx_ir as ir
import tensorflow as tf

from contract.errors import ConversionError
from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.emitter import Emitter
from pipeline.onnx_to_tf.registry import Registry
from pipeline.onnx_to_tf.signature_names import plain_names, rename_inputs
from pipeline.onnx_to_tf.variables import Variables

__all__ = ["OnnxModule", "save"]


class OnnxModule(tf.Module):
    """A converted model.

    Attributes:
        weights: its variables by the name of the ONNX initializer; not necessarily one that Python could take as an
            attribute.
        serve: the function: takes the inputs in the model's order, gives a dict of its outputs by their exact names.
        input_names: the exact names of the inputs, in order.

    Args:
        model: what the passes have left.
        registry: the operators to use.
    """

    def __init__(self, model: ir.Model, registry: Registry) -> None:
        """See the class.

        Raises:
            ConversionError: a node cannot be converted.
        """
        super().__init__()
        graph = model.graph
        inputs = [value for value in graph.inputs if value.const_value is None]
        self.input_names = tuple(str(value.name) for value in inputs)
        variables = Variables(model.graphs())
        emitter = Emitter(registry, dict(model.opset_imports), variables)

        def serve(*arguments: tf.Tensor) -> dict[str, tf.Tensor]:
            return _outputs(emitter, graph, arguments)

        specs = [_spec(value, name) for value, name in zip(inputs, plain_names(self.input_names), strict=True)]
        self.serve = tf.function(serve, input_signature=specs, autograph=False)
        self.concrete = self.serve.get_concrete_function()
        self.weights = variables.by_name
        self._tracked = variables.all  # a SavedModel keeps what hangs on its module: also two weights of one name


def save(module: OnnxModule, folder: Path) -> None:
    """Writes a SavedModel with the signature ``serving_default``: names, types and dynamic axes are the ONNX model's.

    Args:
        module: the converted model.
        folder: to write into.
    """
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.concrete})
    # A random id: the same model would have other bytes each time.
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    rename_inputs(folder, dict(zip(plain_names(module.input_names), module.input_names, strict=True)))


def _outputs(emitter: Emitter, graph: ir.Graph, arguments: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
    given = iter(arguments)
    # An input with a default value is a constant of the graph: ONNX Runtime's own rule for IR version 4 and later.
    bound = [next(given) if value.const_value is None else emitter.value(value) for value in graph.inputs]
    made = emitter.run_graph(graph, bound)
    outputs: dict[str, Any] = {}
    for value, output in zip(graph.outputs, made, strict=True):
        if not tf.is_tensor(output):
            raise ConversionError(
                f"output {value.name!r} is a sequence or an optional, which a signature cannot give; "
                "end the graph in tensors (ConcatFromSequence, OptionalGetElement)"
            )
        # Twice the same tensor, or an input as it came, needs a node of its own to have a name of its own.
        outputs[str(value.name)] = tf.identity(output)
    return outputs


def _spec(value: ir.Value, name: str) -> tf.TensorSpec:
    if not isinstance(value.type, ir.TensorType):
        raise ConversionError(
            f"input {value.name!r} is {'of unknown type' if value.type is None else value.type}, "
            "which a signature cannot take; give the graph tensors"
        )
    shape = None if value.shape is None else [axis if isinstance(axis, int) else None for axis in value.shape]
    return tf.TensorSpec(shape, tensorflow_dtype(value.type.dtype), name=name)
