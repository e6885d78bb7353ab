"""What grpcio alone costs, an empty handler: ``python -m benchmarks.serving_peers.grpc_floor PORT``."""

import sys
from concurrent import futures

import grpc


def empty(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Answers at once."""
    return b""


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor())
    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(empty)}
    service = "tensorflow.serving.PredictionService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
