"""PyTorch to ONNX."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.shape_inference import InferenceError, infer_shapes
from safetensors.torch import load_file

from contract.errors import ConversionError, SpecError
from contract.files import write_json
from contract.model_spec import ModelSpec
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.train.pytorch import build
from runtimes.session import one_line
from runtimes.torch_export import load_program

__all__ = ["Exporter", "export_onnx", "export_program"]


class Exporter(Enum):
    """Which of torch's two exporters makes the file."""

    DYNAMO = "dynamo"
    TORCHSCRIPT = "torchscript"


# The dynamo exporter needs an example of each dynamic axis, and takes a size of 1 for a constant.
_EXAMPLE_SIZE = 2

Net = torch.nn.Module | torch.export.ExportedProgram


def export_onnx(*, out: Path, spec: Path, weights: Path, network: str, exporter: str, opset: int | None) -> Result:
    """Writes ``model.onnx``, and ``onnx.json`` with its opset.

    Args:
        out: folder to write into.
        spec: the model's spec.
        weights: the trained state dict, safetensors.
        network: which of its networks.
        exporter: a value of `Exporter`.
        opset: the ONNX opset, or None for the exporter's default.

    Raises:
        ConversionError: the exporter cannot export the network, not in this opset, or ONNX refuses what came out.
    """
    model = read_spec(spec)
    net = build(model.network(network))
    net.load_state_dict(load_file(weights))
    net.eval()
    return _export(out, net, model, network, Exporter(exporter), opset)


def export_program(*, out: Path, spec: Path, program: Path, network: str, exporter: str, opset: int | None) -> Result:
    """As `export_onnx`, from a program of torch.export in a .pt2 file, which has its weights in it.

    Raises:
        SpecError: another exporter than dynamo is asked for, which is the only one that takes programs.
    """
    if Exporter(exporter) is not Exporter.DYNAMO:
        raise SpecError(f"torch's {exporter} exporter takes no .pt2 program; leave --exporter out")
    return _export(out, load_program(program), read_spec(spec), network, Exporter.DYNAMO, opset)


def _export(out: Path, net: Net, spec: ModelSpec, network: str, exporter: Exporter, opset: int | None) -> Result:
    by = f"torch's {exporter.value} exporter"
    try:
        graph = _EXPORTERS[exporter](net, spec, opset, out / "model.onnx")
    except (RuntimeError, torch._dynamo.exc.UserError) as err:  # RuntimeError is the root of OnnxExporterError
        raise ConversionError(f"{by} cannot export network {network}: {_reason(err)}") from err
    _remove_paths(graph)
    try:
        onnx.checker.check_model(graph, full_check=True)
        graph = infer_shapes(graph, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, InferenceError) as err:
        raise ConversionError(f"{by} made a file that ONNX refuses: {one_line(err)}") from err
    used = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if opset not in (None, used):
        # The dynamo exporter writes its own opset, without an error, where it cannot convert to the wanted one.
        raise ConversionError(f"asked for opset {opset}, {by} gave {used}; choose another --opset")
    onnx.save(graph, out / "model.onnx")
    write_json(out / "onnx.json", {"opset": used, "ir_version": graph.ir_version, "exporter": exporter.value})
    return {"note": f"opset {used}"}


def _reason(err: BaseException) -> str:
    """The first line of what went wrong first: the exporter wraps it in one that only says in which of its steps."""
    while err.__cause__ is not None:
        err = err.__cause__
    return str(err).strip().partition("\n")[0]


def _arguments(net: Net, spec: ModelSpec, opset: int | None) -> dict[str, Any]:
    return {
        "model": net,
        "args": (),
        "kwargs": _example(spec),
        "input_names": [tensor.name for tensor in spec.inputs],
        "output_names": [tensor.name for tensor in spec.outputs],
        "opset_version": opset,
        # Weights belong into the file: below protobuf's 2 GB the dynamo exporter would leave an empty .data behind.
        "external_data": False,
        "verbose": False,
    }


def _example(spec: ModelSpec) -> Mapping[str, torch.Tensor]:
    axes = {axis for tensor in spec.inputs for axis in tensor.dynamic_axes.values()}
    sizes = {axis: max(_EXAMPLE_SIZE, *spec.axis_sizes.get(axis, (_EXAMPLE_SIZE,))) for axis in axes}
    return {
        tensor.name: torch.full(tensor.sized(sizes), tensor.minimum or 0, dtype=getattr(torch, tensor.dtype))
        for tensor in spec.inputs
    }


def _dynamo(net: Net, spec: ModelSpec, opset: int | None, path: Path) -> onnx.ModelProto:
    if isinstance(net, torch.export.ExportedProgram):
        shapes = None  # it was made with its own
    else:
        axes = {axis: torch.export.Dim(axis) for tensor in spec.inputs for axis in tensor.dynamic_axes.values()}
        shapes = {t.name: {position: axes[axis] for position, axis in t.dynamic_axes.items()} for t in spec.inputs}
    program = torch.onnx.export(**_arguments(net, spec, opset), dynamo=True, dynamic_shapes=shapes)
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    return graph


def _torchscript(net: Net, spec: ModelSpec, opset: int | None, path: Path) -> onnx.ModelProto:
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
