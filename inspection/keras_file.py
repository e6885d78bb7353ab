"""What a .keras file holds: its config is read, its weights and assets are not opened.

Source: keras/src/saving/saving_lib.py (the entries), keras/src/models/functional.py and sequential.py (the config) of
Keras 3.15.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from inspection.damage import DamagedError
from inspection.tensors import Border, FileSize, Shape
from inspection.zip_archive import ZipArchive

__all__ = ["KerasFile", "KerasLayer", "KerasOperator", "is_keras", "read_keras"]

_CONFIG, _METADATA = "config.json", "metadata.json"

_WEIGHTS = ("model.weights.h5", "model.weights.npz")

_INPUT = "InputLayer"

_BATCH = "batch"
"""The first axis of an input, where it is dynamic."""

_OWN_PACKAGES = ("keras", "builtins")
"""``builtins`` stands for Keras's own functions, such as ``relu``."""

_MAIN = "__main__"
"""The program that saved the model, such as a notebook: Keras writes null for the module of what it has defined."""


@dataclass(frozen=True, slots=True)
class KerasOperator:
    """How often a class of layers stands in the model and the models within it."""

    operator: str
    count: int


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer.

    Attributes:
        layer: its name; in a model within the model, behind that one's name and a slash.
        operator: its class.
        dtype: its policy, such as ``float32`` or ``mixed_float16``; empty where the file states none.
    """

    layer: str
    operator: str
    dtype: str


@dataclass(frozen=True, slots=True)
class KerasFile:
    """What a .keras file holds.

    Attributes:
        keras: the version that wrote it.
        saved: when, in that machine's own time.
        model: class of the model.
        name: its name.
        weight_bytes: size of the weights' file in the archive, its own overhead with it.
        needed_modules: modules that loading it needs beyond Keras, sorted.
        inputs: names, dtypes and shapes; the file does not state those of the outputs.
        operators: the most frequent first.
        layers: in the model's order.
        files: of the archive, in its order.
    """

    keras: str
    saved: str
    model: str
    name: str
    weight_bytes: int
    needed_modules: tuple[str, ...]
    inputs: tuple[Border, ...]
    operators: tuple[KerasOperator, ...]
    layers: tuple[KerasLayer, ...]
    files: tuple[FileSize, ...]


def is_keras(names: Iterable[str]) -> bool:
    """Whether a zip file with these entries is one of Keras."""
    found = set(names)
    return _CONFIG in found and not found.isdisjoint((_METADATA, *_WEIGHTS))


def read_keras(file: BinaryIO) -> KerasFile:
    """Reads the archive's directory, its config and its metadata.

    Raises:
        DamagedError: it is not a whole archive, an entry lies outside it or is too large to be read, or the config has
            not the form of Keras's.
    """
    archive = ZipArchive(file)
    if _CONFIG not in archive:
        raise DamagedError(f"it has no {_CONFIG}")
    config = archive.json(_CONFIG)
    metadata = archive.json(_METADATA) if _METADATA in archive else {}
    try:
        layers = tuple(_layers(config["config"], ""))
        counts = Counter(layer.operator for layer in layers)
        return KerasFile(
            keras=str(metadata.get("keras_version", "")),
            saved=str(metadata.get("date_saved", "")),
            model=str(config["class_name"]),
            name=str(config["config"].get("name", "")),
            weight_bytes=sum(entry.size_bytes for entry in archive.files if entry.file in _WEIGHTS),
            needed_modules=tuple(sorted(set(_foreign_modules(config)))),
            inputs=tuple(_inputs(config["config"])),
            operators=tuple(
                KerasOperator(name, count)
                for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            ),
            layers=layers,
            files=archive.files,
        )
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as err:
        raise DamagedError(f"its config has not the form of Keras's: {type(err).__name__}: {err}") from err


def _layers(model: Mapping[str, Any], prefix: str) -> Iterator[KerasLayer]:
    """The layers of a model's config; one that is a model itself stands for its layers."""
    for layer in model.get("layers", ()):
        config = layer["config"]
        name = prefix + str(config.get("name", layer.get("name", "")))
        if "layers" in config:
            yield from _layers(config, f"{name}/")
        else:
            yield KerasLayer(name, str(layer["class_name"]), _dtype(config.get("dtype")))


def _dtype(policy: Any) -> str:
    """The name of a policy, which stands there itself or in the config of an object."""
    if isinstance(policy, dict):
        return str(policy["config"]["name"])
    return "" if policy is None else str(policy)


def _inputs(model: Mapping[str, Any]) -> Iterator[Border]:
    """The inputs of a model's config, in the order of the model."""
    layers = {
        str(layer["config"]["name"]): layer["config"]
        for layer in model.get("layers", ())
        if layer["class_name"] == _INPUT
    }
    # A Sequential has one input layer, and no list of those that are inputs.
    names = list(_layer_names(model["input_layers"])) if "input_layers" in model else list(layers)
    for name in names:
        config = layers[name]
        yield Border("input", name, _dtype(config.get("dtype")), _shape(config.get("batch_shape")))


def _layer_names(structure: Any) -> Iterator[str]:
    """The layers in a structure of references, each of the form ``["name", 0, 0]``."""
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from _layer_names(structure[key])
    elif isinstance(structure[0], str):
        yield structure[0]
    else:
        for item in structure:
            yield from _layer_names(item)


def _shape(axes: Any) -> Shape | None:
    if axes is None:
        return None
    return tuple(int(axis) if axis is not None else "?" if position else _BATCH for position, axis in enumerate(axes))


def _foreign_modules(config: Mapping[str, Any]) -> Iterator[str]:
    """The modules of all classes and functions that are not Keras's; a model is loaded as if it were not compiled."""
    pending: list[Any] = [{key: value for key, value in config.items() if key != "compile_config"}]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            module = value.get("module")
            if not isinstance(value.get("class_name"), str) or "module" not in value:
                continue
            if module is None and not value["class_name"].startswith("__"):
                yield _MAIN
            elif isinstance(module, str) and module.partition(".")[0] not in _OWN_PACKAGES:
                yield module
