"""What the readers of this package say about tensors."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from inspection.damage import DamagedError

__all__ = ["Border", "FileSize", "Shape", "Weight", "by_size", "element_count", "size_bytes"]

Shape = tuple[int | str, ...]
"""One entry an axis: its size, the name of a dynamic axis, or ``?`` for a dynamic axis without a name."""

_SIZED = re.compile(r"(?:q?u?int|b?float|complex)(\d+)")

_BOOL_BITS = 8

_MAX_RANK = 64
"""numpy 1 has 32 axes, TensorFlow 254 of which no operator takes more than 8: a longer shape is damage."""

_MAX_ELEMENTS = 2**63 - 1
"""All formats count in int64."""


@dataclass(frozen=True, slots=True)
class Border:
    """An input or an output.

    Attributes:
        direction: ``input`` or ``output``.
        name: its public name.
        dtype: numpy's name of the element type, or ``string``.
        shape: None where the file does not even state how many axes it has.
    """

    direction: str
    name: str
    dtype: str
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant tensor of a model.

    Attributes:
        name: its name in the file.
        dtype: numpy's name of the element type, or ``string``.
        shape: a size for each axis.
        parameters: the number of elements.
        size_bytes: what it takes in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    parameters: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileSize:
    """A file within a folder or an archive, by its path in it."""

    file: str
    size_bytes: int


def by_size(weight: Weight) -> tuple[int, str]:
    """Sort key: the largest first, then by name."""
    return -weight.size_bytes, weight.name


def element_count(shape: Sequence[int], what: str) -> int:
    """The number of elements of a shape; ``what`` it belongs to is for the message.

    Raises:
        DamagedError: a size is negative, or there are more axes or elements than a tensor can have.
    """
    if len(shape) > _MAX_RANK:
        raise DamagedError(f"{what} has {len(shape):,} axes")
    if min(shape, default=0) < 0:
        raise DamagedError(f"{what} has an axis of size {min(shape)}")
    count = math.prod(shape)
    if count > _MAX_ELEMENTS:
        raise DamagedError(f"{what} has {count:,} elements")
    return count


def size_bytes(dtype: str, elements: int) -> int | None:
    """What so many elements take when they are packed, or None for a type without a fixed size."""
    found = _SIZED.match(dtype)
    bits = int(found[1]) if found else _BOOL_BITS if dtype == "bool" else None
    return None if bits is None else (elements * bits + 7) // 8
