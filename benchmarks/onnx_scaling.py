"""How the converter's time grows with the nodes, and its memory with the weights; each case in a process of its own."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

_NODES = (250, 500, 1000, 2000, 4000)
_WEIGHTS_MB = (0, 128, 256, 512)
_WIDTH = 16
_MB = 1 << 20


def chain(nodes: int) -> onnx.ModelProto:
    """A model of that many nodes in one chain: products with weights, sums, activations and shapes."""
    draw = np.random.default_rng(0)
    made: list[onnx.NodeProto] = []
    weights = []
    value = "x"
    for at in range(nodes):
        output = f"v{at}"
        if at % 4 == 0:
            weights.append(
                numpy_helper.from_array(draw.standard_normal((_WIDTH, _WIDTH)).astype(np.float32) / 4, f"w{at}")
            )
            made.append(helper.make_node("MatMul", [value, f"w{at}"], [output], name=f"layer{at}/product"))
        elif at % 4 == 1:
            weights.append(numpy_helper.from_array(draw.standard_normal(_WIDTH).astype(np.float32), f"w{at}"))
            made.append(helper.make_node("Add", [value, f"w{at}"], [output], name=f"layer{at}/sum"))
        elif at % 4 == 2:
            made.append(helper.make_node("Tanh", [value], [output], name=f"layer{at}/activation"))
        else:
            made.append(helper.make_node("Softmax", [value], [output], name=f"layer{at}/softmax"))
        value = output
    return _model(made, weights, value, _WIDTH)


def wide(megabytes: int) -> onnx.ModelProto:
    """A model of one product a 64 MB of weights."""
    draw = np.random.default_rng(0)
    width = 4096
    made: list[onnx.NodeProto] = []
    weights = []
    value = "x"
    for at in range(megabytes // 64):
        weights.append(numpy_helper.from_array(draw.random((width, width), dtype=np.float32), f"w{at}"))
        made.append(helper.make_node("MatMul", [value, f"w{at}"], [f"v{at}"], name=f"product{at}"))
        value = f"v{at}"
    made.append(helper.make_node("Relu", [value], ["y"], name="last"))
    return _model(made, weights, "y", width)


def _model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], output: str, width: int) -> onnx.ModelProto:
    floats = onnx.TensorProto.FLOAT
    shape: list[str | int | None] = ["batch", width]
    graph = helper.make_graph(
        nodes,
        "scaling",
        [helper.make_tensor_value_info("x", floats, shape)],
        [helper.make_tensor_value_info(output, floats, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _convert(path: str) -> None:
    """What the child does: prints its own time and its peak memory before and after."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from pipeline.onnx_to_tf import save, to_module
    from pipeline.onnx_to_tf.loading import load

    tf.constant(0)
    before = _peak_mb()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        save(to_module(load(Path(path))), Path(folder))
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "before_mb": before, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "linux" else peak / _MB


def _measured(model: onnx.ModelProto) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        size = path.stat().st_size / _MB
        command = [sys.executable, "-m", "benchmarks.onnx_scaling", "--child", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return {"size_mb": size, **measured}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx_scaling", description=__doc__)
    parser.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _convert(arguments.child)
        return
    print("nodes  seconds  ms a node")
    for nodes in _NODES:
        found = _measured(chain(nodes))
        print(f"{nodes:5}  {found['seconds']:7.2f}  {found['seconds'] / nodes * 1e3:9.2f}", flush=True)
    print("\nMB of weights  seconds  peak MB  above TensorFlow's own, in parts of the model")
    for megabytes in _WEIGHTS_MB:
        found = _measured(wide(megabytes))
        above = found["peak_mb"] - found["before_mb"]
        parts = f"{above / found['size_mb']:.2f}" if megabytes else f"{above:.0f} MB"
        print(f"{megabytes:13}  {found['seconds']:7.2f}  {found['peak_mb']:7.0f}  {parts}", flush=True)


if __name__ == "__main__":
    main()
