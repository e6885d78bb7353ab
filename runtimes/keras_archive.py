"""Checks what a .keras file holds before Keras builds, unpacks or imports anything for it.

A .keras file is a zip file: config.json says which classes to build, model.weights.h5 holds the weights, and assets/
what some layers keep as files. Keras reads these and ignores other entries, but unpacks all of them into a temporary
folder as soon as there are more than three. Standard library only.

Source: keras/src/saving/saving_lib.py and serialization_lib.py of Keras 3.15.
"""

import json
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from contract.errors import RuntimeRefusedError

__all__ = ["Foreign", "check_keras"]

_CONFIG = "config.json"

_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Keras stores; people who pack a file again deflate."""

_MAX_CONFIG_BYTES = 64 * 1024 * 1024
"""The config of a net with 10,000 layers takes 10 MB."""

_MAX_EXPANSION = 100
"""How much more an entry may unpack to than it takes: as in Keras, whose floor of 4 GiB fills memory all the same."""

_SMALL_BYTES = 1024 * 1024
"""An entry up to here is no bomb, however well it is packed: JSON that repeats itself is, and so are zeros."""

_OWN_PACKAGES = ("keras", "keras_hub", "builtins")
"""What a config may take classes from; ``builtins`` stands for Keras's own functions, such as ``relu``."""

_LAMBDA = "__lambda__"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A class or function that is not Keras's own.

    Attributes:
        name: with its module, such as ``my_layers.Scale``, where the config has it.
        registered_name: the name under which it has to be registered in Keras, such as ``my_package>Scale``.
    """

    name: str
    registered_name: str


def check_keras(path: Path) -> tuple[Foreign, ...]:
    """Refuses a file that is no whole .keras file, or would harm the process that loads it.

    An entry may not lie outside the archive, be a link, be encrypted or stand there twice. One over 1 MiB may unpack to
    at most 100 times what it takes in the file, and the entries together take no more than the file has. Each has to
    fit its checksum: Keras 3.15 loads weights that do not.

    Returns:
        What the config needs and Keras itself has not, in order and each once. How the net was compiled counts for
        nothing, because it is loaded without.

    Raises:
        RuntimeRefusedError: the message has the path and the reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive.infolist(), path.stat().st_size)
            config = _config(archive)
            _check_sums(archive)
        return tuple(dict.fromkeys(_foreign(config)))
    except _RefusedError as err:
        raise RuntimeRefusedError(f"{path}: {err}") from err
    # RuntimeError: an entry is encrypted. NotImplementedError, which is one: it needs a newer zip.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as err:
        raise RuntimeRefusedError(f"{path}: damaged or not a .keras file: {err}") from err


class _RefusedError(Exception):
    """What is wrong with the file."""


def _check_entries(entries: list[zipfile.ZipInfo], file_bytes: int) -> None:
    """Holds the zip directory against the file; what it states is binding, Python's zipfile unpacks no byte more."""
    names = set()
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or PureWindowsPath(name).drive:
            raise _RefusedError(f"its entry {name!r} lies outside the archive")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _RefusedError(f"its entry {name!r} is a link")
        if name in names:
            raise _RefusedError(f"its entry {name!r} stands there twice")
        if entry.compress_type not in _READABLE:
            raise _RefusedError(f"its entry {name!r} is compressed by method {entry.compress_type}, Keras stores")
        if entry.file_size > max(_SMALL_BYTES, _MAX_EXPANSION * entry.compress_size):
            raise _RefusedError(
                f"its entry {name!r} takes {entry.compress_size:,} bytes and unpacks to {entry.file_size:,}, a zip bomb"
            )
        names.add(name)
    if sum(entry.compress_size for entry in entries) > file_bytes:
        raise _RefusedError(f"its entries overlap: they state more bytes than the {file_bytes:,} of the file")


def _check_sums(archive: zipfile.ZipFile) -> None:
    damaged = archive.testzip()
    if damaged is not None:
        raise _RefusedError(f"damaged: its entry {damaged!r} does not fit its checksum")


def _config(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    """The config, read as Keras reads it."""
    if _CONFIG not in archive.namelist():
        raise _RefusedError(f"no .keras file: it has no {_CONFIG}")
    size = archive.getinfo(_CONFIG).file_size
    if size > _MAX_CONFIG_BYTES:
        raise _RefusedError(f"its {_CONFIG} has {size:,} bytes; over {_MAX_CONFIG_BYTES:,} are not read")
    content = archive.read(_CONFIG)
    try:
        config = json.loads(content)
    except RecursionError as err:
        raise _RefusedError(f"its {_CONFIG} is nested too deeply") from err
    except ValueError as err:
        raise _RefusedError(f"its {_CONFIG} is no JSON: {err}") from err
    if not isinstance(config, dict):
        raise _RefusedError(f"its {_CONFIG} is no JSON object")
    return config


def _foreign(config: Mapping[str, Any]) -> Iterator[Foreign]:
    """The classes and functions of the config that are not Keras's.

    Raises:
        _RefusedError: there is a Lambda layer.
    """
    pending: list[Any] = [{key: value for key, value in config.items() if key != "compile_config"}]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(reversed(value))
        if not isinstance(value, dict):
            continue
        pending.extend(reversed(value.values()))
        module, name = value.get("module"), value.get("class_name")
        if not isinstance(name, str):
            continue
        if name == _LAMBDA or (name == "Lambda" and _is_own(module)):
            raise _RefusedError(
                "it has a Lambda layer, which is Python code and is not loaded; build the net with layers of Keras, or "
                "by a module in models/ that defines a class for it"
            )
        is_function = name == "function"
        # A function has its name as its config, and Keras looks it up by that; one that is registered has a > in it.
        given = str(value.get("config") if is_function else value.get("registered_name", name))
        # Keras writes null for the module of a class that the main program, such as a notebook, has defined.
        is_of_main = "module" in value and module is None and not name.startswith("__")
        if is_of_main or not _is_own(module) or (is_function and ">" in given):
            shown = given if is_function else name
            yield Foreign(shown if module in (None, "builtins") else f"{module}.{shown}", given)


def _is_own(module: object) -> bool:
    return module is None or (isinstance(module, str) and module.partition(".")[0] in _OWN_PACKAGES)
