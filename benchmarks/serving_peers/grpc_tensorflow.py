"""A SavedModel behind grpcio: ``MODEL=folder python -m benchmarks.serving_peers.grpc_tensorflow PORT``."""

import os
import sys
from concurrent import futures
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

model = tf.saved_model.load(os.environ["MODEL"])
signature = model.signatures["serving_default"]


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, and nothing else of the service."""

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the service's own name
        """Runs the signature."""
        outputs = signature(**{name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()})
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor())
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
