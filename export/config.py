"""What an export can be asked for. Standard library only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from contract.errors import UsageError
from contract.hints import hint
from export.recipes import load_recipes
from pipeline.to_tensorflow.converter import CONVERTERS

__all__ = ["EXPORTERS", "ExportConfig"]

EXPORTERS = ("dynamo", "torchscript")
_LEAST_OPSET = 18


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Effective configuration of an export, repeated in each manifest.

    Attributes:
        seed: of the starting weights.
        exporter: which of torch's ONNX exporters, ``dynamo`` or ``torchscript``.
        opset: ONNX opset, 18 or newer; None for the exporter's default.
        converter: which converter brings ONNX to TensorFlow; None for those of the model's spec.
        recipes: names of the TFLite recipes; None for those of the model's spec, or all.
    """

    seed: int = 0
    exporter: str = "dynamo"
    opset: int | None = None
    converter: str | None = None
    recipes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"the seed is {self.seed}; it has to be 0 or more")
        if self.exporter not in EXPORTERS:
            raise UsageError(f"no exporter {self.exporter!r}; there are: {', '.join(EXPORTERS)}")
        if self.converter is not None and self.converter not in CONVERTERS:
            raise UsageError(f"no converter {self.converter!r}; there are: {', '.join(CONVERTERS)}")
        known = [recipe.name for recipe in load_recipes()] if self.recipes else []
        for name in self.recipes or ():
            if name not in known:
                raise UsageError(f"no recipe {name!r}; {hint(name, known)}")
        if self.opset is not None and self.opset < _LEAST_OPSET:
            raise UsageError(
                f"opset {self.opset} is too old; {_LEAST_OPSET} is the oldest that torch's exporter writes"
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return {**asdict(self), "recipes": None if self.recipes is None else list(self.recipes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            UsageError: a key is unknown, or a value is not possible.
        """
        unknown = set(values) - {entry.name for entry in fields(cls)}
        if unknown:
            raise UsageError(f"unknown settings: {sorted(unknown)}")
        recipes = values.get("recipes")
        return cls(**{**values, "recipes": None if recipes is None else tuple(recipes)})
