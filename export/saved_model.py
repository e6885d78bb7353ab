"""SavedModels for TF Serving: every signature of the spec, its method name, and warm-up requests."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from safetensors.numpy import load_file

from contract.golden import read_golden
from contract.model_spec import ModelSpec, Signature
from export.signatures import Call, signature_inputs, signature_outputs
from export.warmup import write_warmup
from models import load_spec
from pipeline.static_graph import placeholders, restore
from pipeline.train.keras_model import call as call_keras

__all__ = ["export_converted", "export_keras", "export_static_graph"]

v1 = tf.compat.v1


def export_keras(*, out: Path, weights: Path, golden: Path, model: str, network: str) -> None:
    """Writes ``saved_model/`` from a Keras model and its weights by variable path."""
    spec = load_spec(model)
    net = importlib.import_module(spec.network(network).module).build()
    values = load_file(weights)
    for variable in net.variables:
        variable.assign(values[variable.path])
    # Keras's own objects are left out: a TFLite file made from them converts, and then fails when it is run.
    variables = [variable.value for variable in net.variables]
    _save(out / "saved_model", spec, variables, lambda inputs: call_keras(net, spec, inputs))
    write_warmup(out / "saved_model", spec, spec.network(network), read_golden(golden))


def export_converted(*, out: Path, saved_model: Path, golden: Path, model: str, network: str) -> None:
    """Writes ``saved_model/`` from what a converter made, whose only signature is ``serving_default``."""
    spec = load_spec(model)
    converted = tf.saved_model.load(saved_model)
    predict = converted.signatures["serving_default"]
    _save(out / "saved_model", spec, converted, lambda inputs: predict(**inputs))
    write_warmup(out / "saved_model", spec, spec.network(network), read_golden(golden))


def export_static_graph(*, out: Path, weights: Path, golden: Path, model: str, network: str) -> None:
    """Writes ``saved_model/`` from a static graph and its weights by variable name."""
    spec = load_spec(model)
    forward: Call = importlib.import_module(spec.network(network).module).forward
    signatures = {}
    with tf.Graph().as_default(), v1.Session() as session:
        for signature in spec.signatures:
            # Each signature has a path of its own through the graph; the variables are shared.
            with v1.variable_scope("", reuse=v1.AUTO_REUSE):
                inputs = placeholders(signature_inputs(spec, signature))
                outputs = signature_outputs(spec, signature, forward, inputs)
            signatures[signature.name] = v1.saved_model.build_signature_def(
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()},
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
                signature.method.value,
            )
        restore(session, load_file(weights))
        builder = v1.saved_model.Builder(str(out / "saved_model"))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures, strip_default_attrs=True)
        builder.save()
    write_warmup(out / "saved_model", spec, spec.network(network), read_golden(golden))


def _save(folder: Path, spec: ModelSpec, tracked: Any, call: Call) -> None:
    module = tf.Module()
    module.tracked = tracked
    functions = {
        signature.name: tf.function(
            _endpoint(spec, signature, call), input_signature=signature_inputs(spec, signature), autograph=False
        ).get_concrete_function()
        for signature in spec.signatures
    }
    tf.saved_model.save(module, folder, signatures=functions)
    # TensorFlow 2 writes the method name of predict into every signature.
    methods = v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
    for signature in spec.signatures:
        methods.replace_method_name(signature_key=signature.name, method_name=signature.method.value)
    methods.save()
    # A random id, and a checksum of the file from before the method names were set; a SavedModel is whole without it.
    (folder / "fingerprint.pb").unlink()


def _endpoint(spec: ModelSpec, signature: Signature, call: Call) -> Callable[..., dict[str, tf.Tensor]]:
    names = [tensor.name for tensor in signature_inputs(spec, signature)]
    return lambda *inputs: signature_outputs(spec, signature, call, dict(zip(names, inputs, strict=True)))
