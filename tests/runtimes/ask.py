"""Loads a model and runs it in a process of its own; a program, because TFLite and TensorFlow must not share one.

Reads a pickled request from stdin: runtime, path, signature, a list of inputs, and ``real`` for `run_real`. Writes a
pickled reply to stdout: what the session states, a result or an error for each inputs, and the modules that got loaded.
"""

import pickle
import sys
from typing import Any

from contract.errors import ShowdownError
from runtimes import load, run_real


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Does what the request wants; an error of the load is the whole answer."""
    try:
        session = load(request["runtime"], request["path"], signature=request["signature"])
    except ShowdownError as err:
        return {"error": err}
    with session:
        reply: dict[str, Any] = {
            "runtime": session.runtime,
            "inputs": session.inputs,
            "outputs": session.outputs,
            "quantization": dict(session.quantization),
            "results": [],
        }
        for inputs in request["calls"]:
            try:
                reply["results"].append(run_real(session, inputs) if request["real"] else session.run(inputs))
            except ShowdownError as err:
                reply["results"].append(err)
    if request["calls"]:
        try:
            session.run(request["calls"][0])
        except (ValueError, ShowdownError) as err:
            reply["after close"] = err
    reply["modules"] = sorted(sys.modules)
    return reply


if __name__ == "__main__":
    request = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(answer(request)))
