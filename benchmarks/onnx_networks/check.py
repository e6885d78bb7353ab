"""Converts an exported network and holds every file against ONNX Runtime; run as a process, prints a line of JSON."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from numpy.typing import NDArray

from contract.errors import ShowdownError
from pipeline.onnx_to_tf.convert import to_module
from pipeline.onnx_to_tf.module import save

__all__ = ["Checked", "check"]

Tensors = Mapping[str, NDArray[Any]]
Run = Callable[[Tensors], Tensors]

_SECONDS_OF_TIMING = 1.5


@dataclass(slots=True)
class Checked:
    """What was measured of one network.

    Attributes:
        nodes: of the ONNX graph, subgraphs included.
        seconds: of the conversion itself: imports, reading and TFLite left out; writing the SavedModel in it.
        saved_model: the largest difference to ONNX Runtime over all calls, in parts of the largest value of the output;
            or an error in words.
        tflite: the same of the TFLite file of built-in operators alone; or what it would need, or an error.
        onnxruntime_ms: median time of a call.
        saved_model_ms: likewise, by the signature.
        tflite_ms: likewise.
    """

    nodes: int = 0
    seconds: float = 0.0
    saved_model: float | str = "not run"
    tflite: float | str = "not run"
    onnxruntime_ms: float | None = None
    saved_model_ms: float | None = None
    tflite_ms: float | None = None


def check(path: Path, calls: list[Tensors]) -> Checked:
    """Converts a file and runs it.

    Args:
        path: the .onnx file.
        calls: inputs by name; the first is also what is timed.
    """
    found = Checked()
    model = onnx.load(path)
    found.nodes = _count(model.graph)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = {value.name for value in session.get_inputs()}
    calls = [{name: array for name, array in call.items() if name in taken} for call in calls]
    runs: dict[str, Run] = {"onnxruntime": lambda call: dict(zip(names, session.run(None, dict(call)), strict=True))}
    # Its optimizer rewrites a quantized softmax coarsely: what counts is the graph as it was written.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    expected: list[Tensors] = [dict(zip(names, plain.run(None, dict(call)), strict=True)) for call in calls]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        try:
            save(to_module(model), Path(folder))
            found.seconds = time.perf_counter() - start
            runs["saved_model"] = _saved_model(Path(folder))
            found.saved_model = _difference(runs["saved_model"], calls, expected)
        except (ShowdownError, tf.errors.OpError) as err:
            found.saved_model = _line(err)
            return found
        try:
            runs["tflite"] = _tflite(Path(folder))
            found.tflite = _difference(runs["tflite"], calls, expected)
        except Exception as err:  # noqa: BLE001 - TFLite's converter raises one class of its own, its runtime others
            found.tflite = _line(err)
            runs.pop("tflite", None)
        for name, milliseconds in _timed(runs, calls[0]).items():
            setattr(found, f"{name}_ms", milliseconds)
    return found


def _saved_model(folder: Path) -> Run:
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def run(call: Tensors, owner: Any = loaded) -> Tensors:
        outputs = signature(**{name: tf.constant(array) for name, array in call.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def _tflite(folder: Path) -> Run:
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"]).convert()
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner("serving_default")
    return lambda call: dict(runner(**call))


def _difference(run: Run, calls: list[Tensors], expected: list[Tensors]) -> float | str:
    largest = 0.0
    for call, wanted in zip(calls, expected, strict=True):
        given = run(call)
        for name, array in wanted.items():
            other = given[name]
            if other.shape != array.shape or other.dtype != array.dtype:
                return f"{name}: {other.dtype}{list(other.shape)} instead of {array.dtype}{list(array.shape)}"
            if not array.size or array.dtype == object:
                largest = max(largest, float(not np.array_equal(array, other)))
                continue
            a, b = array.astype(np.float64), other.astype(np.float64)
            off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
            finite = np.abs(a[np.isfinite(a)])
            largest = max(largest, float(np.nan_to_num(off, nan=np.inf).max() / max(finite.max(initial=0.0), 1e-12)))
    return largest


def _timed(runs: Mapping[str, Run], call: Tensors) -> dict[str, float]:
    """Median milliseconds of a call, one runtime after the other in each round."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + _SECONDS_OF_TIMING * len(runs)
    while time.perf_counter() < end or len(samples["onnxruntime"]) < 5:
        for name, run in runs.items():
            start = time.perf_counter()
            run(call)
            samples[name].append((time.perf_counter() - start) * 1e3)
    return {name: median(values[len(values) // 5 :]) for name, values in samples.items()}


def _count(graph: onnx.GraphProto) -> int:
    inner = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return len(graph.node) + sum(map(_count, inner))


def _line(err: BaseException) -> str:
    text = " ".join(str(err).split())
    for mark in ("Some ops in the model are custom ops", "Some ops are not supported by the native TFLite runtime"):
        if mark in text:
            text = text[text.index(mark) :]
    return f"{type(err).__name__}: {text[:600]}"


if __name__ == "__main__":
    source = Path(sys.argv[1])
    calls = sorted(source.parent.glob("call_*.npz"))
    with_calls: list[Mapping[str, NDArray[Any]]] = [dict(np.load(file)) for file in calls]
    print(json.dumps(asdict(check(source, with_calls))))
