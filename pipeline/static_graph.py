"""A network that adds itself to a TensorFlow 1 graph: its placeholders, and its variables by name."""

from collections.abc import Iterable, Mapping

import tensorflow as tf

from contract.arrays import Array
from contract.tensor_spec import TensorSpec

__all__ = ["placeholders", "restore", "tensorflow_specs"]

v1 = tf.compat.v1


def tensorflow_specs(tensors: Iterable[TensorSpec]) -> list[tf.TensorSpec]:
    """TensorFlow's own form of the specs: a dynamic axis is None."""
    return [
        tf.TensorSpec(
            [None if isinstance(axis, str) else axis for axis in tensor.shape],
            tf.string if tensor.dtype == "object" else tensor.dtype,
            tensor.name,
        )
        for tensor in tensors
    ]


def placeholders(specs: Iterable[tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """A placeholder for each spec in the current graph, by name."""
    return {spec.name: v1.placeholder(spec.dtype, spec.shape, spec.name) for spec in specs}


def restore(session: tf.compat.v1.Session, weights: Mapping[str, Array]) -> None:
    """Sets every variable of the session's graph to its value by name; adds nothing to the graph."""
    variables = v1.global_variables()
    session.run(
        [variable.initializer for variable in variables],
        {variable.initializer.inputs[1]: weights[variable.op.name] for variable in variables},
    )
