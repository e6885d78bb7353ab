"""Regress: examples in, one value each out.

Source: regressor.cc of TensorFlow Serving.
"""

from typing import Any

from google.protobuf import text_format

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.handlers.examples import serialized_examples
from serving.handlers.settings import Settings
from serving.handlers.signatures import begin, check_method, dtype_name, shape_text
from serving.servable import Models, Signature

__all__ = ["METHOD", "check_regress", "regress", "to_regressions"]

METHOD = "tensorflow/serving/regress"


def regress(models: Models, settings: Settings, request: Any, timeout: float | None) -> Any:
    """Answers a ``RegressionRequest`` with a ``RegressionResponse``.

    Raises:
        StatusError: NOT_FOUND, INVALID_ARGUMENT, or the runtime's own.
    """
    with begin(models, request) as call:
        fetch = check_regress(call.signature, settings)
        examples = serialized_examples(request.input, call.model, settings.metrics)
        feeds = [call.signature.inputs["inputs"]]
        (output,) = settings.run("Regress", call.model, call.servable, feeds, [examples], [fetch], timeout)
        response = protos.regression.RegressionResponse()
        response.result.CopyFrom(to_regressions(output, len(examples.array)))
        call.sign(response.model_spec)
    return response


def check_regress(signature: Signature, settings: Settings) -> str:
    """Name of the output tensor of a signature that can regress.

    Raises:
        StatusError: INVALID_ARGUMENT, it cannot.
    """
    definition = signature.definition
    check_method(signature, settings, "regression", METHOD)
    if len(signature.outputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one output Tensor.")
    for alias, names in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if alias not in names:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"No regression {alias} found in SignatureDef: {text_format.MessageToString(definition)}",
            )
    return signature.outputs["outputs"]


def to_regressions(output: Tensor, number: int) -> Any:
    """A ``RegressionResult`` of what the graph has computed.

    Args:
        output: floats, [number] or [number, 1].
        number: of examples.

    Raises:
        StatusError: INVALID_ARGUMENT, its type or shape is another.
    """
    shape = output.array.shape
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {shape_text(shape)}",
        )
    if shape[0] != number:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Input batch size did not match output batch size: {number} vs. {shape[0]}"
        )
    if output.dtype != DataType.FLOAT:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Expected output Tensor of DT_FLOAT.  Got: {dtype_name(output.dtype)}"
        )
    result = protos.regression.RegressionResult()
    for value in output.array.reshape(-1).tolist():
        result.regressions.add().value = value
    return result
