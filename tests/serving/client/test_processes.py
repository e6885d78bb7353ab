"""Fresh processes: how fast the first answer comes, what is loaded for it, and TensorFlow beside the client."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # starts a server, imports TensorFlow

ROOT = Path(__file__).parents[3]

ANSWER = """
import json, sys
from serving.client import Client
with Client(sys.argv[1], model="half_plus_two") as client:
    print(json.dumps(client.predict([1])["y"].tolist()))
print(json.dumps(sorted(sys.modules)))
"""

TENSORFLOW = """
import tensorflow as tf
assert tf.reduce_sum(tf.constant([1.0, 2.0])).numpy() == 3
assert tf.make_ndarray(tf.make_tensor_proto([1.0])).tolist() == [1.0]
"""

CLIENT = """
import sys
from serving.client import Client
with Client(sys.argv[1], model="half_plus_two") as client:
    assert client.predict([1])["y"].tolist() == [4.5]
"""

STOCK = """
from tensorflow_serving.apis import predict_pb2
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
assert request.inputs["x"].float_val == [1.0]
"""


def python(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_first_answer_comes_at_once(fake):
    python(ANSWER, fake.grpc)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        python(ANSWER, fake.grpc)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("kind", "others"),
    [("grpc", {"http.client", "orjson", "rich", "inspection"}), ("rest", {"grpc", "rich", "inspection"})],
)
def test_only_what_the_target_needs_is_loaded(kind, others, fake):
    answer, loaded = map(json.loads, python(ANSWER, fake.target(kind)))
    assert answer == [4.5]
    modules = set(loaded)
    assert not modules & {"tensorflow", "torch", "onnx", "onnxruntime", "ai_edge_litert", "tflite_runtime", "ml_dtypes"}
    assert not modules & others


@pytest.mark.parametrize("kind", ["grpc", "rest"])
@pytest.mark.parametrize(
    "program", [CLIENT + TENSORFLOW + CLIENT + STOCK, TENSORFLOW + CLIENT + STOCK], ids=["client first", "last"]
)
def test_tensorflow_in_the_same_process(program, kind, fake):
    python(program, fake.target(kind))
