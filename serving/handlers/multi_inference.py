"""MultiInference: several tasks on the same examples, in one run.

Source: multi_inference.cc of TensorFlow Serving.
"""

from dataclasses import dataclass
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from serving import protos
from serving.handlers import classify, regress
from serving.handlers.examples import serialized_examples
from serving.handlers.settings import Settings
from serving.servable import DEFAULT_SIGNATURE, Models, Servable

__all__ = ["multi_inference"]


@dataclass(frozen=True, slots=True)
class _Task:
    """One task, checked: which tensors it wants, and what becomes of them."""

    signature_name: str
    method: str
    feed: str
    fetches: dict[str, str]


def multi_inference(models: Models, settings: Settings, request: Any, timeout: float | None) -> Any:
    """Answers a ``MultiInferenceRequest`` with a ``MultiInferenceResponse``; the first task chooses the version.

    Raises:
        StatusError: NOT_FOUND, INVALID_ARGUMENT, UNIMPLEMENTED for another method, or the runtime's own.
    """
    spec = request.tasks[0].model_spec if request.tasks else protos.model.ModelSpec()
    with models.lease(spec) as lease:
        tasks = _check(lease.servable, settings, request.tasks)
        examples = serialized_examples(request.input, spec.name, settings.metrics)
        fetches = list(dict.fromkeys(fetch for task in tasks for fetch in task.fetches.values()))
        results = settings.run(
            "MultiInference", spec.name, lease.servable, [tasks[0].feed], [examples], fetches, timeout
        )
        version = lease.version
    found = dict(zip(fetches, results, strict=True))
    response = protos.inference.MultiInferenceResponse()
    for task in tasks:
        result = response.results.add()
        result.model_spec.name = spec.name
        result.model_spec.version.value = version
        result.model_spec.signature_name = task.signature_name
        _fill(result, task, {alias: found[fetch] for alias, fetch in task.fetches.items()}, len(examples.array))
    return response


def _check(servable: Servable, settings: Settings, tasks: Any) -> list[_Task]:
    checked: list[_Task] = []
    for task in tasks:
        if not task.model_spec.name:
            raise StatusError(Code.INVALID_ARGUMENT, "Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if any(name == other.signature_name for other in checked):
            raise StatusError(Code.INVALID_ARGUMENT, f"Duplicate evaluation of signature: {name}")
        checked.append(_check_task(servable, settings, name, task.method_name))
        if checked[-1].feed != checked[0].feed:
            raise StatusError(Code.INVALID_ARGUMENT, "Input tensor must be the same for all Signatures.")
    return checked


def _check_task(servable: Servable, settings: Settings, name: str, method: str) -> _Task:
    signature = servable.signatures.get(name)
    if signature is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"Requested signature not found in model graph: {name}")
    if method == classify.METHOD:
        fetches = classify.check_classify(signature, settings)
    elif method == regress.METHOD:
        fetches = {"outputs": regress.check_regress(signature, settings)}
    else:
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
    return _Task(name, method, signature.inputs["inputs"], fetches)


def _fill(result: Any, task: _Task, outputs: dict[str, Tensor], number: int) -> None:
    if task.method == classify.METHOD:
        classify.fill_classifications(result.classification_result, classify.to_labels(outputs, number))
    else:
        result.regression_result.CopyFrom(regress.to_regressions(outputs["outputs"], number))
