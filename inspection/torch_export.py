"""What a .pt2 file, torch.export's archive, holds; its pickles are not opened.

Source: torch/csrc/export/pt2_archive_constants.h (the names), torch/_export/serde/schema.py (the program) of 2.13.
"""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from inspection.damage import DamagedError
from inspection.json_text import parse
from inspection.tensors import Border, FileSize, Shape, Weight, by_size, element_count, size_bytes

__all__ = ["Pt2", "Pt2Border", "Pt2Operator", "entry_names", "is_pt2", "read_pt2"]

MAX_JSON_BYTES = 64 * 1024 * 1024
"""All that is unpacked of one archive; the program of a net with 10,000 nodes takes 20 MB."""

_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""torch stores; the other methods unpack more than they are asked for."""

_MARKS = ("archive_format", "serialized_exported_program.json")
"""What an archive of torch 2.7 and newer has, and what one of torch 2.6 and older has."""

_DTYPES = {
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"), start=1)),
    **dict(enumerate(("complex32", "complex64", "complex128", "bool", "bfloat16"), start=9)),
    **dict(enumerate(("uint16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), start=28)),
    **dict(enumerate(("float8_e8m0fnu", "uint32", "uint64"), start=33)),
}
"""``ScalarType`` by number, under the names of numpy and ml_dtypes."""

_OPERATOR_PREFIX = "torch.ops."


@dataclass(frozen=True, slots=True)
class Pt2Border(Border):
    """An input or output that a caller sees; ``program`` is the name that the archive has for the program."""

    program: str


@dataclass(frozen=True, slots=True)
class Pt2Operator:
    """How often an operator stands in the programs."""

    operator: str
    count: int


@dataclass(frozen=True, slots=True)
class Pt2:
    """What a .pt2 file holds.

    Attributes:
        torch: the version that wrote it.
        schema: version of the program's form.
        opsets: version of each operator set, such as ``aten``.
        nodes: in the programs and the graphs within their nodes.
        parameters: elements of all weights and buffers that the archive lists.
        weight_bytes: what they take.
        inputs_and_outputs: inputs and outputs of each program.
        operators: the most frequent first.
        weights: the largest first; none in an archive of torch 2.6 or older, which has them as a pickle.
        files: of the archive, in its order, by their paths below its one folder.
    """

    torch: str
    schema: str
    opsets: dict[str, int]
    nodes: int
    parameters: int
    weight_bytes: int
    inputs_and_outputs: tuple[Pt2Border, ...]
    operators: tuple[Pt2Operator, ...]
    weights: tuple[Weight, ...]
    files: tuple[FileSize, ...]


def entry_names(file: BinaryIO) -> list[str]:
    """The names of a zip file's entries; none where its directory is damaged."""
    try:
        return [entry.filename for entry in _archive(file).infolist()]
    except DamagedError:
        return []


def is_pt2(names: list[str]) -> bool:
    """Whether a zip file with these entries is an archive of torch.export."""
    return any(PurePosixPath(name).name in _MARKS for name in names)


def read_pt2(file: BinaryIO) -> Pt2:
    """Reads the archive's directory, its programs and its list of weights.

    Raises:
        DamagedError: it is not a whole archive, an entry lies outside it, or more than `MAX_JSON_BYTES` are to be
            unpacked.
    """
    archive = _archive(file)
    infos = archive.infolist()
    root = infos[0].filename.partition("/")[0] + "/" if infos else ""
    names = {}
    for info in infos:
        if info.filename.startswith("/") or ".." in PurePosixPath(info.filename).parts or "\\" in info.filename:
            raise DamagedError(f"its entry {info.filename!r} lies outside the archive")
        names[info.filename.removeprefix(root)] = info
    if not is_pt2(list(names)):
        raise DamagedError("it is no archive of torch.export")
    reader = _Reader(archive)
    programs = {
        PurePosixPath(name).stem: _Program(reader.json(info))
        for name, info in names.items()
        if re.fullmatch(r"models/[^/]+\.json|serialized_exported_program\.json", name)
    }
    weights = [
        weight
        for name, info in names.items()
        if re.fullmatch(r"data/(weights|constants)/[^/]+_config\.json", name)
        for weight in _weights(reader.json(info))
    ]
    operators = sum((program.operators for program in programs.values()), Counter[str]())
    first = next(iter(programs.values()), None)
    return Pt2(
        torch=first.torch if first else "",
        schema=first.schema if first else "",
        opsets=first.opsets if first else {},
        nodes=operators.total(),
        parameters=sum(weight.parameters for weight in weights),
        weight_bytes=sum(weight.size_bytes for weight in weights),
        inputs_and_outputs=tuple(
            Pt2Border(*border, name) for name, program in programs.items() for border in program.borders
        ),
        operators=tuple(
            Pt2Operator(name, count) for name, count in sorted(operators.items(), key=lambda item: (-item[1], item[0]))
        ),
        weights=tuple(sorted(weights, key=by_size)),
        files=tuple(FileSize(name, info.file_size) for name, info in names.items()),
    )


def _archive(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as err:
        raise DamagedError(f"its zip directory is damaged: {err}") from err


class _Reader:
    """Unpacks entries of an archive, up to `MAX_JSON_BYTES` in all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = MAX_JSON_BYTES

    def json(self, info: zipfile.ZipInfo) -> Any:
        """The value of a JSON entry."""
        name = PurePosixPath(info.filename).name
        if info.file_size > self._left:
            raise DamagedError(f"its {name} unpacks to {info.file_size:,} bytes; over {MAX_JSON_BYTES:,} are not read")
        if info.compress_type not in _READABLE:
            raise DamagedError(f"its {name} is compressed by method {info.compress_type}, which torch never does")
        try:
            with self._archive.open(info) as entry:
                content = entry.read(info.file_size)
        # RuntimeError: the entry is encrypted.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as err:
            raise DamagedError(f"its {name} cannot be unpacked: {err}") from err
        self._left -= len(content)
        return parse(content, name)


class _Program:
    """What the JSON of a program says."""

    def __init__(self, program: Any) -> None:
        try:
            self._read(program)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as err:
            raise DamagedError(f"its program has not the form of torch.export's: {type(err).__name__}: {err}") from err

    def _read(self, program: Any) -> None:
        module = program["graph_module"]
        self.torch = str(program.get("torch_version", ""))
        version = program["schema_version"]
        self.schema = f"{int(version['major'])}.{int(version['minor'])}"
        self.opsets = {str(name): int(number) for name, number in program["opset_version"].items()}
        values = module["graph"]["tensor_values"]
        signature = module["signature"]
        inputs = (spec["user_input"]["arg"] for spec in signature["input_specs"] if "user_input" in spec)
        outputs = (spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec)
        self.borders = [
            (direction, *_argument(argument, values))
            for direction, arguments in (("input", inputs), ("output", outputs))
            for argument in arguments
        ]
        self.operators = Counter(_targets(module["graph"]))


def _argument(argument: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, str, Shape | None]:
    """Name, dtype and shape of an argument, which is a union: one key, and what it stands for."""
    [(kind, value)] = argument.items()
    if kind == "as_tensor":
        meta = values[value["name"]]
        return str(value["name"]), _dtype(meta["dtype"]), tuple(map(_axis, meta["sizes"]))
    name = value.get("name") or value.get("as_name") if isinstance(value, dict) else None
    return str(name or value), kind.removeprefix("as_"), None


def _dtype(number: Any) -> str:
    return _DTYPES.get(int(number), f"scalar type {int(number)}")


def _axis(size: Mapping[str, Any]) -> int | str:
    """A size, or the expression of a dynamic axis: ``Symbol('s77', positive=True, integer=True)`` is ``s77``."""
    if "as_int" in size:
        return int(size["as_int"])
    expression = str(size["as_expr"]["expr_str"])
    expression = re.sub(r"Symbol\('(\w+)'[^)]*\)", r"\1", expression)
    return re.sub(r"Integer\((-?\d+)\)", r"\1", expression)


def _targets(graph: Mapping[str, Any]) -> Iterator[str]:
    """The operator of each node, in the graphs within nodes too."""
    pending = [graph]
    while pending:
        for node in pending.pop()["nodes"]:
            yield str(node["target"]).removeprefix(_OPERATOR_PREFIX)
            arguments = (given["arg"] for given in node["inputs"])
            pending.extend(argument["as_graph"]["graph"] for argument in arguments if "as_graph" in argument)


def _weights(config: Any) -> Iterator[Weight]:
    """The tensors that a list of weights or constants names."""
    try:
        for name, entry in config["config"].items():
            meta = entry.get("tensor_meta")
            if meta is None:
                continue  # an object, kept as a pickle
            shape = tuple(int(size["as_int"]) for size in meta["sizes"])
            dtype = _dtype(meta["dtype"])
            elements = element_count(shape, f"weight {name!r}")
            yield Weight(name, dtype, shape, elements, size_bytes(dtype, elements) or 0)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise DamagedError(f"its list of weights has not the form of torch.export's: {err!r}") from err
