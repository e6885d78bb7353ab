"""What a .pt2 archive may not hold, looked for before torch reads it.

torch trusts the archive: `load_pt2` of torch/export/pt2_archive/_package.py (2.13)

* unpickles without restriction: weights and constants marked ``use_pickle``, custom and opaque objects, the files of
  torch 2.6 and older, and the sample inputs as soon as the restricted unpickler refuses them;
* evaluates sizes as Python (``sympy.sympify`` of ``expr_str``) and executes the guards (``guards_code``);
* writes the names of a program into Python code, which it executes (torch/fx/graph.py);
* resolves any dotted target below ``torch``, and imports the modules that a tree of arguments names;
* loads compiled code.

So only what torch.export.save writes for tensors and PyTorch's own operators passes.
"""

import ast
import io
import json
import math
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from contract.errors import RuntimeRefusedError
from runtimes.session import one_line

__all__ = ["check_archive"]

_PROGRAM = "models/model.json"
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
_CONFIGS = {_WEIGHTS: "model_weights_config.json", _CONSTANTS: "model_constants_config.json"}

_ENTRY = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|extra/.*|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
"""What torch.export.save writes (torch/export/pt2_archive/constants.py); ``model`` is its name for the one program."""

_OLD_PROGRAM = "serialized_exported_program.json"
"""What an archive of torch 2.6 and older has."""

_UNPICKLING = (
    *(pickle.UnpicklingError, RuntimeError, ArithmeticError, AttributeError, EOFError, LookupError),
    *(TypeError, ValueError),
)
"""What a damaged or hostile pickle makes the restricted unpickler raise."""

_MAX_SHOWN = 80
"""Characters of a name or an expression in a message: a hostile one can have millions."""

_NAME = re.compile(r"\w*")
_PATH = re.compile(r"[\w.@/+ -]*")
_PATH_KEYS = {"parameter_name", "buffer_name", "tensor_constant_name", "fqn", "torch_version", "as_float", "as_floats"}
"""Paths within a module, a version, and numbers such as ``-Infinity``; every other string is a name."""

_FREE_KEYS = {"as_string", "as_strings"}
"""Arguments of operators such as an einsum's equation: code has them as literals."""

_RANGES = "range_constraints"
"""Its keys are expressions, which torch only compares."""

_OBJECT_KEYS = {"as_custom_obj", "custom_obj", "as_operator"}
"""Pickled objects, and functions of torch that are passed on as arguments."""

_TARGET = re.compile(
    r"_operator\.\w+|math\.\w+|torch\.(_sym_\w+|sym_\w+)"
    r"|torch\.ops\.(?!aten\.(save|from_file)\.)(aten|prims|quantized_decomposed)\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|map_impl|associative_scan|wrap_with_(set_grad_enabled|autocast))"
)
"""Operators that compute, and those that run a graph of the archive; ``save`` and ``from_file`` touch files."""

_TREES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
"""Types of arguments and results (torch/utils/_pytree.py); those of other types import a module of their own."""

_TREE_KEYS = {"in_spec": _NAME, "out_spec": re.compile(r"[\w.:/ -]*")}
"""Keys of a dict of inputs, which get names of parameters, and of a dict of outputs."""

_EXPRESSION_NODES = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.Attribute, ast.Subscript),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)

_EXPRESSION_NAMES = frozenset(
    (
        *(
            "L",
            "math",
            "torch",
            "inf",
            "true",
            "false",
            "Symbol",
            "Integer",
            "Rational",
            "Float",
            "Add",
            "Mul",
            "Pow",
            "Abs",
        ),
        *("Max", "Min", "ceiling", "floor", "And", "Or", "Not", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality"),
        *("Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "BooleanTrue"),
        *("BooleanFalse", "cast_symbool_to_symint_guardless"),
        # torch.utils._sympy.functions, as torch/_export/serde/serialize.py lists them
        *("FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv"),
        *("LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt"),
        *("RoundToInt", "RoundDecimal", "ToFloat", "Identity", "IsNonOverlappingAndDenseIndicator"),
    )
)

_EXPRESSION_METHODS = frozenset(
    (
        *("size", "stride", "storage_offset", "ceil", "floor", "sqrt", "trunc"),
        *("sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "_sym_sqrt"),
    )
)


def check_archive(file: BinaryIO, where: str) -> None:
    """Refuses an archive that is damaged, or that would make torch run what its author wrote.

    Args:
        file: the archive; the position does not matter.
        where: its path, for messages.

    Raises:
        RuntimeRefusedError: says which entry, and what of it.
    """
    # Imported here, because importing `runtimes` must not import torch; the caller has found it installed.
    from torch.export.pt2_archive import PT2ArchiveReader

    names = _check_zip(file, where)
    if _OLD_PROGRAM in names:
        raise RuntimeRefusedError(
            f"{where}: its weights are pickles, as torch 2.6 and older wrote them; save it again with today's torch"
        )
    file.seek(0)
    try:
        reader = PT2ArchiveReader(file)
        entries = reader.get_file_names()
        _check_entries(entries, names, where)
        for folder, config in _CONFIGS.items():
            _check_config(reader, folder, _json(reader.read_bytes(folder + config)), where)
        _check_program(_json(reader.read_bytes(_PROGRAM)), "", where)
        sample_inputs = reader.read_bytes(_SAMPLE_INPUTS)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as err:
        raise RuntimeRefusedError(f"{where}: damaged or no archive of torch.export: {one_line(err)}") from err
    if sample_inputs:
        _check_sample_inputs(sample_inputs, where)


def _check_zip(file: BinaryIO, where: str) -> list[str]:
    """Checks that nothing is damaged, unpacks to more than it takes or lies outside.

    Returns:
        The names of the entries.
    """
    damaged = f"{where}: damaged or no archive of torch.export"
    size = file.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise RuntimeRefusedError(
                f"{where}: its {size:,} bytes unpack to {unpacked:,}; an archive of torch compresses nothing"
            )
        for entry in entries:
            name = entry.filename
            if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
                raise RuntimeRefusedError(f"{where}: its entry {_shown(name)} lies outside the archive")
        # torch itself compares no checksums.
        broken = archive.testzip()
    # RuntimeError: an entry is encrypted.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as err:
        raise RuntimeRefusedError(f"{damaged}: {one_line(err)}") from err
    if broken is not None:
        raise RuntimeRefusedError(f"{damaged}: the checksum of {_shown(broken)} is wrong")
    return [entry.filename for entry in entries]


def _check_entries(entries: list[str], names: list[str], where: str) -> None:
    """Checks that torch sees the same entries as `zipfile`, each once, and that all of them are known."""
    if sorted(entries) != sorted(name.partition("/")[2] for name in names) or len(set(entries)) < len(entries):
        raise ValueError("its entries are not one folder in which each has a name of its own")
    for entry in entries:
        if not _ENTRY.fullmatch(entry):
            raise RuntimeRefusedError(
                f"{where}: its entry {_shown(entry)} is none of a program and its tensors, so it is not opened: "
                "it could hold code"
            )


def _check_config(reader: Any, folder: str, config: Any, where: str) -> None:
    """Checks that a list of tensors has no pickles, and nothing that takes more memory than the archive."""
    for name, entry in config["config"].items():
        if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise RuntimeRefusedError(
                f"{where}: {_shown(name)} is a pickle, which could run code; save the program with plain tensors"
            )
        shape = [size["as_int"] for size in entry["tensor_meta"]["sizes"]]
        # torch makes the tensor of an empty record from its shape alone.
        if math.prod(shape) and not reader.archive_file.get_record_size(folder + entry["path_name"]):
            raise ValueError(f"{_shown(name)} has shape {shape}, but no values")


def _check_sample_inputs(content: bytes, where: str) -> None:
    """Checks that torch's restricted unpickler takes the sample inputs: torch then needs no other.

    The call is the first that torch makes of them (``deserialize_torch_artifact`` in torch/_export/serde/serialize.py).
    """
    import torch

    _check_zip(io.BytesIO(content), f"{where}: {_SAMPLE_INPUTS}")
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except _UNPICKLING as err:
        raise RuntimeRefusedError(
            f"{where}: its {_SAMPLE_INPUTS} is damaged or holds more than tensors: reading it could run code in it; "
            "export the program with tensors as inputs"
        ) from err


def _json(content: bytes) -> Any:
    """The value as torch reads it."""
    return json.loads(content.decode())


def _check_program(value: Any, key: str, where: str) -> None:
    """Checks every string below ``value`` by the key that it stands at, whatever the form of the program is."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in _OBJECT_KEYS:
                raise RuntimeRefusedError(f"{where}: its program has a Python object ({name}), which is not loaded")
            if key != _RANGES:
                _check_text(name, _PATH, where)
            # Of where a node comes from, which is for people.
            if not (key == "metadata" and isinstance(item, str)):
                _check_program(item, name, where)
    elif isinstance(value, list):
        for item in value:
            _check_program(item, key, where)
    elif isinstance(value, str):
        _check_string(value, key, where)


def _check_string(text: str, key: str, where: str) -> None:
    if key in _FREE_KEYS:
        return
    if key == "target":
        if not _TARGET.fullmatch(text):
            raise RuntimeRefusedError(f"{where}: its operator {_shown(text)} is none of PyTorch's own that compute")
    elif key in ("expr_str", "guards_code"):
        _check_expression(text, where)
    elif key in _TREE_KEYS:
        if text:
            _check_tree(json.loads(text)[1], _TREE_KEYS[key], where)
    else:
        _check_text(text, _PATH if key in _PATH_KEYS else _NAME, where)


def _check_text(text: str, allowed: re.Pattern[str], where: str) -> None:
    if not allowed.fullmatch(text):
        raise RuntimeRefusedError(f"{where}: {_shown(text)} is no name, and torch would write it into code")


def _check_expression(text: str, where: str) -> None:
    """Checks that an expression only computes with sizes: both torch and sympy evaluate it as Python."""
    try:
        nodes: Iterable[ast.AST] = ast.walk(ast.parse(text, mode="eval"))
        is_fine = text.isascii() and text.isprintable() and "#" not in text and all(map(_is_arithmetic, nodes))
    except (SyntaxError, MemoryError, RecursionError, ValueError):
        is_fine = False
    if not is_fine:
        raise RuntimeRefusedError(f"{where}: {_shown(text)} is no size, and torch would run it as code")


def _is_arithmetic(node: ast.AST) -> bool:
    match node:
        case ast.Name():
            return node.id in _EXPRESSION_NAMES
        case ast.Attribute():
            return node.attr in _EXPRESSION_METHODS
        case ast.Constant(value=str() as text):
            return _PATH.fullmatch(text) is not None
        case ast.Constant():
            return isinstance(node.value, int | float)
        case _:
            return isinstance(node, _EXPRESSION_NODES)


def _check_tree(tree: Any, allowed: re.Pattern[str], where: str) -> None:
    """Checks the types of a tree of arguments or results, and its keys."""
    if tree["type"] not in _TREES:
        raise RuntimeRefusedError(
            f"{where}: its inputs or outputs are a {tree['type']!s:.80}; export it with tuples, lists and dicts of "
            "tensors"
        )
    keys = json.loads(tree["context"]) if tree["context"] else None
    for name in keys or ():
        if not isinstance(name, int) and not (isinstance(name, str) and allowed.fullmatch(name)):
            raise RuntimeRefusedError(f"{where}: {_shown(name)} is no name of an input or output")
    for child in tree["children_spec"]:
        _check_tree(child, allowed, where)


def _shown(text: object) -> str:
    """A name of the archive for a message."""
    quoted = repr(text)
    return quoted if len(quoted) <= _MAX_SHOWN else f"{quoted[:_MAX_SHOWN]}..."
