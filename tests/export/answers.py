"""Runs files in a process of its own; a program, because TFLite's runtimes and TensorFlow must not share one.

Reads JSON from stdin: ``runtime``, ``files`` (path by name), ``signature`` and ``x``, rows of inputs. Writes JSON: for
each file its tensors at the border as [name, dtype, number of axes, number of fixed axes] and its answer in reals.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import load, run_real
from runtimes.session import Session


def border(session: Session) -> list[list[Any]]:
    """The tensors of a file as JSON has them."""
    return [
        [tensor.name, tensor.dtype, len(tensor.shape), len(tensor.shape) - len(tensor.dynamic_axes)]
        for tensor in (*session.inputs, *session.outputs)
    ]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Does what the request wants."""
    inputs = {"x": np.array(request["x"], np.float32)}
    answers = {}
    for name, path in request["files"].items():
        with load(request["runtime"], Path(path), signature=request["signature"]) as session:
            answers[name] = {"border": border(session), "y": run_real(session, inputs)["y"].tolist()}
    return answers


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
