"""Which whole numbers are sizes of axes, or made of them."""

import onnx_ir as ir

__all__ = ["is_size"]

_MADE_OF_SIZES = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Min", "Max", "Abs"),
    *("Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"),
}

_DEEPEST = 32
"""Nodes behind one another that are looked at: exporters write far fewer."""

_LARGEST = 1 << 31


def is_size(value: ir.Value, depth: int = 0) -> bool:
    """Whether a value comes from Shape or Size by arithmetic alone, or is a constant that int32 has."""
    if value.const_value is not None:
        return bool((abs(value.const_value.numpy().astype(float)) < _LARGEST).all())
    node = value.producer()
    if node is None or depth > _DEEPEST or node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type in ("Shape", "Size"):
        return True
    if node.op_type == "Constant":
        return True
    return node.op_type in _MADE_OF_SIZES and all(given is None or is_size(given, depth + 1) for given in node.inputs)
