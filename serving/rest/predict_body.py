"""Bodies of Predict: JSON into tensors by name, and back."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from serving.rest.json_quick_tensor import QuickTensors
from serving.rest.json_tensor import Values, fill, to_tensor
from serving.rest.json_tensor_writer import write_columns, write_rows
from serving.rest.json_values import Document, Json, find_base64, members
from serving.rest.json_writer import quote_value

__all__ = ["Format", "inputs", "outputs", "signature_name"]


class Format(Enum):
    """How a request lists its values, and so the reply: ``instances`` are rows, ``inputs`` columns."""

    ROW = "row"
    COLUMN = "column"


def signature_name(document: Document) -> str:
    """The signature that a request names, empty for none.

    Raises:
        StatusError: INVALID_ARGUMENT: it is no string.
    """
    name = document.root.get("signature_name", "")
    if not isinstance(name, str):
        message = "not formatted correctly. 'signature_name' key must be a string value."
        raise _refused(f"JSON Value: {quote_value(document.root)} {message}")
    return name


def inputs(document: Document, infos: Mapping[str, Any]) -> tuple[Format, dict[str, Tensor]]:
    """The tensors of a request.

    Args:
        document: the request.
        infos: ``TensorInfo`` of each input of the signature; at least one.

    Raises:
        StatusError: what TensorFlow Serving answers, mostly INVALID_ARGUMENT.
    """
    root = document.root
    if "instances" in root:
        rows = root["instances"]
        if "inputs" in root:
            raise _refused(
                f"JSON Value: {quote_value(root)} Not formatted correctly expecting only one of 'inputs' or "
                "'instances' keys to exist "
            )
        if not isinstance(rows, list):
            raise _refused(f"JSON Value: {quote_value(root)} Expecting 'instances' to be an list/array")
        if not rows:
            raise _refused(f"JSON Value: {quote_value(root)} No values in 'instances' array")
        dtypes = {name: info.dtype for name, info in infos.items()}
        return Format.ROW, _quick_rows(rows, dtypes, document.body) or _exact_rows(rows, dtypes)
    if "inputs" in root:
        dtypes = {name: info.dtype for name, info in infos.items()}
        return Format.COLUMN, _columns(root["inputs"], dtypes, document.body)
    raise _refused("Missing 'inputs' or 'instances' key")


def outputs(layout: Format, tensors: Mapping[str, Tensor]) -> bytes:
    """The reply.

    Args:
        layout: that of the request.
        tensors: the outputs by name.

    Raises:
        StatusError: INVALID_ARGUMENT: no rows of one number, or a type that JSON lacks.
    """
    if not tensors:
        raise _refused("Cannot convert empty tensor map to JSON")
    return write_rows(tensors) if layout is Format.ROW else write_columns(tensors)


def _refused(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _is_object(value: Json) -> bool:
    return isinstance(value, dict) and find_base64(value) is None


def _columns(value: Json, dtypes: Mapping[str, int], body: bytes) -> dict[str, Tensor]:
    if not _is_object(value):
        if len(dtypes) > 1:
            raise _refused(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = dict.fromkeys(dtypes, value)
    quick = QuickTensors(body)
    tensors = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise _refused(f"Missing named input: {name} in 'inputs' object.")
        column = value[name]
        tensor = quick.make(column, dtype)
        tensors[name] = to_tensor(*fill(column, dtype), dtype) if tensor is None else tensor
    return tensors


def _quick_rows(rows: list[Json], dtypes: Mapping[str, int], body: bytes) -> dict[str, Tensor] | None:
    """All rows at once; None where one must be looked at."""
    quick = QuickTensors(body)
    tensors = {}
    if type(rows[0]) is not dict:
        if len(dtypes) > 1:
            return None
        columns = dict.fromkeys(dtypes, rows)
    else:
        names = dtypes.keys()
        if any(type(row) is not dict or row.keys() != names for row in rows):
            return None
        columns = {name: [row[name] for row in rows] for name in names}
    for name, dtype in dtypes.items():
        tensor = quick.make(columns[name], dtype)
        if tensor is None:
            return None
        tensors[name] = tensor
    return tensors


class _Column:
    """The rows of one input, of one shape."""

    def __init__(self) -> None:
        self.flat: list[Any] = []
        self._first: Values | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each row."""
        return self._first.shape if self._first else ()

    def add(self, value: Json, dtype: int) -> None:
        """One more row."""
        item = fill(value, dtype)
        self.flat += item.flat
        if self._first is None:
            self._first = item
        elif len(item.flat) != len(self._first.flat):
            raise _refused(f"Expecting tensor size: {len(self._first.flat)} but got: {len(item.flat)}")
        elif item.shape != self._first.shape:
            raise _refused(f"Expecting shape {_shape(self._first.shape)} but got: {_shape(item.shape)}")

    def tensor(self, rows: int, dtype: int) -> Tensor:
        """All rows; a name that stood twice in one left values over."""
        count = rows * (len(self._first.flat) if self._first else 0)
        return to_tensor((rows, *self.shape), self.flat[:count], dtype)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _exact_rows(rows: list[Json], dtypes: Mapping[str, int]) -> dict[str, Tensor]:
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise _refused(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    objects = _is_object(rows[0])
    names = sorted(dtypes)
    columns = {name: _Column() for name in (names if objects else names[:1])}
    for number, row in enumerate(rows):
        if _is_object(row) != objects:
            raise _refused(
                f"Expecting object but got list at item {number} of input list"
                if objects
                else f"Expecting value/list but got object at item {number} of input list"
            )
        if not objects:
            name = names[0]
            _add(columns, row, name, dtypes, f"Failed to process element: {number} of 'instances' list.")
            continue
        met = set()
        for key, value in members(row):
            name = key.partition("\0")[0]
            _add(columns, value, name, dtypes, f"Failed to process element: {number} key: {name} of 'instances' list.")
            met.add(name)
        if met != dtypes.keys():
            raise _refused(
                f"Failed to process element: {number} of 'instances' list. JSON object: {quote_value(row)} "
                f"keys must be equal to: {','.join(names)}"
            )
    return {name: column.tensor(len(rows), dtypes[name]) for name, column in columns.items()}


def _add(columns: Mapping[str, _Column], value: Json, name: str, dtypes: Mapping[str, int], where: str) -> None:
    try:
        if name not in dtypes:
            raise _refused(f"JSON object: does not have named input: {name}")
        columns[name].add(value, dtypes[name])
    except StatusError as error:
        raise _refused(f"{where} Error: {error}") from None
