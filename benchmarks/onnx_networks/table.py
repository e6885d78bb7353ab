"""The rows as a table for the documentation."""

from collections.abc import Sequence

from benchmarks.onnx_networks.running import Row

__all__ = ["markdown"]

_HEAD = (
    "| network | exported by | numbers | nodes | own time | SavedModel | TFLite, built-ins only "
    "| ONNX Runtime | SavedModel | TFLite |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def markdown(rows: Sequence[Row]) -> str:
    """Differences are in parts of the largest value; times in milliseconds of a call, of one run."""
    return "\n".join([_HEAD, *map(_line, rows)])


def _line(row: Row) -> str:
    found = row.result
    if "error" in found:
        return f"| {row.network} | {row.by} | {row.variant} | | | {found['error']} | | | | |"
    cells = (
        row.network,
        row.by,
        row.variant,
        str(found["nodes"]),
        f"{found['seconds']:.1f} s",
        _difference(found["saved_model"]),
        _difference(found["tflite"]),
        *(_time(found[f"{runtime}_ms"]) for runtime in ("onnxruntime", "saved_model", "tflite")),
    )
    return f"| {' | '.join(cells)} |"


def _difference(found: float | str) -> str:
    return f"{found:.0e}" if isinstance(found, float) else found.replace("|", "/")


def _time(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f}"
