"""Inputs as a person gives them, in JSON or .npz, brought to the dtypes of a session; outputs brought to JSON.

A value is never changed by a cast. A number in JSON has no dtype: a decimal fraction becomes the nearest float.
"""

import base64
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes.session import Session, one_line

__all__ = ["fitted", "json_outputs", "read_values", "short_text"]

_JSON_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    str: "a string",
    dict: "an object",
    list: "a list",
    type(None): "null",
}

_JSON_TYPES: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}, "O": {str, dict}}
"""What JSON may hold for each numpy kind."""

_B64 = "b64"
"""``{"b64": "..."}`` stands for bytes that are no text, as in TF Serving's REST API."""

_ZIP = b"PK"

_SHOWN_VALUES = 40
"""Values of an output that a person sees of it."""


def read_values(given: str) -> dict[str, Any] | list[Any]:
    """Reads what a person gives as the inputs of one call.

    Args:
        given: JSON text if it begins with ``{`` or ``[``, else the path of a JSON or .npz file.

    Returns:
        Nested lists or arrays by tensor name, or the bare list of a model with one input.

    Raises:
        UsageError: there is no such file.
        SpecError: it cannot be read; says where.
    """
    if given.lstrip()[:1] in {"{", "["}:
        return _json(given, "--input")
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"--input: {path}: there is no such file (JSON text begins with {{ or [)")
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            if not is_zip:
                return _json(file.read().decode("utf-8"), str(path))
            with np.load(file, allow_pickle=False) as arrays:
                return {name: np.asarray(arrays[name]) for name in arrays.files}
    except UnicodeDecodeError as err:
        raise SpecError(f"{path}: neither .npz nor JSON in UTF-8: {one_line(err)}") from err
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error) as err:
        raise SpecError(f"{path}: cannot be read: {one_line(err)}") from err


def fitted(
    values: Mapping[str, Any] | list[Any], session: Session, *, allow_nan: bool = False
) -> dict[str, NDArray[Any]]:
    """The inputs of one call of `run_real`.

    Args:
        values: of `read_values`.
        session: what they are for; a quantized input takes float32.
        allow_nan: whether NaN may pass.

    Raises:
        SpecError: names the input, and what was wanted and given. Shapes are left to the session.
    """
    if isinstance(values, list):
        if len(session.inputs) != 1:
            raise SpecError(f"--input: a bare list is for a model with one input; {_wanted(session)}")
        values = {session.inputs[0].name: values}
    _check_names(values, session)
    dtypes = {spec.name: "float32" if spec.name in session.quantization else spec.dtype for spec in session.inputs}
    arrays = {}
    for name, value in values.items():
        is_array = isinstance(value, np.ndarray)
        array = _cast(name, value, dtypes[name]) if is_array else _from_json(name, value, dtypes[name])
        if not allow_nan and array.dtype.kind in "fc" and np.isnan(array).any():
            at = np.argwhere(np.isnan(array))[0].tolist()
            raise SpecError(f"input {name}: NaN at {at}; --allow-nan lets it pass")
        arrays[name] = array
    return arrays


def json_outputs(outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The outputs of a call as nested lists; a complex number is a pair, bytes that are no text ``{"b64": ...}``."""
    return {name: _json_value(array) for name, array in outputs.items()}


def short_text(array: NDArray[Any]) -> str:
    """The values of an array for a person: the middle of a large one is left out."""
    return np.array2string(array, separator=", ", precision=6, threshold=_SHOWN_VALUES)


def _json(text: str, where: str) -> dict[str, Any] | list[Any]:
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as err:
        raise SpecError(f"{where}: no JSON: {err.msg} at line {err.lineno}, column {err.colno}") from err
    except RecursionError as err:
        raise SpecError(f"{where}: nested too deeply") from err
    except ValueError as err:
        raise SpecError(f"{where}: {one_line(err)}") from err
    if not isinstance(value, dict | list):
        raise SpecError(f"{where}: wanted a JSON object or list, given {_JSON_NAMES[type(value)]}")
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!r} is given twice")
        values[name] = value
    return values


def _check_names(values: Mapping[str, Any], session: Session) -> None:
    known = {spec.name for spec in session.inputs}
    missing, unknown = sorted(known - values.keys()), sorted(values.keys() - known)
    if missing or unknown:
        parts = (
            f"{label} {', '.join(names)}" for label, names in (("missing", missing), ("unknown", unknown)) if names
        )
        raise SpecError(f"--input: {'; '.join(parts)}; {_wanted(session)}")


def _wanted(session: Session) -> str:
    specs = (_real_spec(spec, session) for spec in session.inputs)
    return f"the inputs are {', '.join(specs)}" if session.inputs else "the model has no inputs"


def _real_spec(spec: TensorSpec, session: Session) -> str:
    """A spec as `run_real` takes it."""
    shape = ", ".join(map(str, spec.shape))
    return (
        f"{spec.name} float32[{shape}] ({spec.dtype} in the file)" if spec.name in session.quantization else str(spec)
    )


def _from_json(name: str, value: Any, dtype: str) -> NDArray[Any]:
    wanted = np.dtype(dtype)
    if wanted.kind not in _JSON_TYPES:
        raise SpecError(f"input {name}: JSON has no {dtype}; give a .npz file")
    # With dtype object numpy keeps the values, and the lists below the first that is of another length.
    array = np.array(value, dtype=object)
    types = set(map(type, array.flat))
    if list in types:
        raise SpecError(f"input {name}: its lists are not of one length, or nested more than 32 deep")
    if others := types - _JSON_TYPES[wanted.kind]:
        given = ", ".join(sorted(_JSON_NAMES[kind] for kind in others))
        raise SpecError(f"input {name}: wanted {dtype}, given {given}")
    if wanted.kind == "O":
        return _mapped(array, name)
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        outside = [item for item in array.flat if not limits.min <= item <= limits.max]
        if outside:
            raise SpecError(f"input {name}: {outside[0]} is outside the range of {dtype}")
    try:
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float64) if wanted.kind == "f" else array
            cast: NDArray[Any] = numbers.astype(wanted)
    except OverflowError as err:
        raise SpecError(f"input {name}: an integer is outside the range of {dtype}") from err
    if wanted.kind == "f" and (outside := numbers[np.isinf(cast) & ~np.isinf(numbers)].tolist()):
        raise SpecError(f"input {name}: {outside[0]} is outside the range of {dtype}")
    return cast


def _mapped(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Strings as bytes."""
    result = np.empty(array.size, object)
    result[:] = [_bytes(item, name) for item in array.flat]
    return result.reshape(array.shape)


def _bytes(item: Any, name: str) -> bytes:
    try:
        if isinstance(item, bytes):
            return item
        if isinstance(item, str):
            return item.encode()
        if item.keys() == {_B64}:
            return base64.b64decode(item[_B64], validate=True)
    except (ValueError, TypeError) as err:
        raise SpecError(f"input {name}: no text and no base64: {one_line(err)}") from err
    raise SpecError(f'input {name}: an object in a tensor of strings is {{"{_B64}": "..."}}')


def _cast(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Brings an array to a dtype, if no value changes by it."""
    wanted = np.dtype(dtype)
    kinds = wanted.kind, array.dtype.kind
    if wanted.kind == "O" and array.dtype.kind in "SU":
        return _mapped(array.astype(object), name)
    # bool counts as safe to every number, but a truth value is none.
    if wanted == array.dtype or (kinds[1] not in "bSU" and np.can_cast(array.dtype, wanted, "safe")):
        return array.astype(wanted)
    if kinds[0] in "iuf" and kinds[1] in "iu":
        # Every integer up to 2^(bits of the fraction + 1) has a float of its own.
        limit = 2 ** (np.finfo(wanted).nmant + 1) if wanted.kind == "f" else None
        low, high = (-limit, limit) if limit else (int(np.iinfo(wanted).min), int(np.iinfo(wanted).max))
        outside = array[(array < low) | (array > high)]
    elif kinds == ("f", "f"):
        with np.errstate(over="ignore"):
            outside = array[(array.astype(wanted).astype(array.dtype) != array) & ~np.isnan(array)]
    else:
        raise SpecError(f"input {name}: wanted {dtype}, given {array.dtype.name}")
    if outside.size:
        raise SpecError(f"input {name}: {outside.flat[0]} is not exact in {dtype}, given {array.dtype.name}")
    return array.astype(wanted)


def _json_value(array: NDArray[Any]) -> Any:
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).tolist()
    if array.dtype.kind == "O":
        result = np.empty(array.size, object)
        result[:] = [_json_text(item) for item in array.flat]
        return result.reshape(array.shape).tolist()
    return array.tolist()


def _json_text(item: bytes) -> str | dict[str, str]:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {_B64: base64.b64encode(item).decode()}
