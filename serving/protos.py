"""The messages of TensorFlow Serving's protocol, imported once without TensorFlow's Python."""

from runtimes.tensorflow_protos import import_proto

__all__ = [
    "classification",
    "example",
    "get_model_metadata",
    "get_model_status",
    "inference",
    "input_",
    "meta_graph",
    "model",
    "model_management",
    "model_server_config",
    "predict",
    "prediction_log",
    "regression",
    "tensor",
]

tensor = import_proto("tensorflow.core.framework.tensor_pb2")
meta_graph = import_proto("tensorflow.core.protobuf.meta_graph_pb2")
example = import_proto("tensorflow.core.example.example_pb2")
model = import_proto("tensorflow_serving.apis.model_pb2")
predict = import_proto("tensorflow_serving.apis.predict_pb2")
input_ = import_proto("tensorflow_serving.apis.input_pb2")
classification = import_proto("tensorflow_serving.apis.classification_pb2")
regression = import_proto("tensorflow_serving.apis.regression_pb2")
inference = import_proto("tensorflow_serving.apis.inference_pb2")
get_model_metadata = import_proto("tensorflow_serving.apis.get_model_metadata_pb2")
get_model_status = import_proto("tensorflow_serving.apis.get_model_status_pb2")
model_management = import_proto("tensorflow_serving.apis.model_management_pb2")
model_server_config = import_proto("tensorflow_serving.config.model_server_config_pb2")
prediction_log = import_proto("tensorflow_serving.apis.prediction_log_pb2")
