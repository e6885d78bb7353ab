"""The signatures of a SavedModel: predict on tensors, classify and regress on tf.Example."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from contract.model_spec import Method, ModelSpec, Signature
from pipeline.static_graph import tensorflow_specs

__all__ = ["Call", "signature_inputs", "signature_outputs"]

Call = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]
"""A network: input tensors by name to output tensors by name."""

# The names that TF Serving looks for: kClassifyInputs, kRegressInputs and their like in signature_constants.h.
_EXAMPLES = "inputs"
_CLASSES, _SCORES, _VALUES = "classes", "scores", "outputs"


def signature_inputs(spec: ModelSpec, signature: Signature) -> list[tf.TensorSpec]:
    """The inputs of a signature: the spec's tensors, or one batch of serialized tf.Example."""
    if signature.method is Method.PREDICT:
        return tensorflow_specs(spec.inputs)
    return [tf.TensorSpec([None], tf.string, _EXAMPLES)]


def signature_outputs(
    spec: ModelSpec, signature: Signature, call: Call, inputs: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """The outputs of a signature for its inputs, added to the current graph.

    Classify gives ``classes``, string [batch, n], and ``scores``, float32 [batch, n]; regress gives ``outputs``,
    float32 [batch, 1]. A single score with two classes becomes the two classes' scores.
    """
    if signature.method is Method.PREDICT:
        outputs = call(inputs)
        return {name: outputs[name] for name in signature.outputs or outputs}
    scores = call(_parse(spec, inputs[_EXAMPLES]))[signature.output]
    if signature.method is Method.REGRESS:
        return {_VALUES: scores}
    if scores.shape[-1] == 1 and len(signature.classes) == 2:
        scores = tf.concat([1 - scores, scores], axis=1)
    classes = tf.tile(tf.constant([list(signature.classes)]), [tf.shape(scores)[0], 1])
    return {_CLASSES: classes, _SCORES: scores}


def _parse(spec: ModelSpec, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Serialized tf.Example, string [batch], to the input tensors; a feature has the name of its tensor."""
    features = {tensor.name: tf.io.FixedLenFeature(tensor.shape[1:], _parsed(tensor.dtype)) for tensor in spec.inputs}
    parsed = tf.io.parse_example(examples, features)
    return {
        tensor.name: value if (value := parsed[tensor.name]).dtype == tensor.dtype else tf.cast(value, tensor.dtype)
        for tensor in spec.inputs
    }


def _parsed(dtype: str) -> tf.DType:
    """What tf.Example holds in place of a dtype: it has float32, int64 and bytes."""
    wanted = tf.as_dtype(dtype)
    if wanted.is_floating:
        return tf.float32
    return tf.int64 if wanted.is_integer or wanted.is_bool else tf.string
