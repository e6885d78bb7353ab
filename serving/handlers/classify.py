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
from serving.handlers.signatures import Call, begin, check_method, dtype_name, shape_text
from serving.servable import Models, Signature

__all__ = ["METHOD", "Labels", "check_classify", "classify", "fill_classifications", "run_classify", "to_labels"]

METHOD = "tensorflow/serving/classify"

_KEYS = ("classes", "scores")

Labels = list[list[tuple[bytes, float]]]
"""Label and score of each class of each example; a label need not be UTF-8."""


def classify(models: Models, settings: Settings, request: Any, timeout: float | None) -> Any:
    """Answers a ``ClassificationRequest`` with a ``ClassificationResponse``.

    Raises:
        StatusError: NOT_FOUND, INVALID_ARGUMENT, or the runtime's own.
    """
    labels, call = run_classify(models, settings, request, timeout)
    response = protos.classification.ClassificationResponse()
    fill_classifications(response.result, labels)
    call.sign(response.model_spec)
    return response


def run_classify(models: Models, settings: Settings, request: Any, timeout: float | None) -> tuple[Labels, Call]:
    """What a ``ClassificationRequest`` comes to, and what has answered it.

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
    return to_labels(dict(zip(outputs, results, strict=True)), len(examples.array)), call


def check_classify(signature: Signature, settings: Settings) -> dict[str, str]:
    """Alias and tensor name of the outputs of a signature that can classify.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot.
    """
    definition = signature.definition
    check_method(signature, settings, "classification", METHOD)
    if len(signature.outputs) not in (1, 2):
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected one or two output Tensors, found {len(signature.outputs)}")
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


def to_labels(outputs: Mapping[str, Tensor], number: int) -> Labels:
    """What the graph has computed, by example; missing labels are empty, missing scores 0.

    Args:
        outputs: ``classes`` (strings) and ``scores`` (floats), one or both, [number, classes].
        number: of examples.

    Raises:
        StatusError: INVALID_ARGUMENT, their types or shapes are others.
    """
    for alias, wanted in zip(_KEYS, (DataType.STRING, DataType.FLOAT), strict=True):
        if alias in outputs:
            _check_output(alias, outputs[alias], wanted, number)
    classes, scores = (outputs[alias].array.tolist() if alias in outputs else None for alias in _KEYS)
    if classes is None:
        classes = [[b""] * len(row) for row in scores or ()]
    if scores is None:
        scores = [[0.0] * len(row) for row in classes]
    if classes and len(classes[0]) != len(scores[0]):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Tensors class and score should match in dim_size(1). Got {len(classes[0])} vs. {len(scores[0])}",
        )
    return [list(zip(*pair, strict=True)) for pair in zip(classes, scores, strict=True)]


def fill_classifications(result: Any, labels: Labels) -> None:
    """Writes a ``ClassificationResult``; a label that is not UTF-8 has no place there, and loses what is not."""
    for row in labels:
        classification = result.classifications.add()
        for label, score in row:
            classification.classes.add(label=label.decode(errors="replace"), score=score)


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
