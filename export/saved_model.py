"""SavedModels for TF Serving: every signature of the spec, its method name, and warm-up requests."""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from safetensors.numpy import load_file

from contract.errors import ConversionError
from contract.golden import read_golden
from contract.model_spec import DEFAULT, ModelSpec, Signature
from export.signatures import Call, signature_inputs, signature_outputs
from export.warmup import write_warmup
from pipeline.spec import read_spec
from pipeline.static_graph import placeholders, restore
from pipeline.train import keras_model
from runtimes.keras_model import load_model

__all__ = ["export_converted", "export_keras", "export_keras_file", "export_static_graph"]

v1 = tf.compat.v1


def export_keras(*, out: Path, spec: Path, weights: Path, golden: Path, network: str) -> None:
    """Writes ``saved_model/`` from a Keras model that code builds, and its weights by variable path."""
    model = read_spec(spec)
    net = keras_model.build(model.network(network))
    values = load_file(weights)
    for variable in net.variables:
        variable.assign(values[variable.path])
    _export_keras(out, model, net, network, golden)


def export_keras_file(*, out: Path, spec: Path, file: Path, golden: Path, network: str) -> None:
    """Writes ``saved_model/`` from a .keras file."""
    _export_keras(out, read_spec(spec), load_model(file), network, golden)


def export_converted(*, out: Path, spec: Path, saved_model: Path, golden: Path, network: str) -> None:
    """Writes ``saved_model/`` from what a converter made, whose only signature is ``serving_default``."""
    model = read_spec(spec)
    converted = tf.saved_model.load(saved_model)
    predict = converted.signatures[DEFAULT]
    # As an argument in Python a name loses the characters that Python has not; the tensor keeps them.
    arguments = {tensor.name: argument for argument, tensor in predict.structured_input_signature[1].items()}
    _save(
        out / "saved_model",
        model,
        converted,
        lambda inputs: predict(**{arguments[name]: value for name, value in inputs.items()}),
    )
    write_warmup(out / "saved_model", model, model.network(network), read_golden(golden))


def _export_keras(out: Path, spec: ModelSpec, net: keras.Model, network: str, golden: Path) -> None:
    # Keras's own objects are left out: a TFLite file made from them converts, and then fails when it is run.
    tracked = [variable.value for variable in net.variables], list(_lookup_tables(net))
    _save(out / "saved_model", spec, tracked, lambda inputs: keras_model.call(net, spec, inputs))
    write_warmup(out / "saved_model", spec, spec.network(network), read_golden(golden))


def _lookup_tables(net: keras.Model) -> Iterable[Any]:
    """The tables of its layers that look strings or integers up; no variables, but part of the model all the same."""
    for layer in net._flatten_layers():
        table = getattr(layer, "lookup_table", None)
        if table is not None:
            yield table


def export_static_graph(*, out: Path, spec: Path, weights: Path, golden: Path, network: str) -> None:
    """Writes ``saved_model/`` from a static graph and its weights by variable name."""
    model = read_spec(spec)
    forward: Call = importlib.import_module(model.network(network).module).forward
    signatures = {}
    with tf.Graph().as_default(), v1.Session() as session:
        for signature in model.signatures:
            # Each signature has a path of its own through the graph; the variables are shared.
            with v1.variable_scope("", reuse=v1.AUTO_REUSE):
                inputs = placeholders(signature_inputs(model, signature))
                outputs = signature_outputs(model, signature, forward, inputs)
            signatures[signature.name] = v1.saved_model.build_signature_def(
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()},
                {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
                signature.method.value,
            )
        restore(session, load_file(weights))
        builder = v1.saved_model.Builder(str(out / "saved_model"))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures, strip_default_attrs=True)
        builder.save()
    write_warmup(out / "saved_model", model, model.network(network), read_golden(golden))


def _save(folder: Path, spec: ModelSpec, tracked: Any, call: Call) -> None:
    module = tf.Module()
    module.tracked = tracked
    functions = {
        signature.name: tf.function(
            _endpoint(spec, signature, call), input_signature=signature_inputs(spec, signature), autograph=False
        ).get_concrete_function()
        for signature in spec.signatures
    }
    try:
        tf.saved_model.save(module, folder, signatures=functions)
    except (ValueError, AssertionError) as err:  # a name that it cannot have, or a resource that nothing keeps
        raise ConversionError(f"TensorFlow cannot save the network: {str(err).strip().partition(chr(10))[0]}") from err
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
