"""Writes right and broken models of the OR gate into a folder; run as a program, because it imports TensorFlow.

::

    right/              SavedModel with all signatures of the spec, weights of seed 0
    swapped/            its inputs are swapped
    no_bias/            without the bias of the hidden layer
    constant/           the right answer to 1,1 whatever the input
    shifted/            1e-3 is added to every answer
    naive/              a sigmoid that overflows: NaN for huge inputs, right for all others
    wrong_name/         its output is z
    wrong_dtype/        its output is float64
    wrong_methods/      every signature has the method name of predict, as TensorFlow 2 writes it
    no_regress/         without the signature regress
    wrong_classes/      the labels of classify are swapped
    no_scores/          classify gives the labels alone
    wrong_regress/      regress gives the probability of 0
    <name>.tflite       float32, of some of these
    wide.dynamic.tflite a dense layer 64 -> 64 in dynamic range, FULLY_CONNECTED version 12; its weights in wide.npz
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from contract.model_spec import Method, Signature
from export.signatures import Call, signature_inputs, signature_outputs
from models.or_gate import numpy_net
from models.or_gate.spec import SPEC

Tensors = Mapping[str, tf.Tensor]
BROKEN_SIGNATURE = {"wrong_classes": "classify", "no_scores": "classify", "wrong_regress": "regress"}
TFLITE = ("right", "swapped", "no_bias", "shifted")


class Network(tf.Module):
    """The network with trained weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = {name: tf.Variable(value, dtype=tf.float32) for name, value in numpy_net.train(0).items()}

    def logit(self, x: tf.Tensor, *, hidden_bias: bool = True) -> tf.Tensor:
        """[batch, 2] to [batch, 1]."""
        hidden = tf.matmul(x, self.weights["hidden.weight"], transpose_b=True)
        hidden = tf.sigmoid(hidden + self.weights["hidden.bias"] if hidden_bias else hidden)
        return tf.matmul(hidden, self.weights["output.weight"], transpose_b=True) + self.weights["output.bias"]

    def right(self, inputs: Tensors) -> Tensors:
        return {"y": tf.sigmoid(self.logit(inputs["x"]))}

    def swapped(self, inputs: Tensors) -> Tensors:
        return {"y": tf.sigmoid(self.logit(tf.reverse(inputs["x"], [1])))}

    def no_bias(self, inputs: Tensors) -> Tensors:
        return {"y": tf.sigmoid(self.logit(inputs["x"], hidden_bias=False))}

    def constant(self, inputs: Tensors) -> Tensors:
        return self.right({"x": tf.ones_like(inputs["x"])})

    def shifted(self, inputs: Tensors) -> Tensors:
        return {"y": self.right(inputs)["y"] + 1e-3}

    def naive(self, inputs: Tensors) -> Tensors:
        hidden = tf.matmul(inputs["x"], self.weights["hidden.weight"], transpose_b=True) + self.weights["hidden.bias"]
        hidden = tf.exp(hidden) / (1 + tf.exp(hidden))
        logit = tf.matmul(hidden, self.weights["output.weight"], transpose_b=True) + self.weights["output.bias"]
        return {"y": tf.sigmoid(logit)}

    def wrong_name(self, inputs: Tensors) -> Tensors:
        return {"z": self.right(inputs)["y"]}

    def wrong_dtype(self, inputs: Tensors) -> Tensors:
        return {"y": tf.cast(self.right(inputs)["y"], tf.float64)}


def endpoint(net: Network, signature: Signature, call: Call, broken: str) -> Callable[[tf.Tensor], Tensors]:
    """What a signature computes: ``call`` for serving_default, else the right thing but for what is ``broken``."""
    if signature.method is Method.PREDICT:
        return lambda x: call({"x": x})
    changes: dict[str, Callable[[Tensors], Tensors]] = {
        "wrong_classes": lambda outputs: {**outputs, "classes": tf.reverse(outputs["classes"], [1])},
        "no_scores": lambda outputs: {"classes": outputs["classes"]},
        "wrong_regress": lambda outputs: {"outputs": 1 - outputs["outputs"]},
    }
    is_broken = signature.name == BROKEN_SIGNATURE.get(broken)
    change = changes[broken] if is_broken else lambda outputs: outputs
    return lambda examples: change(signature_outputs(SPEC, signature, net.right, {"inputs": examples}))


def save(folder: Path, net: Network, call: Call, *, broken: str = "") -> None:
    """Saves the signatures of the spec as the export does, but for what is ``broken``."""
    signatures = [signature for signature in SPEC.signatures if (broken, signature.name) != ("no_regress", "regress")]
    functions = {
        signature.name: tf.function(
            endpoint(net, signature, call, broken), input_signature=signature_inputs(SPEC, signature), autograph=False
        ).get_concrete_function()
        for signature in signatures
    }
    tf.saved_model.save(net, str(folder), signatures=functions)
    if broken != "wrong_methods":
        methods = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
        for signature in signatures:
            methods.replace_method_name(signature_key=signature.name, method_name=signature.method.value)
        methods.save()


def write_wide(folder: Path) -> None:
    """A dense layer large enough for the dynamic-range recipe to quantize it (more than 1,024 weights)."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.uniform(-1, 1, (64, 64)).astype(np.float32), rng.uniform(-1, 1, 64).astype(np.float32)
    np.savez(folder / "wide.npz", kernel=kernel, bias=bias)
    wide = tf.Module()
    wide.kernel, wide.bias = tf.Variable(kernel), tf.Variable(bias)
    function = tf.function(
        lambda x: {"y": tf.matmul(x, wide.kernel) + wide.bias},
        input_signature=[tf.TensorSpec([None, 64], tf.float32, "x")],
        autograph=False,
    )
    tf.saved_model.save(wide, str(folder / "wide"), signatures={"serving_default": function.get_concrete_function()})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "wide"), signature_keys=["serving_default"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "wide.dynamic.tflite").write_bytes(converter.convert())


def main(folder: Path) -> None:
    """Writes all models."""
    net = Network()
    for call in (
        *(net.right, net.swapped, net.no_bias, net.constant, net.shifted, net.naive),
        *(net.wrong_name, net.wrong_dtype),
    ):
        save(folder / call.__name__, net, call)
    for broken in ("wrong_methods", "no_regress", *BROKEN_SIGNATURE):
        save(folder / broken, net, net.right, broken=broken)
    for name in TFLITE:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / name), signature_keys=["serving_default"])
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    write_wide(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
