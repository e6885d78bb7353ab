"""The standard health service (grpc/health/v1/health.proto)."""

from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

__all__ = ["health_service"]

_SERVICES = ("", "ModelService", "PredictionService")
"""TensorFlow Serving registers the bare names (server.cc)."""


def health_service(is_serving: Callable[[], bool]) -> grpc.GenericRpcHandler:
    """Answers ``Check``.

    Args:
        is_serving: whether new calls are welcome.
    """

    def check(request: Any, context: grpc.ServicerContext) -> Any:
        if request.service not in _SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if is_serving() else status.NOT_SERVING)

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(
                check,
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            )
        },
    )
