"""What a tensor at the border of a model looks like. Standard library only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from contract.errors import SpecError

__all__ = ["Axis", "TensorSpec"]

Axis = int | str
"""A size, or the name of a dynamic axis: axes of one name have one size within a call."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype, shape and value range of one input or output.

    Attributes:
        name: the public name, the same in ONNX, SavedModel and TFLite.
        dtype: numpy's name of the element type, such as ``float32``.
        shape: one entry an axis: its size, or the name of a dynamic axis, such as ``("batch", 2)``.
        minimum: smallest value that the model is meant for, or None for no bound.
        maximum: largest value that the model is meant for, or None for no bound.
    """

    name: str
    dtype: str
    shape: tuple[Axis, ...]
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("a tensor needs a name")
        for axis in self.shape:
            # A file that is read may hold anything: null, 2.0 and true are no sizes either.
            is_size = type(axis) is int and axis >= 1
            if not is_size and not (axis and isinstance(axis, str)):
                raise SpecError(f"tensor {self.name}: axis {axis!r} is neither a size of at least 1 nor a name")
        if self.minimum is not None and self.maximum is not None and not self.minimum < self.maximum:
            raise SpecError(f"tensor {self.name}: the range {self.minimum} to {self.maximum} is empty")

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def dynamic_axes(self) -> dict[int, str]:
        """Position and name of each dynamic axis."""
        return {i: axis for i, axis in enumerate(self.shape) if isinstance(axis, str)}

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with each dynamic axis replaced by its size; KeyError for an axis that is not in ``sizes``."""
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in self.shape)

    def check(self, dtype: str, shape: Sequence[int | None], *, where: str) -> None:
        """Refuses a dtype or a shape that does not fit; None in ``shape`` is an axis of any size.

        Raises:
            SpecError: names the tensor and has wanted and given dtype and shape.
        """
        fits = len(shape) == len(self.shape) and all(
            isinstance(wanted, str) or given is None or wanted == given
            for wanted, given in zip(self.shape, shape, strict=True)
        )
        if dtype != self.dtype or not fits:
            given = f"{dtype}[{', '.join('?' if size is None else str(size) for size in shape)}]"
            raise SpecError(f"{where}: the spec says {self}, but here it is {given}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            SpecError: a key is missing or unknown.
        """
        try:
            return cls(**{**fields, "shape": tuple(fields["shape"])})
        except (TypeError, KeyError) as err:
            raise SpecError(f"not a tensor spec: {err}") from err
