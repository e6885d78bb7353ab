"""Makes, converts and checks the networks of the table, each step in a process of its own."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.onnx_networks.catalogue import CASES, Case

__all__ = ["Row", "run_case", "wanted"]

_SECONDS_A_STEP = 600


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        network: name of the network.
        by: the exporter.
        variant: ``float32``, or how ONNX Runtime's tools quantized it.
        result: what `benchmarks.onnx_networks.check` measured; or ``error``.
    """

    network: str
    by: str
    variant: str
    result: dict[str, Any]

    @property
    def tolerance(self) -> float:
        """How far a value may be off, in parts of the largest one of its output.

        In float32 it is the rounding of another order of sums, through tens of layers. Quantized, one value that falls
        to the other side of a half changes by a whole step of 1/255, and so do those that it goes into.
        """
        return 1e-4 if self.variant == "float32" else 5e-2

    @property
    def is_equal(self) -> bool:
        """Whether the SavedModel gave what ONNX Runtime gave."""
        difference = self.result.get("saved_model")
        return isinstance(difference, float) and difference <= self.tolerance

    @property
    def is_built_in(self) -> bool:
        """Whether a TFLite file of built-in operators alone gave it too."""
        difference = self.result.get("tflite")
        return isinstance(difference, float) and difference <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "is_equal": self.is_equal, "is_built_in": self.is_built_in}


def wanted(pattern: str) -> list[Case]:
    """The cases whose name is matched, such as ``resnet18.dynamo``."""
    return [case for case in CASES if re.search(pattern, case.name)]


def run_case(case: Case, folder: Path, *, variants: bool) -> Iterator[Row]:
    """Makes the .onnx file in a folder and checks it; then what ONNX Runtime's tools make of it."""
    yield _checked(case, "float32", [*case.command, str(folder)], folder / "model.onnx")
    for variant in case.variants if variants else ():
        command = ["benchmarks.onnx_networks.quantize", str(folder), variant]
        yield _checked(case, variant, command, folder / f"model.{variant}.onnx")


def _checked(case: Case, variant: str, make: list[str], path: Path) -> Row:
    _, error = _run(make)
    if not path.exists():
        return Row(case.network, case.by, variant, {"error": f"{make[0].rpartition('.')[2]}: {error}"})
    output, error = _run(["benchmarks.onnx_networks.check", str(path)])
    lines = output.splitlines()
    result = json.loads(lines[-1]) if lines else {"error": f"check: {error}"}
    return Row(case.network, case.by, variant, result)


def _run(module: list[str]) -> tuple[str, str]:
    """Standard output of a module, and the last line that it wrote to standard error."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", *module], capture_output=True, text=True, timeout=_SECONDS_A_STEP, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"no end in {_SECONDS_A_STEP} s"
    lines = done.stderr.strip().splitlines()
    return done.stdout, lines[-1] if lines else f"status {done.returncode}"
