"""The operator tests that the onnx package ships, or those of a folder.

Newer releases of onnx ship none: there ``python -m onnx.backend.test.cmd_tools generate-data -c node -o DIR`` writes
them, and the environment variable ``ONNX_NODE_TESTS`` names ``DIR/node``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

__all__ = ["Case", "cases"]

_NODE_TESTS = Path(os.environ.get("ONNX_NODE_TESTS", Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"))


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a model and sets of its inputs and outputs.

    Attributes:
        name: of the test, such as ``test_add``.
        folder: ``model.onnx`` and folders ``test_data_set_0``, ... with ``input_0.pb``, ... and ``output_0.pb``, ...
    """

    name: str
    folder: Path

    @property
    def is_expanded(self) -> bool:
        """Whether the operator under test was replaced by those that define it."""
        return "_expanded" in self.name


def cases() -> Iterator[Case]:
    """Every test, by name."""
    for folder in sorted(_NODE_TESTS.iterdir()):
        yield Case(folder.name, folder)
