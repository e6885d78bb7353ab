"""Writes the models of these tests into a folder; run as a program, because it imports TensorFlow.

::

    network/                 SavedModel: x float32[?, 2] -> y float32[?, 1], the weights of weights.json
    network.tflite           the same in float32
    network.int8.tflite      the same with int8 input and output, per tensor
    wide.dynamic.tflite      dynamic range, weights of more than 1,024 elements: a hybrid FULLY_CONNECTED version 12
    signed.tflite            two signatures: echo of strings, convert of float32 and bool
    unsigned.tflite          convert alone, without signatures
    mixed/                   SavedModel of int64, bool and string tensors, with a second signature and a failing one
    dtypes/                  SavedModel that gives every tensor back, one input for each fixed-size dtype
    examples/                SavedModel, method name classify: one string input of serialized tf.Example
    memory/                  SavedModel that keeps the last string it was given in a variable
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

DTYPES = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


def write_network(folder: Path) -> None:
    """The 2-2-1 sigmoid network as SavedModel and .tflite files."""
    weights = json.loads(Path(__file__).with_name("weights.json").read_text(encoding="utf-8"))
    hidden = keras.layers.Dense(2, activation="sigmoid")
    output = keras.layers.Dense(1, activation="sigmoid")
    net = keras.Sequential([keras.layers.Input((2,)), hidden, output])
    hidden.set_weights([np.array(weights["hidden_kernel"]), np.array(weights["hidden_bias"])])
    output.set_weights([np.array(weights["output_kernel"]), np.array(weights["output_bias"])])
    export_net(net, 2, folder / "network")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "network"), signature_keys=["serving_default"])
    (folder / "network.tflite").write_bytes(converter.convert())
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]], np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"x": row[None]} for row in corners)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    (folder / "network.int8.tflite").write_bytes(converter.convert())


def write_wide(folder: Path) -> None:
    """A dense layer large enough for the dynamic-range recipe to quantize it (more than 1,024 weights)."""
    net = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(64)])
    export_net(net, 64, folder / "wide")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "wide"), signature_keys=["serving_default"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "wide.dynamic.tflite").write_bytes(converter.convert())


class Small(tf.Module):
    """What a TFLite file can do beside float numbers."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def echo(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gives the text back."""
        return {"same": tf.identity(text)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="a"), tf.TensorSpec((), tf.bool, name="b")])
    def convert(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        """Cuts the fractions off, negates the flag."""
        return {"whole": tf.cast(a, tf.int64), "negated": tf.logical_not(b)}


def write_small(folder: Path) -> None:
    """A file with two signatures and one without any."""
    small = Small()
    tf.saved_model.save(small, str(folder / "small"), signatures={"echo": small.echo, "convert": small.convert})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "small"))
    (folder / "signed.tflite").write_bytes(converter.convert())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([small.convert.get_concrete_function()])
    (folder / "unsigned.tflite").write_bytes(converter.convert())


def export_net(net: keras.Model, width: int, path: Path) -> None:
    """Exports ``net`` with input x [batch, width] and output y."""
    archive = keras.export.ExportArchive()
    archive.track(net)
    archive.add_endpoint(
        "serving_default",
        lambda x: {"y": net(x)},
        input_signature=[tf.TensorSpec((None, width), tf.float32, name="x")],
    )
    archive.write_out(str(path), verbose=False)


class Mixed(tf.Module):
    """Signatures over int64, bool and string tensors."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.int64, name="count"),
            tf.TensorSpec((None,), tf.bool, name="flag"),
            tf.TensorSpec((None,), tf.string, name="text"),
        ]
    )
    def mix(self, count: tf.Tensor, flag: tf.Tensor, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Doubles what is flagged, negates the flags, joins each text with itself, gives the text back."""
        return {
            "doubled": tf.where(flag, count * 2, count),
            "negated": tf.logical_not(flag),
            "joined": tf.strings.join([text, text]),
            "same": tf.identity(text),
        }

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="text")])
    def length(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """A scalar in, a scalar out."""
        return {"length": tf.strings.length(text)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
    def fail(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Refuses a negative number with INVALID_ARGUMENT, and reads a file that is not there with NOT_FOUND."""
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, message="negative number")]):
            content = tf.cond(x[0] > 1, lambda: tf.io.read_file("/no/such/file"), lambda: tf.constant(b""))
        return {"content": content}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def free(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes a tensor of any rank."""
        return {"y": x + 1}


class Dtypes(tf.Module):
    """One input and one output of each fixed-size dtype."""

    @tf.function(input_signature=[[tf.TensorSpec((None, 2), dtype, name=f"in_{dtype}") for dtype in DTYPES]])
    def call(self, values: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Gives each tensor back."""
        return {f"out_{dtype}": tf.identity(value) for dtype, value in zip(DTYPES, values, strict=True)}


class Memory(tf.Module):
    """Keeps the tensor of a call for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.last = tf.Variable([b""], shape=(None,), dtype=tf.string)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def call(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gives the text of the call before."""
        before = tf.identity(self.last)
        with tf.control_dependencies([before]):
            self.last.assign(text)
        return {"before": before}


def write_examples(folder: Path) -> None:
    """A static graph that parses serialized tf.Example, as a classify signature of TF 1's builder."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, (None,), name="examples")
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature((2,), tf.float32)})["x"]
        scores = tf.reduce_sum(x, axis=1, keepdims=True)
        signature = v1.saved_model.classification_signature_def(examples, classes=None, scores=scores)
        builder = v1.saved_model.Builder(str(folder / "examples"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def write_example_file(folder: Path) -> None:
    """Two serialized tf.Example, one a file."""
    for number, values in enumerate(([0.25, 0.5], [3.0, 4.0])):
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        example = tf.train.Example(features=tf.train.Features(feature={"x": feature}))
        (folder / f"example{number}.pb").write_bytes(example.SerializeToString())


def main(folder: Path) -> None:
    """Writes all models."""
    write_network(folder)
    write_wide(folder)
    write_small(folder)
    mixed = Mixed()
    signatures = {"serving_default": mixed.mix, "length": mixed.length, "fail": mixed.fail, "free": mixed.free}
    tf.saved_model.save(mixed, str(folder / "mixed"), signatures=signatures)
    for name, module in (("dtypes", Dtypes()), ("memory", Memory())):
        tf.saved_model.save(module, str(folder / name), signatures=module.call)
    write_examples(folder)
    write_example_file(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
