"""Converts and runs test cases, one at a time, in a process of its own: a crash takes this process and one case.

It reads the name of a case from each line of standard input, and answers with a line of JSON.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.onnx_conformance.cases import Case, cases
from contract.errors import ShowdownError
from pipeline.onnx_to_tf import save, to_module
from pipeline.onnx_to_tf.ops import registry
from pipeline.to_tensorflow.converter import Converter, load_converter

RTOL, ATOL = 1e-3, 1e-7
"""What onnx allows in its own runner: onnx/backend/test/case/test_case.py."""

_NOT_TENSORS = "a sequence or an optional is an input or an output"


class MismatchError(Exception):
    """The SavedModel answered something else than the test expects."""


def main() -> None:
    """Answers until standard input ends.

    Arguments: the converter; ``saved_model`` or ``tflite``, what is run; and operators of which onnx's own definition
    is converted.
    """
    name, target, *as_defined = sys.argv[1:]
    convert = partial(_as_defined, as_defined) if as_defined else load_converter(name)
    run = _run_tflite if target == "tflite" else _run_saved_model
    by_name = {case.name: case for case in cases()}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints does not end up between the answers
    for line in sys.stdin:
        name = line.strip()
        try:
            _check(by_name[name], convert, run)
            status, reason = "passed", ""
        except MismatchError as err:
            status, reason = "wrong", str(err)
        except ShowdownError as err:
            status, reason = "refused", str(err)
        except Exception as err:  # noqa: BLE001 - the outermost frame of a case: reported by its type
            status, reason = "error", f"{type(err).__name__}: {err}"
        print(
            json.dumps({"name": name, "status": status, "reason": " ".join(reason.split())}), file=answers, flush=True
        )


Inputs = dict[str, NDArray[Any]]


def _as_defined(operators: Sequence[str], model: onnx.ModelProto, folder: Path) -> None:
    save(to_module(model, operators=registry(as_defined=operators)), folder)


def _check(case: Case, convert: Converter, run: Callable[[Path], Callable[[Inputs], Inputs]]) -> None:
    model = onnx.load(case.folder / "model.onnx")
    graph = ir.from_proto(model).graph
    if not all(isinstance(value.type, ir.TensorType) for value in (*graph.inputs, *graph.outputs)):
        raise MismatchError(_NOT_TENSORS)
    with tempfile.TemporaryDirectory() as folder:
        saved_model = Path(folder) / "saved_model"
        convert(model, saved_model)
        call = run(saved_model)
        for data in sorted(case.folder.glob("test_data_set_*")):
            inputs = {
                str(value.name): _read(data / f"input_{position}.pb", value)
                for position, value in enumerate(graph.inputs)
                if (data / f"input_{position}.pb").stat().st_size
            }
            outputs = call(inputs)
            for position, value in enumerate(graph.outputs):
                _compare(str(value.name), _read(data / f"output_{position}.pb", value), outputs[str(value.name)])


def _run_saved_model(saved_model: Path) -> Callable[[Inputs], Inputs]:
    loaded = tf.saved_model.load(str(saved_model))
    signature = loaded.signatures["serving_default"]
    signature.showdown_owner = loaded  # its variables live as long as this does

    def call(inputs: Inputs) -> Inputs:
        outputs = signature(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: _as_array(tensor) for name, tensor in outputs.items()}

    return call


def _as_array(tensor: tf.Tensor) -> NDArray[Any]:
    """What a tensor holds: a text without axes comes as bytes from TensorFlow."""
    return np.asarray(tensor.numpy(), dtype=object if tensor.dtype == tf.string else None)


def _run_tflite(saved_model: Path) -> Callable[[Inputs], Inputs]:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serving_default"])
    try:
        content = converter.convert()
    except Exception as err:
        missing = re.findall(r"(?:custom op|Flex ops|Custom ops|ops:) *(.*)", str(err))
        raise MismatchError(f"TFLite: {missing or str(err)[:300]}") from err
    runner = tf.lite.Interpreter(model_content=content).get_signature_runner("serving_default")
    return lambda inputs: dict(runner(**inputs))


def _read(path: Path, value: ir.Value) -> NDArray[Any]:
    array: NDArray[Any] = ir.from_proto(onnx.TensorProto.FromString(path.read_bytes())).numpy()
    if value.dtype == ir.DataType.BFLOAT16 and array.dtype == np.uint16:
        array = array.view(value.dtype.numpy())  # so are some of the files made
    return array.astype(object) if value.dtype == ir.DataType.STRING else array


def _compare(name: str, expected: NDArray[Any], given: NDArray[Any]) -> None:
    if expected.dtype != given.dtype or expected.shape != given.shape:
        raise MismatchError(f"{name}: {given.dtype}{given.shape} instead of {expected.dtype}{expected.shape}")
    if expected.dtype == object:
        as_bytes = np.vectorize(lambda text: text.encode() if isinstance(text, str) else text, otypes=[object])
        if expected.size and not np.array_equal(as_bytes(expected), given):
            raise MismatchError(f"{name}: {given.ravel()[:5]} instead of {expected.ravel()[:5]}")
        return
    wide = np.complex128 if np.iscomplexobj(expected) else np.float64
    a, b = (x if x.dtype.kind in "iub" else x.astype(wide) for x in (given, expected))
    if not np.allclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True):
        off = np.abs(a.astype(wide) - b.astype(wide))
        raise MismatchError(f"{name}: off by up to {np.nanmax(off):.6g}: {a.ravel()[:5]} instead of {b.ravel()[:5]}")


if __name__ == "__main__":
    main()
