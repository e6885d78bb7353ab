"""The warm-up requests of every published version, replayed as TF Serving does when it loads one."""

import struct
from pathlib import Path

import numpy as np
import pytest

from contract.golden import read_golden
from models.or_gate.spec import SPEC

pytestmark = pytest.mark.slow  # TensorFlow

# saved_model_warmup.md of TF Serving.
PLACE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000


@pytest.fixture(scope="module", params=[SPEC.servable(network) for network in SPEC.networks])
def folder(request, exported) -> Path:
    path: Path = exported / "serving" / request.param / "1"
    return path


@pytest.fixture(scope="module")
def golden(exported):
    return read_golden(exported / "golden" / "or_gate_pytorch.json")


@pytest.fixture(scope="module")
def logs(folder):
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    records = tf.data.TFRecordDataset(str(folder / PLACE), compression_type="")
    return [PredictionLog.FromString(record.numpy()) for record in records]


def request_of(log):
    """What is to be replayed: the request of whichever kind of log it is."""
    return getattr(log, log.WhichOneof("log_type")).request


def test_the_file_is_an_uncompressed_tfrecord_of_not_too_many_records(folder, logs):
    content = (folder / PLACE).read_bytes()
    lengths, position = [], 0
    while position < len(content):
        # A record: its length as uint64, a checksum, the data, a checksum.
        [length] = struct.unpack_from("<Q", content, position)
        lengths.append(length)
        position += 8 + 4 + length + 4
    assert position == len(content)
    assert lengths == [log.ByteSize() for log in logs]
    assert 0 < len(lengths) <= MOST


def test_every_signature_is_asked_with_every_golden_vector(folder, logs, golden):
    kinds = [log.WhichOneof("log_type") for log in logs]
    count = len(golden.vectors)
    assert kinds == ["predict_log"] * count + ["classify_log"] * count + ["regress_log"] * count
    asked = [(request_of(log).model_spec.name, request_of(log).model_spec.signature_name) for log in logs]
    servable = folder.parent.name
    assert asked == [(servable, signature.name) for signature in SPEC.signatures for _ in golden.vectors]


def test_every_request_replays_and_gives_the_golden_output(folder, logs, golden):
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures
    vectors = [vector for _ in SPEC.signatures for vector in golden.vectors]
    for log, vector in zip(logs, vectors, strict=True):
        request = request_of(log)
        predict = signatures[request.model_spec.signature_name]
        if log.WhichOneof("log_type") == "predict_log":
            inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
            scores = predict(**inputs)["y"].numpy()
        else:
            examples = [example.SerializeToString() for example in request.input.example_list.examples]
            outputs = predict(inputs=tf.constant(examples))
            scores = outputs["scores"].numpy()[:, 1:] if "scores" in outputs else outputs["outputs"].numpy()
        # Training in float32 differs from the oracle's float64; the spec allows 1e-5.
        np.testing.assert_allclose(scores, vector.outputs["y"], rtol=0, atol=1e-5)
