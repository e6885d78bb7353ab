"""What a .safetensors file holds; only its header is read.

Source: https://github.com/huggingface/safetensors#format
"""

from dataclasses import dataclass
from typing import Any, BinaryIO

from inspection.damage import DamagedError
from inspection.json_text import parse
from inspection.tensors import Weight, by_size, element_count, size_bytes

__all__ = ["LENGTH_BYTES", "Safetensors", "read_safetensors"]

LENGTH_BYTES = 8
"""The header's length stands before it: unsigned, little-endian."""

_MAX_HEADER_BYTES = 100_000_000
"""``MAX_HEADER_SIZE`` of safetensors/src/tensor.rs."""

_METADATA = "__metadata__"

_DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    "C64": "complex64",
    "F4": "float4_e2m1fn",
    "F6_E2M3": "float6_e2m3fn",
    "F6_E3M2": "float6_e3m2fn",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, slots=True)
class Safetensors:
    """What a .safetensors file holds.

    Attributes:
        parameters: elements of all tensors.
        weight_bytes: what they take.
        metadata: the file's own strings.
        tensors: the largest first.
    """

    parameters: int
    weight_bytes: int
    metadata: dict[str, str]
    tensors: tuple[Weight, ...]


def read_safetensors(file: BinaryIO, size: int) -> Safetensors:
    """Reads the header and holds it against the file's size.

    Args:
        file: at its start.
        size: its bytes.

    Raises:
        DamagedError: the header is damaged, or the tensors do not fill the rest of the file exactly.
    """
    if size < LENGTH_BYTES:
        raise DamagedError(f"it has {size} bytes")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > _MAX_HEADER_BYTES:
        raise DamagedError(f"its header states a length of {length:,} bytes, the format allows {_MAX_HEADER_BYTES:,}")
    if length > size - LENGTH_BYTES:
        raise DamagedError(f"its header states a length of {length:,} bytes, the file has {size:,}")
    header = parse(file.read(length), "header")
    if not isinstance(header, dict):
        raise DamagedError("its header is no JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DamagedError(f"its {_METADATA} holds something else than strings")
    spans = sorted((_span(name, entry), name) for name, entry in header.items())
    at = 0
    for (begin, end), name in spans:
        if begin != at:
            raise DamagedError(f"tensor {name!r} begins at byte {begin:,} of the data, not at {at:,}")
        at = end
    given = size - LENGTH_BYTES - length
    if at != given:
        raise DamagedError(f"its tensors take {at:,} bytes, but {given:,} follow the header")
    tensors = [_weight(name, header[name], end - begin) for (begin, end), name in spans]
    return Safetensors(
        parameters=sum(tensor.parameters for tensor in tensors),
        weight_bytes=at,
        metadata=metadata,
        tensors=tuple(sorted(tensors, key=by_size)),
    )


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor begins and ends within the data."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
        raise DamagedError(f"tensor {name!r} has no data_offsets")
    begin, end = offsets
    if not 0 <= begin <= end:
        raise DamagedError(f"tensor {name!r} lies from byte {begin} to byte {end}")
    return begin, end


def _weight(name: str, entry: dict[str, Any], given: int) -> Weight:
    what = f"tensor {name!r}"
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamagedError(f"{what} has the dtype {dtype!r}")
    if not isinstance(shape, list) or not all(type(axis) is int for axis in shape):
        raise DamagedError(f"{what} has no shape")
    elements = element_count(shape, what)
    wanted = size_bytes(_DTYPES[dtype], elements)
    if wanted != given:
        raise DamagedError(f"{what} is {dtype}{shape}, {wanted:,} bytes, but has {given:,}")
    return Weight(name, _DTYPES[dtype], tuple(shape), elements, given)
