"""Calls a stage function in a process of its own; a program, because TFLite and TensorFlow must not share one.

Reads a pickled request from stdin: the function as ``module:name``, its arguments, and modules that cannot be imported.
Writes a pickled reply to stdout: the result or the error, and the modules that got loaded.
"""

import importlib
import pickle
import sys
from typing import Any

from contract.errors import ShowdownError


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Does what the request wants."""
    # A module that is None in sys.modules raises ModuleNotFoundError when it is imported.
    sys.modules.update(dict.fromkeys(request["hidden"]))
    module, _, function = request["call"].partition(":")
    try:
        reply = {"result": getattr(importlib.import_module(module), function)(**request["arguments"])}
    except ShowdownError as err:
        reply = {"error": err}
    return {**reply, "modules": sorted(sys.modules)}


if __name__ == "__main__":
    request = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(answer(request)))
