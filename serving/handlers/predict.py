"""Predict: tensors in, tensors out.

Source: predict_util.cc of TensorFlow Serving.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from serving import protos
from serving.handlers.settings import Settings
from serving.servable import DEFAULT_SIGNATURE, Models, Runnable, Signature
from serving.tensors import from_proto, to_proto

__all__ = ["predict", "run_signature"]

_METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def predict(models: Models, settings: Settings, request: Any, timeout: float | None) -> Any:
    """Answers a ``PredictRequest`` with a ``PredictResponse``.

    Args:
        models: where the versions are.
        settings: how calls are answered.
        request: the message.
        timeout: seconds that the caller waits, None for ever.

    Raises:
        StatusError: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION for an unknown signature, or the runtime's own.
    """
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    with models.lease(spec) as lease:
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = lease.servable.signatures.get(name)
        if signature is None:
            raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        outputs = run_signature(
            spec.name, lease.servable, settings, signature, _Decoded(request.inputs), request.output_filter, timeout
        )
        version = lease.version
    response = protos.predict.PredictResponse()
    for alias, tensor in outputs.items():
        to_proto(tensor, response.outputs[alias], as_content=settings.as_tensor_content)
    answered = response.model_spec
    answered.name = spec.name
    answered.version.value = version
    answered.signature_name = name
    return response


def run_signature(
    model: str,
    runnable: Runnable,
    settings: Settings,
    signature: Signature,
    inputs: Mapping[str, Tensor],
    output_filter: Sequence[str],
    timeout: float | None,
) -> dict[str, Tensor]:
    """Runs a signature.

    Args:
        model: its name.
        runnable: the loaded version.
        settings: how calls are answered.
        signature: of that version.
        inputs: alias and value of each input that is given.
        output_filter: aliases of the outputs that are wanted; none for all.
        timeout: seconds that the caller waits, None for ever.

    Returns:
        Alias and value of each output.

    Raises:
        StatusError: INVALID_ARGUMENT for inputs and outputs that the signature does not have, or the runtime's own.
    """
    if settings.check_method_name:
        _check_method(signature)
    _check_count(signature, inputs)
    tensors = []
    used = 0
    for alias, feed in signature.ordered:
        if alias in inputs:
            tensors.append(inputs[alias])
            used += 1
        elif alias in signature.defaults:
            tensors.append(signature.defaults[alias])
        else:
            raise _not_given(signature, alias, feed, inputs)
    if used != len(inputs):
        names = _join(alias for alias in inputs if alias in signature.inputs)
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Inputs contains invalid name. Used request inputs: {names}, request input: {_join(inputs)}",
        )
    aliases: Iterable[str] = signature.outputs
    fetches: Sequence[str] = signature.fetches
    if output_filter:
        _check_filter(signature, output_filter)
        aliases, fetches = output_filter, [signature.outputs[alias] for alias in output_filter]
    results = settings.run("Predict", model, runnable, signature.feeds, tensors, fetches, timeout)
    return dict(zip(aliases, results, strict=True))


class _Decoded(Mapping[str, Tensor]):
    """Tensors of a request by alias, each decoded when it is looked at."""

    def __init__(self, tensors: Any) -> None:
        self._tensors = tensors

    def __getitem__(self, alias: str) -> Tensor:
        tensor = from_proto(self._tensors[alias])
        if tensor is None:
            raise StatusError(Code.INVALID_ARGUMENT, f"tensor parsing error: {alias}")
        return tensor

    def __contains__(self, alias: object) -> bool:
        return alias in self._tensors

    def __iter__(self) -> Any:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _check_count(signature: Signature, inputs: Mapping[str, Tensor]) -> None:
    """Refuses more inputs than the signature has, or fewer where it has no defaults."""
    given, wanted = len(inputs), len(signature.inputs)
    if given > wanted or (given < wanted and not signature.defaults):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"input size does not match signature: {given}!={wanted} len({{{_join(inputs)}}}) != "
            f"len({{{_join(signature.inputs)}}}). Sent extra: {{{_join(inputs.keys() - signature.inputs.keys())}}}. "
            f"Missing but required: {{{_join(signature.inputs.keys() - inputs.keys() - signature.defaults.keys())}}}.",
        )


def _not_given(signature: Signature, alias: str, feed: str, inputs: Mapping[str, Tensor]) -> StatusError:
    return StatusError(
        Code.INVALID_ARGUMENT,
        f"Signature input alias: {alias}(feed name: {feed}) not found in request and no default value provided. "
        f"Inputs expected to be in the request {{{_join(inputs)}}}, or default input alias set: "
        f"{_join(signature.defaults)}",
    )


def _check_method(signature: Signature) -> None:
    """Refuses a signature for other calls than ours."""
    method = signature.definition.method_name
    if method not in _METHODS:
        raise StatusError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. Was: {method}",
        )


def _check_filter(signature: Signature, output_filter: Sequence[str]) -> None:
    """Refuses outputs that the signature does not have, or that are asked for twice."""
    seen = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_join(signature.outputs)}}}.",
            )
        if alias in seen:
            raise StatusError(Code.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        seen.add(alias)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
