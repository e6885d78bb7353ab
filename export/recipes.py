"""TFLite recipes: what the numbers in a file are. Declared in recipes.toml; standard library only."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, Self

from contract.errors import SpecError

__all__ = ["RECIPES", "Number", "Recipe", "load_recipes"]


RECIPES = Path(__file__).with_name("recipes.toml")


class Number(Enum):
    """An element type that a recipe can ask for."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT16 = "int16"


_POSSIBLE = {
    # weights, activations: which borders
    (Number.FLOAT32, Number.FLOAT32): {Number.FLOAT32},
    (Number.FLOAT16, Number.FLOAT32): {Number.FLOAT32},
    (Number.INT8, Number.FLOAT32): {Number.FLOAT32},
    (Number.INT8, Number.INT8): {Number.INT8, Number.FLOAT32},
    (Number.INT8, Number.INT16): {Number.INT16, Number.FLOAT32},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a TFLite file is quantized.

    Attributes:
        name: ends the file's name, ``<servable>.<name>.tflite``.
        weights: element type of the constants.
        activations: element type that is computed in.
        border: element type of inputs and outputs.
        per_channel_dense: one scale for each output channel of a dense layer, instead of one for the layer.
    """

    name: str
    weights: Number
    activations: Number
    border: Number
    per_channel_dense: bool = False

    def __post_init__(self) -> None:
        if self.border not in _POSSIBLE.get((self.weights, self.activations), set()):
            raise SpecError(
                f"recipe {self.name}: {self.weights.value} weights with {self.activations.value} activations and a "
                f"{self.border.value} border is nothing that TFLite has"
            )

    @property
    def needs_calibration(self) -> bool:
        """Whether the converter has to see representative data, to know the range of each activation."""
        return self.activations in (Number.INT8, Number.INT16)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return {name: value.value if isinstance(value, Number) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote, or a table of recipes.toml with its name.

        Raises:
            SpecError: a key or a value is unknown, or one is missing.
        """
        name = values.get("name")
        numbers = {"weights", "activations", "border"}
        unknown, missing = set(values) - {entry.name for entry in fields(cls)}, {"name", *numbers} - set(values)
        if unknown or missing:
            raise SpecError(f"recipe {name}: keys unknown: {sorted(unknown)}, missing: {sorted(missing)}")
        if not isinstance(values.get("per_channel_dense", False), bool):
            raise SpecError(f"recipe {name}: per_channel_dense is {values['per_channel_dense']!r}, not true or false")
        try:
            read: dict[str, Any] = {key: Number(value) if key in numbers else value for key, value in values.items()}
            return cls(**read)
        except ValueError as err:
            raise SpecError(f"recipe {name}: {err}; there are {[number.value for number in Number]}") from err


def load_recipes(path: Path = RECIPES) -> tuple[Recipe, ...]:
    """All recipes, in the file's order.

    Raises:
        SpecError: the file is not TOML, or a recipe is impossible.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as err:
        raise SpecError(f"{path}: {err}") from err
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SpecError(f"{path}: {name} is no table; a recipe is one")
    return tuple(Recipe.from_dict({"name": name, **table}) for name, table in tables.items())
