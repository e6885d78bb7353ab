"""Server reflection, by which grpcurl and its kind learn the services."""

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection

from runtimes.tensorflow_protos import import_proto

__all__ = ["add_reflection"]


def add_reflection(services: Sequence[str], server: grpc.Server) -> None:
    """Lets a server describe services.

    Args:
        services: their full names.
        server: not started yet.
    """
    # The messages are known; these two tell which service takes which.
    import_proto("tensorflow_serving.apis.prediction_service_pb2")
    import_proto("tensorflow_serving.apis.model_service_pb2")
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server)
