"""Checks that a .tflite file is whole before an interpreter follows its offsets.

tflite_runtime 2.14 maps a file and trusts it: half a file ends the process with a segmentation fault. This walks the
FlatBuffer by its schema and refuses the first offset that leaves the file. Contents are not judged.

Source: FlatBuffers internals (https://flatbuffers.dev/internals/) and tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import RuntimeRefusedError

__all__ = ["check_tflite"]

_IDENTIFIER = b"TFL3"
_HEADER_BYTES = 8
"""The root table's offset (4 bytes), then the identifier (4)."""


@dataclass(frozen=True, slots=True)
class _Vector:
    """A vector of numbers, or a string: ``width`` bytes an element."""

    width: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of this name in `_LAYOUT`; ``many`` for a vector of them."""

    name: str
    many: bool = False


_STRING = _BYTES = _Vector(1)
_NUMBERS = _Vector(4)
_UNION = _Table("any")

_LAYOUT: Mapping[str, Mapping[int, _Vector | _Table]] = {
    "any": {},
    "model": {
        1: _Table("operator code", many=True),
        2: _Table("subgraph", many=True),
        3: _STRING,
        4: _Table("buffer", many=True),
        5: _NUMBERS,
        6: _Table("metadata", many=True),
        7: _Table("signature", many=True),
    },
    "operator code": {1: _STRING},
    "subgraph": {
        0: _Table("tensor", many=True),
        1: _NUMBERS,
        2: _NUMBERS,
        3: _Table("operator", many=True),
        4: _STRING,
    },
    "tensor": {
        0: _NUMBERS,
        3: _STRING,
        4: _Table("quantization"),
        6: _Table("sparsity"),
        7: _NUMBERS,
        9: _Table("variant", many=True),
    },
    "operator": {1: _NUMBERS, 2: _NUMBERS, 4: _UNION, 5: _BYTES, 7: _BYTES, 8: _NUMBERS, 12: _UNION},
    "quantization": {0: _NUMBERS, 1: _NUMBERS, 2: _NUMBERS, 3: _Vector(8), 5: _UNION},
    "sparsity": {0: _NUMBERS, 1: _NUMBERS, 2: _Table("dimension", many=True)},
    "dimension": {3: _UNION, 5: _UNION},
    "variant": {0: _NUMBERS},
    "buffer": {0: _BYTES},
    "metadata": {0: _STRING},
    "signature": {0: _Table("tensor name", many=True), 1: _Table("tensor name", many=True), 2: _STRING},
    "tensor name": {0: _STRING},
}
"""For each table the fields that hold offsets, by position in schema.fbs; numbers lie in the table itself."""


def check_tflite(path: Path) -> None:
    """Refuses a file that is no TFLite file, or not a whole one.

    Raises:
        RuntimeRefusedError: the message has the path and where the damage is.
    """
    size = path.stat().st_size
    if size < _HEADER_BYTES:
        raise RuntimeRefusedError(f"{path}: not a TFLite file: it has {size} bytes")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[4:_HEADER_BYTES] != _IDENTIFIER:
            raise RuntimeRefusedError(f"{path}: not a TFLite file: its identifier is {content[4:_HEADER_BYTES]!r}")
        try:
            _Walk(content).reference(0, _Table("model"))
        except _OutsideError as err:
            raise RuntimeRefusedError(
                f"{path}: a damaged TFLite file: it has {size} bytes and ends before its {err}"
            ) from err


class _OutsideError(Exception):
    """An offset that leaves the file; the message is what it belongs to."""


class _Walk:
    """Follows the offsets of one file."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content

    def reference(self, at: int, kind: _Vector | _Table) -> None:
        """Checks what the offset at ``at`` leads to."""
        what = "vector" if isinstance(kind, _Vector) else kind.name
        target = at + self._number("<I", at, what)
        if isinstance(kind, _Vector):
            self._vector(target, kind.width, what)
        elif kind.many:
            for index in range(self._vector(target, 4, what)):
                self.reference(target + 4 + 4 * index, _Table(kind.name))
        else:
            self._table(target, kind.name)

    def _table(self, at: int, name: str) -> None:
        """Checks a table: its signed distance back to the vtable, the vtable, then each field that is an offset."""
        vtable = at - self._number("<i", at, name)
        vtable_bytes, table_bytes = self._number("<H", vtable, name), self._number("<H", vtable + 2, name)
        self._inside(vtable, vtable_bytes, name)
        self._inside(at, table_bytes, name)
        for position, kind in _LAYOUT[name].items():
            slot = 4 + 2 * position
            if slot + 2 > vtable_bytes:
                continue
            field = self._number("<H", vtable + slot, name)
            # 0 is a field that is not there.
            if field:
                self.reference(at + field, kind)

    def _vector(self, at: int, width: int, what: str) -> int:
        """Checks a vector and returns its length."""
        length = self._number("<I", at, what)
        self._inside(at + 4, length * width, what)
        return length

    def _number(self, layout: str, at: int, what: str) -> int:
        self._inside(at, struct.calcsize(layout), what)
        number: int = struct.unpack_from(layout, self._content, at)[0]
        return number

    def _inside(self, start: int, size: int, what: str) -> None:
        if start < 0 or start + size > len(self._content):
            raise _OutsideError(what)
