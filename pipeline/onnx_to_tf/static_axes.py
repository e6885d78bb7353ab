"""Gives dynamic axes of a model's inputs a size before it is converted: what TFLite and accelerators like best."""

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from contract.errors import UsageError

__all__ = ["fix_axes"]


def fix_axes(model: ir.Model, sizes: Mapping[str, int]) -> None:
    """Sets the sizes in place, also where an output has an axis of that name.

    Args:
        model: the model.
        sizes: by the name of an axis, or by ``INPUT:POSITION`` for one that has no name.

    Raises:
        UsageError: no input has that axis, or it has another size already; lists those that there are.
    """
    graph = model.graph
    inputs = [value for value in graph.inputs if value.const_value is None]
    for name, size in sizes.items():
        found = list(_named(inputs, name)) or list(_positioned(inputs, name))
        if not found:
            raise UsageError(f"no input has an axis {name!r}; the dynamic axes are {_listed(inputs)}")
        for value, position in [*found, *_named(graph.outputs, name)]:
            _set(value, position, size)


def _named(values: Iterable[ir.Value], name: str) -> Iterator[tuple[ir.Value, int]]:
    """The axes of a name, by value and position."""
    for value in values:
        for position, axis in enumerate(value.shape or ()):
            if isinstance(axis, ir.SymbolicDim) and axis.value == name:
                yield value, position


def _positioned(inputs: list[ir.Value], name: str) -> Iterator[tuple[ir.Value, int]]:
    """The axis ``INPUT:POSITION``, if it is dynamic."""
    owner, _, position = name.rpartition(":")
    for value in inputs:
        shape = value.shape
        if value.name == owner and shape is not None and position.isdecimal() and int(position) < len(shape):
            axis = shape[int(position)]
            if isinstance(axis, ir.SymbolicDim):
                yield value, int(position)


def _set(value: ir.Value, position: int, size: int) -> None:
    assert value.shape is not None
    value.shape = ir.Shape([size if i == position else axis for i, axis in enumerate(value.shape)])


def _listed(inputs: list[ir.Value]) -> str:
    """Every dynamic axis as it can be written."""
    axes: dict[str, None] = {}
    for value in inputs:
        for position, axis in enumerate(value.shape or ()):
            if isinstance(axis, ir.SymbolicDim):
                axes[axis.value or f"{value.name}:{position}"] = None
    return ", ".join(axes) or "none at all"
