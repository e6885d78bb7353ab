"""`showdown predict`."""

import json
from argparse import Namespace

from contract.errors import UsageError
from inspection import Kind, kind_of
from runtimes import load, run_real
from runtimes.real_inputs import fitted, json_outputs, read_values, short_text

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


def predict(options: Namespace) -> None:
    """Runs a model file once and shows its outputs."""
    kind = kind_of(options.file)
    runtime = _runtime(kind, options)
    if options.signature is not None and kind in _WITHOUT_SIGNATURES:
        what = _WITHOUT_SIGNATURES[kind]
        raise UsageError(f"{options.file}: {what} has one graph and no signatures; leave --signature out")
    values = read_values(options.input)
    with load(runtime, options.file, signature=options.signature or "serving_default") as session:
        outputs = run_real(session, fitted(values, session, allow_nan=options.allow_nan))
    if options.json:
        print(json.dumps(json_outputs(outputs)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("output", "dtype", "shape", f"values by {runtime}"):
        table.add_column(column, overflow="fold")
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
