"""What a person names to be exported, and the model that it is. Standard library only."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from contract.errors import SpecError, UsageError
from contract.hints import hint
from contract.model_spec import Framework
from contract.tensor_spec import TensorSpec
from export.model import FILES, Model, model_of_factory, model_of_file, model_of_spec
from export.recipes import load_recipes
from models import load_spec, model_names

__all__ = ["Origin", "model_of", "parse_tensor"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_TENSOR = re.compile(r"(?P<name>[^:\[\]]+):(?P<dtype>\w+)\[(?P<shape>[^\[\]]*)\]")
_DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What to export, as it was asked for; a report repeats it, so that the same can be verified later.

    Attributes:
        source: a folder of models/, a model file, or ``module:factory``.
        name: what a file or a factory is called and served as.
        calibration: path of an .npz file with representative data.
        axis_sizes: the sizes that each dynamic axis is tried with.
        tolerances: by hop, as part of the largest value of a tensor.
        weights: of a factory's network, a file.
        framework: of a factory's network, ``torch`` or ``keras``.
        inputs: of a factory's network, as ``x:float32[batch,2]``.
        outputs: names of the outputs of a factory's network.
    """

    source: str
    name: str = ""
    calibration: str = ""
    axis_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    weights: str = ""
    framework: str = "torch"
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()

    @property
    def is_factory(self) -> bool:
        """Whether the source is ``module:factory``."""
        return bool(_FACTORY.fullmatch(self.source)) and not Path(self.source).exists()

    @property
    def is_file(self) -> bool:
        """Whether the source is a path."""
        path = Path(self.source)
        return not self.is_factory and (path.suffix.lower() in FILES or path.exists() or len(path.parts) > 1)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            UsageError: a key is unknown.
        """
        if unknown := set(values) - {entry.name for entry in fields(cls)}:
            raise UsageError(f"unknown settings: {sorted(unknown)}")
        return cls(**values)


def model_of(origin: Origin) -> Model:
    """The model that is meant.

    Raises:
        UsageError: there is no such model or file, an option does not go with it, or a name is not possible.
        FormatError: the file is damaged, or unsafe to look into.
        SpecError: the spec contradicts itself, or an input is not described as it should be.
    """
    if not (origin.is_file or origin.is_factory):
        return _folder(origin)
    calibration = Path(origin.calibration) if origin.calibration else None
    for path in (calibration, Path(origin.weights) if origin.weights else None):
        if path and not path.is_file():
            raise UsageError(f"{path}: there is no such file")
    _check_hops(origin.tolerances)
    if origin.is_factory:
        return _factory(origin, calibration)
    if origin.weights or origin.inputs or origin.outputs:
        raise UsageError(
            f"{origin.source}: --weights, --input and --output are for module:factory; a file has them in it"
        )
    path = Path(origin.source)
    if path.is_dir():
        raise UsageError(
            f"{path}: a folder; a model is named by its folder in models/, as {model_names()[0]} is, a file by its path"
        )
    return model_of_file(
        path,
        _name(origin, path.stem),
        calibration=calibration,
        axis_sizes=origin.axis_sizes,
        tolerances=origin.tolerances,
        # Who verifies it later may be in another working directory.
        origin={**origin.to_dict(), "source": str(path.resolve())},
    )


def parse_tensor(text: str) -> TensorSpec:
    """Reads ``name:dtype[axis,...]``; an axis is a size, or the name of a dynamic axis.

    Raises:
        UsageError: it is of another form.
    """
    found = _TENSOR.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} describes no input; write name:dtype[axis,...], such as x:float32[batch,3,224,224]")
    if found["dtype"] not in _DTYPES:
        raise UsageError(f"input {found['name']}: no dtype {found['dtype']!r}; {hint(found['dtype'], _DTYPES)}")
    axes = [axis.strip() for axis in found["shape"].split(",")] if found["shape"].strip() else []
    try:
        return TensorSpec(found["name"], found["dtype"], tuple(int(a) if a.isdecimal() else a for a in axes))
    except SpecError as err:
        raise UsageError(f"--input {text!r}: {err}") from err


def _folder(origin: Origin) -> Model:
    plain = Origin(origin.source)
    given = [entry.name for entry in fields(origin) if getattr(origin, entry.name) != getattr(plain, entry.name)]
    spec = load_spec(origin.source)
    if given:
        options = ", ".join(f"--{name.removesuffix('_sizes').removesuffix('s')}" for name in given)
        raise UsageError(f"{options}: models/{spec.name}/spec.py says it for that model; these are for files")
    return model_of_spec(spec)


def _factory(origin: Origin, calibration: Path | None) -> Model:
    if not origin.inputs:
        raise UsageError(f"{origin.source}: say what it takes, such as --input 'x:float32[batch,3,224,224]'")
    if origin.framework not in (Framework.TORCH.value, Framework.KERAS.value):
        raise UsageError(f"--from {origin.framework}: a factory builds a torch or a keras network")
    return model_of_factory(
        origin.source,
        _name(origin, origin.source.partition(":")[0].rpartition(".")[2]),
        Framework(origin.framework),
        weights=Path(origin.weights) if origin.weights else None,
        inputs=[parse_tensor(text) for text in origin.inputs],
        outputs=origin.outputs,
        calibration=calibration,
        axis_sizes=origin.axis_sizes,
        tolerances=origin.tolerances,
        origin=origin.to_dict(),
    )


def _name(origin: Origin, stem: str) -> str:
    name = origin.name or re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a servable: letters, digits, _ and - can; choose one with --name"
        )
    if name in model_names():
        raise UsageError(f"models/{name}/ has that name already; choose another with --name")
    return name


def _check_hops(tolerances: Mapping[str, float]) -> None:
    hops = ["to_onnx", "to_tensorflow", "saved_model", *(f"tflite.{recipe.name}" for recipe in load_recipes())]
    for hop in tolerances:
        if hop not in hops:
            raise UsageError(f"--tolerance: no hop {hop!r}; {hint(hop, hops)}")
