"""Writes docs/operators.md: which operators the converter has, as its registry has them. `make docs` calls it."""

from pathlib import Path

from pipeline.onnx_to_tf import coverage

__all__ = ["PAGE", "reference"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operators.md"

_INTRODUCTION = """\
# Operators

What [`showdown convert`](converting.md) converts; `showdown convert --coverage` prints it. A version is the opset in
which ONNX renewed an operator; a model of a later opset uses the newest version before it. *By ONNX's definition*: ONNX
itself defines that version by other operators, and those are converted in its place. *Missing* ends the conversion with
an error that names the node; [a function of yours](converting.md#an-operator-of-your-own) fills it in.

Held against the changelog of onnx {version}.

"""


def reference() -> str:
    """The page, as Markdown."""
    table = coverage()
    return _INTRODUCTION.format(version=table.onnx_version) + table.markdown()


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
