"""TensorFlow's protos beside TensorFlow itself, in both orders, each in a fresh process."""

import pytest

PROTOS = """
import sys
from runtimes.tensorflow_protos import import_proto
names = ["tensorflow.core.protobuf.meta_graph_pb2", "tensorflow_serving.apis.predict_pb2"]
meta_graph_pb2, predict_pb2 = map(import_proto, names)
message = meta_graph_pb2.MetaGraphDef()
message.signature_def["a"].method_name = "m"
request = predict_pb2.PredictRequest()
request.inputs["x"].float_val.append(2.0)
"""

TENSORFLOW = """
import warnings
warnings.simplefilter("ignore")  # TensorFlow's own
import tensorflow as tf
assert int(tf.add(1, 2)) == 3
net = tf.keras.Sequential([tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1)])
assert net(tf.zeros((3, 2))).shape == (3, 1)
"""

BOTH = """
from tensorflow.core.protobuf import meta_graph_pb2 as theirs
assert theirs.MetaGraphDef.FromString(message.SerializeToString()) == message
assert tf.make_ndarray(tf.make_tensor_proto([2.0])).tolist() == [2.0]
request.inputs["y"].CopyFrom(tf.make_tensor_proto([3.0]))
assert import_proto(names[0]) is theirs
print("fine")
"""

STUB_IS_GONE = """
assert not [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
assert import_proto(names[0]) is meta_graph_pb2
"""


def test_protos_alone(python):
    loaded = python(PROTOS + STUB_IS_GONE + "print(*sys.modules)").split()
    assert "google.protobuf" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in ("tensorflow", "torch", "keras")]


def test_missing_module_leaves_no_stub(python):
    source = """
import sys
from runtimes.tensorflow_protos import import_proto
try:
    import_proto("tensorflow.core.protobuf.absent_pb2")
except ModuleNotFoundError as err:
    print(err)
assert "tensorflow" not in sys.modules
"""
    assert "absent_pb2" in python(source)


@pytest.mark.slow
def test_protos_first(python):
    assert python(PROTOS + STUB_IS_GONE + TENSORFLOW + BOTH) == "fine\n"


@pytest.mark.slow
def test_tensorflow_after_protos_has_the_same_names(python):
    names = TENSORFLOW + "print(*sorted(dir(tf)))"
    assert python(PROTOS + names) == python(names)


@pytest.mark.slow
def test_tensorflow_first(python):
    assert python(TENSORFLOW + PROTOS + BOTH) == "fine\n"
