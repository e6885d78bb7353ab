"""Loads a tiny model in one runtime and runs it: ``python -m diagnosis.load_runtime onnxruntime``.

A process of its own, because a broken native library ends it. Prints one JSON line, and on success only.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from contract.errors import RuntimeAbsentError, ShowdownError

__all__ = ["PROBES", "main"]

PROBES: Mapping[str, str] = {
    "onnxruntime": "double.onnx",
    "tensorflow_c": "double",
    "tflite_runtime": "double.tflite",
    "ai_edge_litert": "double.tflite",
}
"""Name of a runtime of files that we ship, and its model: x float32 [batch, 2] to y, twice x.

torch and keras run files that come in; they are started as workers.
"""


def main(runtime: str) -> None:
    """Prints the version of a runtime that works, or that it is not installed, with how to get it."""
    import numpy as np

    import runtimes

    try:
        version = runtimes.version(runtime)
    except RuntimeAbsentError as err:
        print(json.dumps({"absent": str(err)}))
        return
    x = np.array([[0.5, -3.0]], np.float32)
    with runtimes.load(runtime, Path(__file__).parent / "probe" / PROBES[runtime]) as session:
        y = session.run({"x": x})["y"]
    if not np.array_equal(y, x + x):
        sys.exit(f"{runtime} {version} computes {y.tolist()} for twice {x.tolist()}")
    print(json.dumps({"version": version}))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ShowdownError as err:
        sys.exit(str(err))
