"""Warm-up requests: TF Serving replays them when it loads a version, before the first user's request."""

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, predict_pb2, prediction_log_pb2, regression_pb2

from contract.arrays import Tensors
from contract.golden import Golden
from contract.model_spec import Method, ModelSpec, Network, Signature
from pipeline.examples import serialized_examples

__all__ = ["WARMUP", "write_warmup"]

WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
"""Where TF Serving looks, inside a version's folder (saved_model_warmup.md)."""


def write_warmup(saved_model: Path, spec: ModelSpec, network: Network, golden: Golden) -> None:
    """Writes one PredictionLog for each golden vector and signature, as an uncompressed TFRecord file."""
    path = saved_model / WARMUP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in spec.signatures:
            for vector in golden.vectors:
                log = _LOGS[signature.method](spec.servable(network), signature, vector.inputs)
                writer.write(log.SerializeToString(deterministic=True))


def _predict(servable: str, signature: Signature, inputs: Tensors) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = servable, signature.name
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _classify(servable: str, signature: Signature, inputs: Tensors) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest(input=_examples(inputs))
    request.model_spec.name, request.model_spec.signature_name = servable, signature.name
    return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=request))


def _regress(servable: str, signature: Signature, inputs: Tensors) -> prediction_log_pb2.PredictionLog:
    request = regression_pb2.RegressionRequest(input=_examples(inputs))
    request.model_spec.name, request.model_spec.signature_name = servable, signature.name
    return prediction_log_pb2.PredictionLog(regress_log=prediction_log_pb2.RegressLog(request=request))


def _examples(inputs: Tensors) -> input_pb2.Input:
    examples = [tf.train.Example.FromString(example) for example in serialized_examples(inputs)]
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))


_LOGS = {Method.PREDICT: _predict, Method.CLASSIFY: _classify, Method.REGRESS: _regress}
