"""Names and shapes of the variables of a TensorFlow checkpoint; their values are not read.

Source: tensorflow/core/util/tensor_bundle/ (the entries), tensorflow/core/lib/io/table_format.txt (the index, LevelDB's
table), tensorflow/core/protobuf/trackable_object_graph.proto (the names that variables have in a program).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inspection.damage import DamagedError
from inspection.tensors import Weight, by_size, element_count
from inspection.wire import Message, varint

__all__ = ["DTYPES", "read_checkpoint"]

DTYPES = (
    *("invalid", "float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool"),
    *("qint8", "quint8", "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "resource"),
    *("variant", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz"),
    *("float8_e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
)
"""``DataType`` of tensorflow/core/framework/types.proto by number, under the names of numpy and ml_dtypes."""

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
"""Behind each block: its compression (1 byte, 0 for none) and a checksum (4)."""

_MAX_REUSE = 64
"""How many times its own size the index may unpack to; names that share their beginnings are stored once."""

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""An entry that is no variable, but a proto that has the variables' names in the program."""

_VARIABLE = "VARIABLE_VALUE"


class _Entry(NamedTuple):
    """A ``BundleEntryProto``."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


def read_checkpoint(prefix: Path) -> tuple[Weight, ...]:
    """Reads the index of a checkpoint and holds it against the sizes of its data files.

    Args:
        prefix: ``variables/variables`` in a SavedModel's folder.

    Returns:
        The variables, the largest first, under the names that they have in the program.

    Raises:
        DamagedError: the index is damaged, or a data file is missing or too short.
    """
    entries = dict(_entries(prefix.with_name(f"{prefix.name}.index").read_bytes()))
    header = Message(entries.pop("", b""), "checkpoint header")
    shards = header.integer(1)
    tensors = {name: _entry(name, value) for name, value in entries.items()}
    sizes: dict[Path, int] = {}
    for name, entry in tensors.items():
        file = _shard(prefix, entry.shard, shards)
        if file not in sizes:
            if not file.is_file():
                raise DamagedError(f"its {file.name} is missing")
            sizes[file] = file.stat().st_size
        if not 0 <= entry.offset <= entry.offset + entry.size <= sizes[file]:
            raise DamagedError(f"its {file.name} has {sizes[file]:,} bytes and ends before the variable {name!r}")
    graph = tensors.pop(_OBJECT_GRAPH, None)
    names = _names(_shard(prefix, graph.shard, shards), graph) if graph else {}
    weights = (
        Weight(names.get(key) or key, entry.dtype, entry.shape, element_count(entry.shape, repr(key)), entry.size)
        for key, entry in tensors.items()
    )
    return tuple(sorted(weights, key=by_size))


def _shard(prefix: Path, number: int, of: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{number:05}-of-{of:05}")


def _entry(name: str, value: bytes) -> _Entry:
    message = Message(value, "checkpoint entry")
    shape = tuple(dimension.integer(1) for dimension in message.message(2, "shape").messages(2, "dimension"))
    number = message.integer(1)
    if not 0 <= number < len(DTYPES) or message.integer(5) < 0:
        raise DamagedError(f"its variable {name!r} has data type {number} and {message.integer(5):,} bytes")
    return _Entry(DTYPES[number], shape, message.integer(3), message.integer(4), message.integer(5))


def _names(file: Path, entry: _Entry) -> dict[str, str]:
    """The name in the program of each checkpoint key; a scalar of strings is its length, a checksum, its bytes."""
    with file.open("rb") as data:
        data.seek(entry.offset)
        content = data.read(entry.size)
    length, at = varint(content, 0, "object graph")
    at += 4
    if at + length != len(content):
        raise DamagedError("its object graph is not whole")
    graph = Message(content[at:], "object graph")
    return {
        attribute.text(3): attribute.text(2)
        for node in graph.messages(1, "object")
        for attribute in node.messages(2, "attribute")
        if attribute.text(1) == _VARIABLE
    }


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The keys and values of a table."""
    if len(content) < _FOOTER_BYTES or content[-len(_MAGIC) :] != _MAGIC:
        raise DamagedError("its checkpoint index has no footer")
    footer = content[-_FOOTER_BYTES:]
    at = 0
    for _ in range(2):  # the metaindex block's position and size, which nothing of ours is in
        _, at = varint(footer, at, "checkpoint index")
    budget = _Budget(len(content))
    for _, handle in _block(content, footer[at:], budget):
        for key, value in _block(content, handle, budget):
            yield key.decode("utf-8", "backslashreplace"), value


class _Budget:
    """Ends a small index that unpacks without end."""

    def __init__(self, size: int) -> None:
        self._left = _MAX_REUSE * size

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DamagedError("its checkpoint index unpacks to many times its size")


def _block(content: bytes, handle: bytes, budget: _Budget) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the block at the position and of the size that a handle states."""
    what = "checkpoint index"
    start, at = varint(handle, 0, what)
    size, _ = varint(handle, at, what)
    end = start + size
    if end + _TRAILER_BYTES > len(content) or size < 4:
        raise DamagedError(f"its {what} is not whole")
    if content[end]:
        raise DamagedError(f"its {what} is compressed, which TensorFlow's own writer never does")
    # The block ends with the positions of keys that are stored whole, and their number.
    end -= 4 * (1 + int.from_bytes(content[end - 4 : end], "little"))
    key, at = b"", start
    while at < end:
        shared, at = varint(content, at, what)
        unshared, at = varint(content, at, what)
        length, at = varint(content, at, what)
        if shared > len(key) or at + unshared + length > end:
            raise DamagedError(f"its {what} is not whole")
        key = key[:shared] + content[at : at + unshared]
        at += unshared
        budget.spend(len(key) + length)
        yield key, content[at : at + length]
        at += length
