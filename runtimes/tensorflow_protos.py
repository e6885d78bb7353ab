"""TensorFlow's protocol buffers without TensorFlow.

The modules of the wheel import each other as ``tensorflow.core...``, and the package ``tensorflow`` takes seconds to
import. So a stub of that name, which only knows the package's folder, stands in ``sys.modules`` during the import, and
is taken out again with all that lies below it, so that a later ``import tensorflow`` is whole.
"""

import importlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

from runtimes.installed import absent

__all__ = ["import_proto", "tensorflow_folder"]

_lock = threading.Lock()

_imported: dict[str, ModuleType] = {}
"""What has been imported below the stub: put back for the next import, so that no module runs twice."""


def tensorflow_folder() -> Path:
    """The folder of the installed package ``tensorflow``, which is not imported for it.

    Raises:
        RuntimeAbsentError: it is not installed.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise absent("tensorflow_c", "no package tensorflow")
    return Path(spec.submodule_search_locations[0])


def import_proto(name: str) -> ModuleType:
    """Imports a module of protocol buffers.

    Args:
        name: such as ``tensorflow.core.protobuf.meta_graph_pb2``, or ``tensorflow_serving.apis.predict_pb2``, which
            imports modules of ``tensorflow``.

    Another thread must not import TensorFlow meanwhile: it would find the stub.

    Raises:
        RuntimeAbsentError: tensorflow is not installed.
        ModuleNotFoundError: it has no such module.
    """
    with _lock:
        if "tensorflow" in sys.modules:
            return importlib.import_module(name)
        if name in _imported:
            return _imported[name]
        if name in sys.modules:  # such as tensorflow_serving's, which are not taken out again
            return sys.modules[name]
        stub = ModuleType("tensorflow")
        stub.__path__ = [str(tensorflow_folder())]
        sys.modules.update(_imported, tensorflow=stub)
        try:
            return importlib.import_module(name)
        finally:
            del sys.modules["tensorflow"]
            for below in [module for module in sys.modules if module.startswith("tensorflow.")]:
                _imported[below] = sys.modules.pop(below)
