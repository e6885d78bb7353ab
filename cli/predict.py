"""`showdown predict`."""

import json
from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from contract.errors import SpecError, StatusError, UsageError
from inspection import Kind, kind_of
from runtimes import Session, load, run_real
from runtimes.real_inputs import fitted, json_outputs, read_values, short_text
from runtimes.session import one_line

if TYPE_CHECKING:
    from serving.client import Signature

__all__ = ["predict"]

_RUNTIMES = {
    Kind.ONNX: ("onnxruntime",),
    Kind.SAVED_MODEL: ("tensorflow_c",),
    Kind.TFLITE: ("ai_edge_litert", "tflite_runtime"),
    Kind.KERAS: ("keras",),
    Kind.PT2: ("torch",),
}
"""The runtimes that take a format, the default first."""

_WITHOUT_SIGNATURES = {Kind.ONNX: "an ONNX file", Kind.KERAS: "a Keras file", Kind.PT2: "a .pt2 file"}


_OF_A_SERVER = ("model", "version", "label")


def predict(options: Namespace) -> None:
    """Runs a model once, in a file or on a server, and shows its outputs."""
    if options.server is not None:
        _predict_served(options)
        return
    if options.file is None:
        raise UsageError("what shall run? give a FILE, or --server HOST:PORT --model NAME")
    for name in _OF_A_SERVER:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for a model on a server: --server HOST:PORT")
    kind = kind_of(options.file)
    runtime = _runtime(kind, options)
    if options.signature is not None and kind in _WITHOUT_SIGNATURES:
        what = _WITHOUT_SIGNATURES[kind]
        raise UsageError(f"{options.file}: {what} has one graph and no signatures; leave --signature out")
    values = read_values(options.input)
    with load(runtime, options.file, signature=options.signature or "serving_default") as session:
        outputs = run_real(session, fitted(values, session, allow_nan=options.allow_nan))
    _show(outputs, runtime, options)


def _predict_served(options: Namespace) -> None:
    """Runs a model on a server."""
    from serving.client import Client

    if options.file is not None:
        raise UsageError(f"{options.file} and --server: one of them says what runs")
    if options.runtime is not None:
        raise UsageError("--runtime is for a file; a server runs its models in its own")
    if options.model is None:
        raise UsageError("--server: say which model: --model NAME")
    values = read_values(options.input)
    which: dict[str, Any] = {"model": options.model, "version": options.version, "label": options.label}
    name = options.signature or "serving_default"
    try:
        with Client(options.server) as client:
            signatures = client.metadata(**which)
            if name not in signatures:
                names = ", ".join(sorted(signatures))
                raise SpecError(f"{options.model}: there is no signature {name!r}, only {names}")
            inputs = fitted(values, _described(signatures[name], values), allow_nan=options.allow_nan)
            outputs = client.predict(inputs, **which, signature=name)
    except StatusError as err:
        raise StatusError(err.code, one_line(err.message)) from err
    _show(outputs, options.server, options)


def _described(signature: "Signature", values: Mapping[str, Any] | list[Any]) -> Session:
    """A signature as `fitted` reads a session: without the inputs that are left to the server's defaults."""
    from serving.client.tensors import numpy_type

    given = () if isinstance(values, list) else values
    inputs = tuple(spec for spec in signature.inputs if spec.name in given or spec.name not in signature.optional)
    for spec in inputs:
        if numpy_type(spec.dtype) is None:
            raise SpecError(f"input {spec.name}: wanted {spec}, which no array can give")
    return cast("Session", SimpleNamespace(inputs=inputs, quantization={}))


def _show(outputs: Mapping[str, Any], where: str, options: Namespace) -> None:
    """Prints the outputs; ``where`` they come from heads their column."""
    if options.json:
        print(json.dumps(json_outputs(outputs)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("output", "dtype", "shape", f"values by {where}"):
        table.add_column(Text(column), overflow="fold")
    for name, array in outputs.items():
        dtype = "string" if array.dtype.name == "object" else array.dtype.name
        table.add_row(Text(name), dtype, Text(str(list(array.shape))), Text(short_text(array)))
    Console().print(table)


def _runtime(kind: Kind, options: Namespace) -> str:
    """The runtime that was asked for, if it takes the format, else the format's default."""
    if kind not in _RUNTIMES:
        raise UsageError(f"{options.file}: no runtime here runs {kind} files; predict takes {', '.join(_RUNTIMES)}")
    names = _RUNTIMES[kind]
    if options.runtime is None:
        return names[0]
    if options.runtime not in names:
        raise UsageError(f"{options.file}: {options.runtime} does not run {kind} files; choose {' or '.join(names)}")
    return str(options.runtime)
