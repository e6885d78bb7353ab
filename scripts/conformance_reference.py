"""Writes docs/conformance.md from the list of operator tests that the converter does not pass."""

from importlib.metadata import version
from pathlib import Path

from benchmarks.onnx_conformance.cases import cases
from benchmarks.onnx_conformance.exceptions import AS_DEFINED, EXCEPTIONS

__all__ = ["PAGE", "reference"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"

_TEXT = """\
# ONNX's operator tests

The onnx package ships a test of each operator, in each of its forms: a small model with inputs and outputs. Each is
converted, saved, loaded again and run; the outputs have to be equal in shape and type, and in value as closely as
onnx's own runner asks (relative 1e-3, absolute 1e-7).

**{passed:,} of {total:,} pass** (onnx {version}; the tests named `_expanded`, which replace an operator by those that
define it, are not counted). `make test` runs them all and fails where one changes;
`python -m benchmarks.onnx_conformance` prints the same, also for `--expanded`, for `--tflite` with built-in operators
alone, and for `--converter onnx-tf`.

{as_defined} is converted here by the definition that onnx {version} has of it (`--as-defined`). onnx corrected that
definition in 1.19, for the same opset: {attention} of these tests contradict ONNX Runtime and the tests of newer onnx,
with both of which our own function agrees, which everything else uses.

The others, with the reason of each:

| tests | reason |
| --- | --- |
{rows}
"""

_CONTRADICTED = 31
"""Tests of Attention in onnx 1.18.0 that ONNX Runtime 1.32 answers otherwise."""


def reference() -> str:
    """The page, in Markdown."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(EXCEPTIONS.items()):
        by_reason.setdefault(reason, []).append(f"`{name}`")
    rows = "\n".join(f"| {', '.join(names)} | {reason} |" for reason, names in sorted(by_reason.items()))
    total = sum(not case.is_expanded for case in cases())
    return _TEXT.format(
        passed=total - len(EXCEPTIONS),
        total=total,
        version=version("onnx"),
        rows=rows,
        as_defined=", ".join(AS_DEFINED),
        attention=_CONTRADICTED,
    )


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
