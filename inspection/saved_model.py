"""What a SavedModel's folder holds.

Source of the field numbers: saved_model.proto, meta_graph.proto, graph.proto, node_def.proto, function.proto and
op_def.proto below tensorflow/core/. Warm-up requests are TFRecords: https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract.errors import FormatError
from contract.files import tree_files
from inspection.checkpoint import DTYPES, read_checkpoint
from inspection.damage import DamagedError
from inspection.tensors import Border, FileSize, Shape, Weight
from inspection.wire import Content, Message

__all__ = ["DEFINITION", "GraphOperator", "SavedModel", "SavedModelBorder", "read_saved_model"]

DEFINITION = "saved_model.pb"

_WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
"""Where TF Serving looks for them (tensorflow_serving/servables/tensorflow/saved_model_warmup_util.h)."""

_RECORD_HEADER_BYTES, _RECORD_FOOTER_BYTES = 12, 4
"""A record's length (8 bytes) and the length's checksum (4); behind the record its own checksum."""

_NOT_CALLABLE = ("__saved_model_init_op", "__saved_model_train_op")
"""Entries of the signature map that name an operation (tensorflow/python/saved_model/constants.py)."""


@dataclass(frozen=True, slots=True)
class SavedModelBorder(Border):
    """An input or output of a signature.

    Attributes:
        signature: its key.
        method: its method name, such as ``tensorflow/serving/predict``.
        tensor: the tensor of the graph; empty where it is not one dense tensor.
        tags: of the graph that has the signature.
    """

    signature: str
    method: str
    tensor: str
    tags: str


@dataclass(frozen=True, slots=True)
class GraphOperator:
    """How often an operator stands in the graphs themselves, and in the functions of their libraries."""

    operator: str
    in_graph: int
    in_functions: int


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What a SavedModel's folder holds.

    Attributes:
        tags: the tag set of each graph, its tags joined by ``, ``.
        tensorflow: the version that wrote it.
        nodes: in the graphs and in the functions of their libraries.
        functions: in the libraries.
        parameters: elements of all variables.
        weight_bytes: what the variables take.
        warmup_requests: how many TF Serving sends itself before it serves the model, or None where there is no file.
        assets: files that the graph reads.
        inputs_and_outputs: inputs and outputs, signature by signature.
        operators: the most frequent first.
        variables: the largest first; none where the graph has none.
        files: of the folder.
    """

    tags: tuple[str, ...]
    tensorflow: str
    nodes: int
    functions: int
    parameters: int
    weight_bytes: int
    warmup_requests: int | None
    assets: tuple[str, ...]
    inputs_and_outputs: tuple[SavedModelBorder, ...]
    operators: tuple[GraphOperator, ...]
    variables: tuple[Weight, ...]
    files: tuple[FileSize, ...]


def read_saved_model(folder: Path, definition: Content) -> SavedModel:
    """Reads all but the values of the variables.

    Args:
        folder: the SavedModel.
        definition: of its ``saved_model.pb``.

    Raises:
        DamagedError: one of its files is damaged, or an asset is missing.
        FormatError: an asset lies outside the folder.
    """
    graphs = list(Message(definition, DEFINITION).messages(2, "graph"))
    if not graphs:
        raise DamagedError(f"its {DEFINITION} has no graph")
    in_graph, in_functions, functions = Counter[str](), Counter[str](), 0
    infos = [graph.message(1, "description") for graph in graphs]
    for graph in graphs:
        definition_of_graph = graph.message(2, "graph")
        in_graph.update(node.text(2) for node in definition_of_graph.messages(1, "node"))
        for function in definition_of_graph.message(2, "function library").messages(1, "function"):
            functions += 1
            in_functions.update(node.text(2) for node in function.messages(3, "node"))
    variables: tuple[Weight, ...] = ()
    if (folder / "variables" / "variables.index").is_file():
        variables = read_checkpoint(folder / "variables" / "variables")
    return SavedModel(
        tags=tuple(_tags(info) for info in infos),
        tensorflow=infos[0].text(5),
        nodes=in_graph.total() + in_functions.total(),
        functions=functions,
        parameters=sum(variable.parameters for variable in variables),
        weight_bytes=sum(variable.size_bytes for variable in variables),
        warmup_requests=_record_count(folder / _WARMUP),
        assets=tuple(dict.fromkeys(name for graph in graphs for name in _assets(folder, graph))),
        inputs_and_outputs=tuple(
            border for graph, info in zip(graphs, infos, strict=True) for border in _borders(graph, info)
        ),
        operators=tuple(
            sorted(
                (GraphOperator(name, in_graph[name], in_functions[name]) for name in in_graph | in_functions),
                key=lambda operator: (-operator.in_graph - operator.in_functions, operator.operator),
            )
        ),
        variables=variables,
        files=tuple(FileSize(name, (folder / name).lstat().st_size) for name in tree_files(folder)),
    )


def _tags(info: Message) -> str:
    return ", ".join(info.texts(4))


def _borders(graph: Message, info: Message) -> Iterator[SavedModelBorder]:
    # A protobuf map has no order of its own.
    entries = {entry.text(1): entry.message(2, "signature") for entry in graph.messages(5, "signature")}
    for key, signature in sorted(entries.items()):
        if key in _NOT_CALLABLE:
            continue
        for number, direction in ((1, "input"), (2, "output")):
            tensors = {entry.text(1): entry.message(2, "tensor") for entry in signature.messages(number, direction)}
            for name, tensor in sorted(tensors.items()):
                dtype = tensor.integer(2)
                yield SavedModelBorder(
                    direction=direction,
                    name=name,
                    dtype=DTYPES[dtype] if 0 <= dtype < len(DTYPES) else f"data type {dtype}",
                    shape=_shape(tensor.message(3, "shape")),
                    signature=key,
                    method=signature.text(3),
                    tensor=tensor.text(1),
                    tags=_tags(info),
                )


def _shape(shape: Message) -> Shape | None:
    if shape.integer(3):
        return None
    sizes = ((dimension.integer(1), dimension.text(2)) for dimension in shape.messages(2, "dimension"))
    return tuple(size if size >= 0 else name or "?" for size, name in sizes)


def _assets(folder: Path, graph: Message) -> Iterator[str]:
    """The graph's assets, each of which is a file below ``assets/``."""
    for asset in graph.messages(6, "asset"):
        name = asset.text(2)
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or {"..", "\0"} & {*parts, *name}:
            raise FormatError(f"{folder}: its asset {name!r} lies outside the folder")
        if not (folder / "assets" / name).is_file():
            raise DamagedError(f"its asset {name!r} is missing")
        yield name


def _record_count(file: Path) -> int | None:
    """The number of records in a TFRecord file, which are not read."""
    if not file.is_file():
        return None
    size, at, count = file.stat().st_size, 0, 0
    with file.open("rb") as records:
        while at < size:
            records.seek(at)
            length = int.from_bytes(records.read(_RECORD_HEADER_BYTES)[:8], "little")
            at += _RECORD_HEADER_BYTES + length + _RECORD_FOOTER_BYTES
            count += 1
    if at != size:
        raise DamagedError(f"its {_WARMUP} ends within request {count}")
    return count
