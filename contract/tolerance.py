"""How far two sides of a hop may be apart. Standard library only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from contract.errors import SpecError

__all__ = ["DEFAULT_TOLERANCES", "Tolerance"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two values agree when ``|actual - expected| <= atol + rtol * |expected| + of_largest * L``.

    Attributes:
        atol: in the units of the value.
        rtol: part of the value itself.
        of_largest: part of L, the largest |expected| of the tensor: what rounding inside a network amounts to, whose
            small outputs are differences of large numbers.
    """

    atol: float = 0.0
    rtol: float = 0.0
    of_largest: float = 0.0

    def __post_init__(self) -> None:
        if not (self.atol >= 0 and self.rtol >= 0 and self.of_largest >= 0):
            raise SpecError(
                f"a tolerance is not negative: atol {self.atol}, rtol {self.rtol}, of_largest {self.of_largest}"
            )

    def __str__(self) -> str:
        parts = [f"{self.atol:g}"] if self.atol or not (self.rtol or self.of_largest) else []
        parts += [f"{self.rtol:g} of the value"] if self.rtol else []
        parts += [f"{self.of_largest:g} of the largest value"] if self.of_largest else []
        return " + ".join(parts)

    def to_dict(self) -> dict[str, float]:
        """A JSON object."""
        return asdict(self)


DEFAULT_TOLERANCES: Mapping[str, Tolerance] = {
    # The same float32 arithmetic in another order, over networks of any depth.
    "to_onnx": Tolerance(atol=1e-6, of_largest=1e-4),
    "to_tensorflow": Tolerance(atol=1e-6, of_largest=1e-4),
    "saved_model": Tolerance(atol=1e-6, of_largest=1e-4),
    "tflite.float32": Tolerance(atol=1e-6, of_largest=1e-4),
    # 11 bits of each weight.
    "tflite.float16": Tolerance(atol=1e-3, of_largest=1e-2),
    # 8 bits of each weight, and of each activation: enough to tell a working file from a broken one. How good it is
    # shows in the accuracy on the model's own data.
    "tflite.dynamic": Tolerance(atol=1e-2, of_largest=1e-1),
    "tflite.int16x8": Tolerance(atol=1e-2, of_largest=1e-1),
    "tflite.int8": Tolerance(atol=2e-2, of_largest=2e-1),
    "tflite.int8_float_io": Tolerance(atol=2e-2, of_largest=2e-1),
}
"""Of a network that nobody has said more of: relative to its outputs, whose size is not known."""
