"""The feature dictionaries that `classify` and `regress` take: ``tf.Example`` for gRPC, JSON for REST."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contract.errors import SpecError

__all__ = ["Features", "feature_lists", "json_example", "to_example"]

Features = dict[str, list[int] | list[float] | list[bytes]]
"""Name of a feature and its values, all of one kind."""

_INT64 = np.iinfo(np.int64)


def feature_lists(examples: Sequence[Mapping[str, Any]]) -> list[Features]:
    """Checks examples: a feature is a value or a flat list; truth values become integers, str becomes UTF-8.

    Raises:
        SpecError: names the example and the feature.
    """
    if isinstance(examples, Mapping) or not all(isinstance(example, Mapping) for example in examples):
        raise SpecError("examples: wanted a list of dictionaries, one for each example")
    return [
        {name: _values(f"example {number}, feature {name}", value) for name, value in example.items()}
        for number, example in enumerate(examples)
    ]


def _values(where: str, value: Any) -> list[int] | list[float] | list[bytes]:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    items = list(value) if isinstance(value, list | tuple) else [value]
    items = [item.item() if isinstance(item, np.generic) else item for item in items]
    if all(isinstance(item, int) for item in items):
        if outside := [item for item in items if not _INT64.min <= item <= _INT64.max]:
            raise SpecError(f"{where}: {outside[0]} is outside the range of int64")
        return [int(item) for item in items]
    if all(isinstance(item, int | float) for item in items):
        return [float(item) for item in items]
    if all(isinstance(item, str | bytes) for item in items):
        return [item if isinstance(item, bytes) else item.encode() for item in items]
    given = ", ".join(sorted({type(item).__name__ for item in items}))
    raise SpecError(f"{where}: wanted a flat list of numbers or of strings, given {given}")


def to_example(features: Features, example: Any) -> None:
    """Writes features into a ``tf.Example``."""
    for name, values in features.items():
        feature = example.features.feature[name]
        match values[:1]:
            case [bytes()]:
                feature.bytes_list.value.extend(values)
            case [float()]:
                feature.float_list.value.extend(values)
            case [int()]:
                feature.int64_list.value.extend(values)


def json_example(features: Features) -> dict[str, Any]:
    """Features for JSON, where ``1`` and ``1.0`` are of different kinds."""
    return {name: [_json_item(item) for item in values] for name, values in features.items()}


def _json_item(item: float | bytes) -> Any:
    return {"b64": base64.b64encode(item).decode()} if isinstance(item, bytes) else item
