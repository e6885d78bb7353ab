"""Golden vectors: inputs and the outputs that every file on every runtime has to give. Specified in docs/formats.md."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.arrays import Array, Tensors
from contract.errors import SpecError
from contract.files import write_json
from contract.tensor_spec import TensorSpec

__all__ = ["GOLDEN_VERSION", "Golden", "GoldenVector", "read_golden", "write_golden"]

GOLDEN_VERSION = 1


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """One call of the model.

    Attributes:
        name: says which point it is.
        inputs: the input tensors, whole, batch axis included.
        outputs: the outputs that the oracle gives for them.
        label: index of the right class, or None where there is none.
    """

    name: str
    inputs: Tensors
    outputs: Tensors
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """All golden vectors of a model, from one seed."""

    model: str
    seed: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    vectors: tuple[GoldenVector, ...]


def write_golden(path: Path, golden: Golden) -> None:
    """Writes the vectors as JSON; a float is written with all digits that its dtype needs to be read back exactly.

    Raises:
        SpecError: a value is NaN or infinite.
    """
    for vector in golden.vectors:
        for name, value in (*vector.inputs.items(), *vector.outputs.items()):
            _check_finite(value, name, f"{path}: vector {vector.name}")
    write_json(
        path,
        {
            "golden_version": GOLDEN_VERSION,
            "model": golden.model,
            "seed": golden.seed,
            "inputs": [tensor.to_dict() for tensor in golden.inputs],
            "outputs": [tensor.to_dict() for tensor in golden.outputs],
            "vectors": [
                {
                    "name": vector.name,
                    "inputs": {name: _json(value) for name, value in vector.inputs.items()},
                    "outputs": {name: _json(value) for name, value in vector.outputs.items()},
                    "label": vector.label,
                }
                for vector in golden.vectors
            ],
        },
    )


def read_golden(path: Path) -> Golden:
    """Reads golden vectors and checks them against the tensors that the file declares.

    Raises:
        SpecError: not JSON, another version, a key missing or unknown, a shape that does not fit, or a NaN.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        version = fields.pop("golden_version")
        if version != GOLDEN_VERSION:
            raise SpecError(f"{path}: golden_version is {version!r}, this program reads {GOLDEN_VERSION}")
        inputs, outputs = (_specs(fields.pop(key), path) for key in ("inputs", "outputs"))
        vectors = tuple(
            GoldenVector(
                **{
                    **vector,
                    "inputs": _tensors(vector["inputs"], inputs, f"{path}: vector {vector['name']}"),
                    "outputs": _tensors(vector["outputs"], outputs, f"{path}: vector {vector['name']}"),
                }
            )
            for vector in fields.pop("vectors")
        )
        return Golden(inputs=inputs, outputs=outputs, vectors=vectors, **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise SpecError(f"{path}: not a file of golden vectors: {type(err).__name__}: {err}") from err


def _specs(values: list[Any], path: Path) -> tuple[TensorSpec, ...]:
    try:
        return tuple(map(TensorSpec.from_dict, values))
    except SpecError as err:
        raise SpecError(f"{path}: {err}") from err


def _tensors(values: Mapping[str, Any], specs: tuple[TensorSpec, ...], where: str) -> Tensors:
    if set(values) != {spec.name for spec in specs}:
        raise SpecError(f"{where}: has tensors {sorted(values)}, the file declares {[str(spec) for spec in specs]}")
    return {spec.name: _tensor(values[spec.name], spec, where) for spec in specs}


def _json(array: Array) -> Any:
    """Nested lists; a string is text, or ``{"b64": ...}`` where its bytes are no UTF-8, as in TF Serving's REST API."""
    return _mapped(array, _text).tolist() if array.dtype == object else array.tolist()


def _mapped(array: Array, function: Callable[[Any], Any]) -> Array:
    result = np.empty(array.size, object)
    result[:] = [function(item) for item in array.flat]
    return result.reshape(array.shape)


def _text(item: bytes) -> str | dict[str, str]:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode()}


def _bytes(item: Any) -> bytes:
    return item.encode() if isinstance(item, str) else base64.b64decode(item["b64"], validate=True)


def _tensor(value: Any, spec: TensorSpec, where: str) -> Array:
    array = np.array(value, dtype=spec.dtype)
    if array.dtype == object:
        array = _mapped(array, _bytes)
    spec.check(array.dtype.name, array.shape, where=where)
    _check_finite(array, spec.name, where)
    return array


def _check_finite(array: Array, name: str, where: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise SpecError(f"{where}: {name} holds NaN or infinity")
