"""PyTorch to ONNX."""

import importlib
from enum import Enum
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.shape_inference import InferenceError, infer_shapes
from safetensors.torch import load_file

from contract.errors import ConversionError
from contract.files import write_json
from contract.model_spec import ModelSpec
from models import load_spec
from pipeline.stage import Result
from runtimes.session import one_line

__all__ = ["Exporter", "export_onnx"]


class Exporter(Enum):
    """Which of torch's two exporters makes the file."""

    DYNAMO = "dynamo"
    TORCHSCRIPT = "torchscript"


# The dynamo exporter needs an example of each dynamic axis, and takes a size of 1 for a constant.
_EXAMPLE_SIZE = 2


def export_onnx(*, out: Path, weights: Path, model: str, network: str, exporter: str, opset: int | None) -> Result:
    """Writes ``model.onnx``, and ``onnx.json`` with its opset.

    Args:
        out: folder to write into.
        weights: the trained state dict, safetensors.
        model: the model's name.
        network: which of its networks.
        exporter: a value of `Exporter`.
        opset: the ONNX opset, or None for the exporter's default.

    Raises:
        ConversionError: the exporter cannot export the network, not in this opset, or ONNX refuses what came out.
    """
    spec = load_spec(model)
    net = importlib.import_module(spec.network(network).module).build()
    net.load_state_dict(load_file(weights))
    net.eval()
    try:
        graph = _EXPORTERS[Exporter(exporter)](net, spec, opset, out / "model.onnx")
    except RuntimeError as err:  # the root of torch.onnx.OnnxExporterError
        first_line = str(err).strip().partition("\n")[0]
        raise ConversionError(f"torch's {exporter} exporter cannot export network {network}: {first_line}") from err
    _remove_paths(graph)
    try:
        onnx.checker.check_model(graph, full_check=True)
        graph = infer_shapes(graph, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, InferenceError) as err:
        raise ConversionError(f"torch's {exporter} exporter made a file that ONNX refuses: {one_line(err)}") from err
    used = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if opset not in (None, used):
        # The dynamo exporter writes its own opset, without an error, where it cannot convert to the wanted one.
        raise ConversionError(
            f"asked for opset {opset}, torch's {exporter} exporter gave {used}; choose another --opset"
        )
    onnx.save(graph, out / "model.onnx")
    write_json(out / "onnx.json", {"opset": used, "ir_version": graph.ir_version, "exporter": exporter})
    return {"note": f"opset {used}"}


def _arguments(net: torch.nn.Module, spec: ModelSpec, opset: int | None) -> dict[str, Any]:
    sizes = {axis: _EXAMPLE_SIZE for tensor in spec.inputs for axis in tensor.dynamic_axes.values()}
    example = {
        tensor.name: torch.zeros(tensor.sized(sizes), dtype=getattr(torch, tensor.dtype)) for tensor in spec.inputs
    }
    return {
        "model": net,
        "args": (),
        "kwargs": example,
        "input_names": [tensor.name for tensor in spec.inputs],
        "output_names": [tensor.name for tensor in spec.outputs],
        "opset_version": opset,
        # Weights belong into the file: below protobuf's 2 GB the dynamo exporter would leave an empty .data behind.
        "external_data": False,
        "verbose": False,
    }


def _dynamo(net: torch.nn.Module, spec: ModelSpec, opset: int | None, path: Path) -> onnx.ModelProto:
    axes = {axis: torch.export.Dim(axis) for tensor in spec.inputs for axis in tensor.dynamic_axes.values()}
    shapes: dict[str, Any] = {
        tensor.name: {position: axes[axis] for position, axis in tensor.dynamic_axes.items()} for tensor in spec.inputs
    }
    program = torch.onnx.export(**_arguments(net, spec, opset), dynamo=True, dynamic_shapes=shapes)
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    return graph


def _torchscript(net: torch.nn.Module, spec: ModelSpec, opset: int | None, path: Path) -> onnx.ModelProto:
    axes = {tensor.name: tensor.dynamic_axes for tensor in (*spec.inputs, *spec.outputs)}
    torch.onnx.export(**_arguments(net, spec, opset), f=path, dynamo=False, dynamic_axes=axes)
    return onnx.load(path)


_EXPORTERS = {Exporter.DYNAMO: _dynamo, Exporter.TORCHSCRIPT: _torchscript}


def _remove_paths(graph: onnx.ModelProto) -> None:
    """Drops the stack traces that the dynamo exporter attaches: they hold absolute paths of this machine.

    ``pkg.torch.onnx.name_scopes``, which leads back to the module, stays.
    """
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.functions):
        kept = [entry for entry in part.metadata_props if entry.key != "pkg.torch.onnx.stack_trace"]
        del part.metadata_props[:]
        part.metadata_props.extend(kept)
