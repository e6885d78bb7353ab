"""Classify: examples in, labels and scores out.

Source: classifier.cc of TensorFlow Serving.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.handlers.examples import serialized_examples
from serving.handlers.settings import Settings
from serving.handlers.signatures import begin, dtype_name, shape_text
from serving.servable import Models, Signature

__all__ = ["METHOD", "check_classify", "classify", "to_classifications"]

METHOD = "tensorflow/serving/classify"

_KEYS = ("classes", "scores")


def classify(models: Models, settings: Settings, request: Any, timeout: float | None) -> Any:
    """Answers a ``ClassificationRequest`` with a ``ClassificationResponse``.

    Raises:
        StatusError: NOT_FOUND, INVALID_ARGUMENT, or the runtime's own.
    """
    with begin(models, request) as call:
        outputs = check_classify(call.signature, settings)
        examples = serialized_examples(request.input, call.model, settings.metrics)
        feeds = [call.signature.inputs["inputs"]]
        results = settings.run(
            "Classify", call.model, call.servable, feeds, [examples], list(outputs.values()), timeout
        )
        response = protos.classification.ClassificationResponse()
        response.result.CopyFrom(to_classifications(dict(zip(outputs, results, strict=True)), len(examples.array)))
        call.sign(response.model_spec)
    return response


def check_classify(signature: Signature, settings: Settings) -> dict[str, str]:
    """Alias and tensor name of the outputs of a signature that can classify.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot.
    """
    definition = signature.definition
    if settings.check_method_name and definition.method_name != METHOD:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Expected classification signature method_name to be {METHOD}. Was: {definition.method_name}",
        )
    if len(signature.inputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    if "inputs" not in signature.inputs:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"No classification inputs found in SignatureDef: {text_format.MessageToString(definition)}",
        )
    outputs = {alias: signature.outputs[alias] for alias in _KEYS if alias in signature.outputs}
    if not outputs:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {text_format.MessageToString(definition)}",
        )
    return outputs


def to_classifications(outputs: Mapping[str, Tensor], number: int) -> Any:
    """A ``ClassificationResult`` of what the graph has computed.

    Args:
        outputs: ``classes`` (strings) and ``scores`` (floats), one or both, [number, classes].
        number: of examples.

    Raises:
        StatusError: INVALID_ARGUMENT, their types or shapes are others.
    """
    for alias, wanted in zip(_KEYS, (DataType.STRING, DataType.FLOAT), strict=True):
        if alias in outputs:
            _check_output(alias, outputs[alias], wanted, number)
    classes, scores = (outputs[alias].array if alias in outputs else None for alias in _KEYS)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}",
        )
    result = protos.classification.ClassificationResult()
    rows = classes if classes is not None else scores
    for row in range(number):
        classification = result.classifications.add()
        for column in range(rows.shape[1] if rows is not None else 0):
            entry = classification.classes.add()
            if classes is not None:
                # Labels are text in the message; what is not UTF-8 has no place there.
                entry.label = classes[row, column].decode(errors="replace")
            if scores is not None:
                entry.score = scores[row, column]
    return result


def _check_output(alias: str, tensor: Tensor, wanted: DataType, number: int) -> None:
    if tensor.dtype != wanted:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Expected {alias} Tensor of {dtype_name(wanted)}. Got: {dtype_name(tensor.dtype)}",
        )
    if tensor.array.ndim != 2:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(tensor.array.shape)}",
        )
    if tensor.array.shape[0] != number:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Expected {alias} output batch size of {number}. Got: {tensor.array.shape[0]}",
        )
