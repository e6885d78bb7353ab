"""What an export is planned from: a folder of models/, a model file, or a function that builds a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from contract.model_spec import Framework, ModelSpec, Network, Refusal
from contract.tensor_spec import TensorSpec
from inspection import inspect, kind_of
from inspection.onnx_file import Onnx
from pipeline.source import ROOT
from pipeline.stage import Stage

__all__ = ["FILES", "FileKind", "Model", "model_of_factory", "model_of_file", "model_of_spec", "taken"]

_SPEC = "spec"


@dataclass(frozen=True, slots=True)
class FileKind:
    """How a format of model files goes through the chain.

    Attributes:
        framework: whose way it goes.
        network: what the only network of such a model is called.
        runtime: what runs the file as its own framework does.
        worker: the worker that this happens in.
    """

    framework: Framework
    network: str
    runtime: str
    worker: str


FILES = {
    ".onnx": FileKind(Framework.ONNX, "onnx", "onnxruntime", "litert"),
    ".keras": FileKind(Framework.KERAS, "keras", "keras", "tensorflow"),
    ".pt2": FileKind(Framework.TORCH, "pytorch", "torch", "torch"),
}
"""By suffix."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the chain is planned from it: all of its spec but the tensors, which may still stand in a file.

    Attributes:
        name: see `ModelSpec`; so are networks, data, oracle, reference, refusals, converters, recipes and covers_range.
        spec: the stages that leave the spec as ``spec/spec.json``.
        folder: what the relative paths of networks start from.
        calibration: .npz file with representative data, instead of a module; empty for none.
        is_lenient: nobody has described the model, so that runtimes and recipes may turn out not to suit it.
        origin: what `export.origin.model_of` makes this model of again; a JSON object.
    """

    name: str
    networks: tuple[Network, ...]
    spec: tuple[Stage, ...]
    folder: Path
    origin: Mapping[str, Any]
    data: str = ""
    oracle: str = ""
    reference: str = ""
    refusals: tuple[Refusal, ...] = ()
    converters: tuple[str, ...] = ("showdown",)
    recipes: tuple[str, ...] | None = None
    covers_range: bool = False
    calibration: str = ""
    is_lenient: bool = False

    @property
    def has_data(self) -> bool:
        """Whether there may be representative data: without it no file can be calibrated."""
        return bool(self.data or self.calibration)

    def network(self, name: str) -> Network:
        """The network of that name; StopIteration if there is none."""
        return next(network for network in self.networks if network.name == name)

    def servable(self, network: str) -> str:
        """The name under which a network is served."""
        chosen = self.network(network)
        return chosen.servable or f"{self.name}_{network}"


def model_of_spec(spec: ModelSpec) -> Model:
    """The model of a folder of models/."""
    return Model(
        name=spec.name,
        networks=spec.networks,
        spec=(Stage(_SPEC, "pipeline.spec:write_spec", worker=None, params={"spec": spec.to_dict()}),),
        folder=ROOT / "models" / spec.name,
        origin={"source": spec.name},
        data=spec.data,
        oracle=spec.oracle,
        reference=spec.reference,
        refusals=spec.refusals,
        converters=spec.converters,
        recipes=spec.recipes,
        covers_range=spec.covers_range,
    )


def model_of_file(
    path: Path,
    name: str,
    *,
    calibration: Path | None,
    axis_sizes: Mapping[str, Sequence[int]],
    tolerances: Mapping[str, float],
    origin: Mapping[str, Any],
) -> Model:
    """The model that a file is.

    Args:
        path: an .onnx, .keras or .pt2 file.
        name: what it is to be called and served as.
        calibration: see `Model`.
        axis_sizes: the sizes that dynamic axes are tried with.
        tolerances: by hop, as part of the largest value.
        origin: see `Model`.

    Raises:
        UsageError: there is no such file, or it is of a kind that is an end of the chain, not a beginning.
        FormatError: the file is damaged, or unsafe to look into.
    """
    kind = _file_kind(path)
    network = Network(kind.network, kind.framework, file=str(path.resolve()), servable=name)
    copied = taken(network, path)
    read = Stage(
        _SPEC,
        "pipeline.read:read_file",
        worker=kind.worker,
        inputs={"file": f"{copied.name}/model{path.suffix.lower()}"},
        params={
            "name": name,
            # Where the file lies is no part of the model: the same bytes give the same results anywhere.
            "network": {**network.to_dict(), "file": path.name},
            "runtime": kind.runtime,
            "axis_sizes": {axis: list(sizes) for axis, sizes in axis_sizes.items()},
            "tolerances": dict(tolerances),
        },
        files={"calibration": str(calibration.resolve())} if calibration else {},
    )
    return Model(
        name=name,
        networks=(network,),
        spec=(copied, read),
        folder=path.parent,
        origin=origin,
        calibration=str(calibration.resolve()) if calibration else "",
        is_lenient=True,
    )


def model_of_factory(
    factory: str,
    name: str,
    framework: Framework,
    *,
    weights: Path | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str],
    calibration: Path | None,
    axis_sizes: Mapping[str, Sequence[int]],
    tolerances: Mapping[str, float],
    origin: Mapping[str, Any],
) -> Model:
    """The model that a function builds; what it gives is tried out.

    Args:
        factory: ``module:function``, called without arguments.
        name: what it is to be called and served as.
        framework: torch or keras.
        weights: file of its weights; None for those that the function gives it.
        inputs: what it takes.
        outputs: names of what it gives, in its order; names are made up where there are none.
        calibration: see `Model`.
        axis_sizes: the sizes that dynamic axes are tried with.
        tolerances: by hop, as part of the largest value.
        origin: see `Model`.
    """
    worker, module = {
        Framework.TORCH: ("torch", "pipeline.train.pytorch"),
        Framework.KERAS: ("tensorflow", "pipeline.train.keras_model"),
    }[framework]
    path = str(weights.resolve()) if weights else ""
    network = Network(
        framework.value if framework is Framework.KERAS else "pytorch", framework, factory, path, servable=name
    )
    read = Stage(
        _SPEC,
        f"{module}:describe",
        worker=worker,
        params={
            "name": name,
            "network": {**network.to_dict(), "weights": weights.name if weights else ""},
            "inputs": [tensor.to_dict() for tensor in inputs],
            "outputs": list(outputs),
            "axis_sizes": {axis: list(sizes) for axis, sizes in axis_sizes.items()},
            "tolerances": dict(tolerances),
        },
        files={"calibration": str(calibration.resolve())} if calibration else {},
        code=(network.factory[0],),
    )
    return Model(
        name=name,
        networks=(network,),
        spec=(read,),
        folder=ROOT,
        origin=origin,
        calibration=str(calibration.resolve()) if calibration else "",
        is_lenient=True,
    )


def _file_kind(path: Path) -> FileKind:
    kind = kind_of(path)
    if path.suffix.lower() == f".{kind}" and path.suffix.lower() in FILES:
        return FILES[path.suffix.lower()]
    if f".{kind}" in FILES:
        raise UsageError(f"{path}: its content is that of a .{kind} file; give it that suffix")
    raise UsageError(
        f"{path}: a {kind} file is no network to export; export takes .onnx, .keras and torch.export's .pt2 files, "
        "and module:factory with --weights"
    )


def taken(network: Network, path: Path) -> Stage:
    """The stage that copies the file of a network, and the files beside it that have its weights.

    Raises:
        FormatError: the file is damaged, or wants files outside its folder.
        UsageError: a file beside it is missing.
    """
    content = inspect(path).content
    external: list[str] = []
    opset = None
    if isinstance(content, Onnx):
        for file in content.external_files:
            if file.state != "whole":
                raise UsageError(f"{path}: its external data {file.file} is {file.state}; copy it beside the model")
            external.append(file.file)
        opset = content.opsets.get("", content.opsets.get("ai.onnx"))
    return Stage(
        f"file.{network.name}",
        "pipeline.take:take",
        worker=None,
        files={"file": str(path.resolve())},
        watches=tuple(str((path.parent / name).resolve()) for name in external),
        params={"external": external, "opset": opset},
    )
