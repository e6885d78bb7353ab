"""PredictionService and ModelService: each call is converted, handed to its handler, and converted back."""

import logging
import time
from collections.abc import Callable
from typing import Any

import grpc

from contract.errors import Code, StatusError
from serving import protos
from serving.handlers.classify import classify
from serving.handlers.model_info import get_model_metadata, get_model_status
from serving.handlers.multi_inference import multi_inference
from serving.handlers.predict import predict
from serving.handlers.regress import regress
from serving.handlers.reload_config import reload_config
from serving.handlers.settings import Settings
from serving.manager.core import ServerCore
from serving.memory import note_message
from serving.metrics import ServerMetrics

__all__ = ["MODEL_SERVICE", "PREDICTION_SERVICE", "services"]

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

_MAX_MESSAGE = 1024
"""Bytes of an error's message that go out."""

_FOR_EVER_SECONDS = 1e8

_log = logging.getLogger(__name__)

_STATUS = {code.value[0]: code for code in grpc.StatusCode}

Handler = Callable[[Any, float | None], Any]


def services(core: ServerCore, settings: Settings, *, can_reload: bool = True) -> list[grpc.GenericRpcHandler]:
    """What a gRPC server answers.

    Args:
        core: the models.
        settings: how calls are answered, and where they are counted.
        can_reload: take another list of models by call; not where other processes serve the same models.
    """
    metrics = settings.metrics
    counted = {
        "Predict": (protos.predict.PredictRequest, lambda request, timeout: predict(core, settings, request, timeout)),
        "Classify": (
            protos.classification.ClassificationRequest,
            lambda request, timeout: classify(core, settings, request, timeout),
        ),
        "Regress": (
            protos.regression.RegressionRequest,
            lambda request, timeout: regress(core, settings, request, timeout),
        ),
    }
    others = {
        "MultiInference": (
            protos.inference.MultiInferenceRequest,
            lambda request, timeout: multi_inference(core, settings, request, timeout),
        ),
        "GetModelMetadata": (
            protos.get_model_metadata.GetModelMetadataRequest,
            lambda request, _: get_model_metadata(core, request),
        ),
    }
    model = {
        "GetModelStatus": (
            protos.get_model_status.GetModelStatusRequest,
            lambda request, _: get_model_status(core, request),
        ),
        "HandleReloadConfigRequest": (
            protos.model_management.ReloadConfigRequest,
            (lambda request, _: reload_config(core, metrics, request)) if can_reload else _refuse_reload,
        ),
    }
    prediction = {name: _method(_counted(name, call, metrics), kind) for name, (kind, call) in counted.items()}
    prediction |= {name: _method(call, kind) for name, (kind, call) in others.items()}
    return [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction),
        grpc.method_handlers_generic_handler(
            MODEL_SERVICE, {name: _method(call, kind) for name, (kind, call) in model.items()}
        ),
    ]


def _refuse_reload(_request: Any, _timeout: float | None) -> Any:
    raise StatusError(
        Code.UNIMPLEMENTED,
        "This server has several workers, of which the call would reach one: change the file of --model_config_file, "
        "which all of them read again with --model_config_file_poll_wait_seconds",
    )


def _counted(api: str, call: Handler, metrics: ServerMetrics) -> Handler:
    """Counts a call, and times it where it succeeds."""

    def counting(request: Any, timeout: float | None) -> Any:
        start = time.perf_counter()
        name = request.model_spec.name
        try:
            response = call(request, timeout)
        except StatusError as err:
            metrics.request_count.add((name, err.code.name))
            raise
        metrics.request_count.add((name, "OK"))
        metrics.request_latency.record((name, api, "GRPC"), (time.perf_counter() - start) * 1e6)
        return response

    return counting


def _method(call: Handler, request_class: Any) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if not context.is_active():  # the caller has gone while the call waited for a thread
            return None
        try:
            return call(request, _timeout(context))
        except StatusError as err:
            context.abort(_STATUS[err.code], _cut(err.message))
        except MemoryError:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "There is not enough memory for this request")
        except Exception as err:  # noqa: BLE001  the server goes on, and the caller gets an answer
            _log.exception("A call failed")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(err).__name__}: {err}")

    def parse(data: bytes) -> Any:
        note_message(len(data))
        return request_class.FromString(data)

    return grpc.unary_unary_rpc_method_handler(answer, parse, _serialize)


def _timeout(context: grpc.ServicerContext) -> float | None:
    """Seconds that the caller waits; without a deadline gRPC gives centuries, not None."""
    remaining = context.time_remaining()
    return None if remaining is None or remaining > _FOR_EVER_SECONDS else remaining


def _serialize(message: Any) -> bytes:
    serialized: bytes = b"" if message is None else message.SerializeToString()
    return serialized


def _cut(message: str) -> str:
    """A message as it goes out: at most 1024 bytes, and UTF-8."""
    data = message.encode(errors="surrogateescape")
    if len(data) > _MAX_MESSAGE:
        data = data[:_MAX_MESSAGE] + b"...TRUNCATED"
    return data.decode(errors="replace")
