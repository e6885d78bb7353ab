"""What the chain has to know of a model. Standard library only: the chain is planned without numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, Self

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec
from contract.tolerance import DEFAULT_TOLERANCES, Tolerance

__all__ = [
    "DEFAULT",
    "Framework",
    "Method",
    "ModelSpec",
    "Network",
    "Refusal",
    "Signature",
    "Tolerance",
    "expected_refusal",
]

DEFAULT = "serving_default"
"""Name of the signature that is asked where a caller names none (signature_constants.h)."""


class Framework(Enum):
    """How a network is written, which decides its way through the chain."""

    TORCH = "torch"
    KERAS = "keras"
    STATIC_GRAPH = "static_graph"
    ONNX = "onnx"


class Method(Enum):
    """What a signature is for; the value is the method name that TF Serving looks for (signature_constants.h)."""

    PREDICT = "tensorflow/serving/predict"
    CLASSIFY = "tensorflow/serving/classify"
    REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call the SavedModel.

    Attributes:
        name: signature key; one predict signature is ``serving_default`` and gives every output.
        method: predict takes the spec's tensors; classify and regress take serialized tf.Example.
        output: for classify and regress, the output tensor that gives the score or the value.
        classes: for classify, the labels of the scores, or of a two-class score: (label of 1 - score, label of score).
        outputs: for predict, the outputs that it gives; all unless some are named.
    """

    name: str
    method: Method
    output: str = ""
    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """One implementation of the model: code that is trained, code with the file of its weights, or a whole file.

    Attributes:
        name: ends the servable's name, ``<model>_<name>``.
        framework: what it is written in.
        module: the Python module that has ``build()`` and, where no weights are given, ``train(seed)``; or
            ``module:factory`` for a factory of another name.
        weights: file with its weights: .safetensors; .pt, .pth and .bin for torch; .weights.h5 for Keras.
        file: the whole network, instead of a module: .onnx, .keras, or torch.export's .pt2.
        servable: the name that it is served under, where that is another.

    Relative paths are relative to the model's folder.
    """

    name: str
    framework: Framework
    module: str = ""
    weights: str = ""
    file: str = ""
    servable: str = ""

    def __post_init__(self) -> None:
        if bool(self.module) == bool(self.file):
            raise SpecError(f"network {self.name}: needs either a module or a file, given {self.module or 'neither'!r}")
        if self.file and (self.weights or self.framework is Framework.STATIC_GRAPH):
            raise SpecError(f"network {self.name}: a whole file has its weights in it, and is no static graph")
        if not self.file and self.framework is Framework.ONNX:
            raise SpecError(f"network {self.name}: an ONNX network is a file")

    @property
    def factory(self) -> tuple[str, str]:
        """The module, and the function in it that builds the network."""
        module, _, function = self.module.partition(":")
        return module, function or "build"

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return {**asdict(self), "framework": self.framework.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote; TypeError, KeyError or ValueError where it is not that."""
        return cls(**{**values, "framework": Framework(values["framework"])})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is expected not to take a network or a file, and why: it shows in the report instead of ending the export.

    Attributes:
        by: a runtime, a converter from ONNX, or ``tflite_converter``.
        what: name of a recipe, or ``to_tensorflow``.
        reason: one line.
    """

    by: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: its border, its networks, its data, and how closely each hop has to agree.

    Attributes:
        name: the folder under ``models/``, or what a file is called here.
        inputs: the input tensors; the first axis of the first one is the batch.
        outputs: the output tensors.
        signatures: of the SavedModel; one is ``serving_default``.
        networks: its implementations, each of which becomes a servable.
        data: module with any of ``golden_inputs()``, ``labels()``, ``representative_dataset()``, ``evaluation()``.
        oracle: module with ``train(seed)`` and ``forward(weights, inputs)`` in numpy, which every network has to equal.
        reference: without an oracle, the network that the others have to equal; without that too each network is held
            against itself only, step by step.
        tolerances: by hop: ``train``, ``to_onnx``, ``to_tensorflow``, ``saved_model`` and ``tflite.<recipe>``; those of
            `DEFAULT_TOLERANCES` hold for the others.
        refusals: who is expected not to take what.
        converters: from ONNX to TensorFlow, the preferred one first: each is run and verified, and the first that
            passes is exported.
        recipes: names of the TFLite recipes, or None for all.
        axis_sizes: the sizes that each dynamic axis is tried with, two at least.
        covers_range: the representative dataset covers the whole range of the inputs, so that quantized files have to
            be right for random inputs and at the ends of the range too. Real data, such as images, does not.
        huge_inputs: the outputs are bounded whatever the inputs, so that float files are asked about huge ones too.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signatures: tuple[Signature, ...]
    networks: tuple[Network, ...]
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    data: str = ""
    oracle: str = ""
    reference: str = ""
    refusals: tuple[Refusal, ...] = ()
    converters: tuple[str, ...] = ("showdown",)
    recipes: tuple[str, ...] | None = None
    axis_sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    covers_range: bool = False
    huge_inputs: bool = False

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in (*self.inputs, *self.outputs)]
        if not self.inputs or not self.outputs or len(set(names)) != len(names):
            raise SpecError(f"model {self.name}: needs inputs and outputs, each name once; given {names}")
        self._check_signatures()
        if self.oracle and self.reference:
            raise SpecError(f"model {self.name}: has an oracle, so that no network is the reference")
        if self.reference:
            self.network(self.reference)
        axes = {axis for tensor in self.inputs for axis in tensor.dynamic_axes.values()}
        for axis, sizes in self.axis_sizes.items():
            if axis not in axes:
                raise SpecError(f"model {self.name}: no input has an axis {axis!r}, only {sorted(axes)}")
            if not sizes or min(sizes) < 1:
                raise SpecError(f"model {self.name}: axis {axis} is tried with the sizes {list(sizes)}; 1 is the least")

    def _check_signatures(self) -> None:
        outputs = {tensor.name for tensor in self.outputs}
        for signature in self.signatures:
            wanted = signature.outputs if signature.method is Method.PREDICT else (signature.output,)
            for name in wanted:
                if name not in outputs:
                    raise SpecError(f"model {self.name}: signature {signature.name} has no output {name!r}")
            if signature.name == DEFAULT and (signature.method is not Method.PREDICT or signature.outputs):
                raise SpecError(f"model {self.name}: {DEFAULT} is a predict signature and gives every output")
        if DEFAULT not in {signature.name for signature in self.signatures}:
            raise SpecError(f"model {self.name}: one signature has to be {DEFAULT}")

    def servable(self, network: Network) -> str:
        """The name under which TF Serving serves a network."""
        return network.servable or f"{self.name}_{network.name}"

    def network(self, name: str) -> Network:
        """The network of that name.

        Raises:
            SpecError: there is none.
        """
        for network in self.networks:
            if network.name == name:
                return network
        raise SpecError(f"model {self.name} has no network {name!r}, only {[n.name for n in self.networks]}")

    def tolerance(self, hop: str) -> Tolerance:
        """The tolerance of a hop.

        Raises:
            SpecError: the spec states none, and there is no default.
        """
        try:
            return {**DEFAULT_TOLERANCES, **self.tolerances}[hop]
        except KeyError:
            raise SpecError(f"model {self.name} states no tolerance for the hop {hop}") from None

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            **values,
            "inputs": [tensor.to_dict() for tensor in self.inputs],
            "outputs": [tensor.to_dict() for tensor in self.outputs],
            "signatures": [{**asdict(s), "method": s.method.name.lower()} for s in self.signatures],
            "networks": [network.to_dict() for network in self.networks],
            "tolerances": {hop: tolerance.to_dict() for hop, tolerance in self.tolerances.items()},
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "converters": list(self.converters),
            "recipes": None if self.recipes is None else list(self.recipes),
            "axis_sizes": {axis: list(sizes) for axis, sizes in self.axis_sizes.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            SpecError: a key is missing or unknown, or a value is not possible.
        """
        try:
            return cls(
                **{
                    **values,
                    "inputs": tuple(map(TensorSpec.from_dict, values["inputs"])),
                    "outputs": tuple(map(TensorSpec.from_dict, values["outputs"])),
                    "signatures": tuple(map(_signature, values["signatures"])),
                    "networks": tuple(map(Network.from_dict, values["networks"])),
                    "tolerances": {hop: Tolerance(**tolerance) for hop, tolerance in values["tolerances"].items()},
                    "refusals": tuple(Refusal(**refusal) for refusal in values["refusals"]),
                    "converters": tuple(values["converters"]),
                    "recipes": None if values["recipes"] is None else tuple(values["recipes"]),
                    "axis_sizes": {axis: tuple(sizes) for axis, sizes in values["axis_sizes"].items()},
                }
            )
        except (TypeError, KeyError, ValueError, AttributeError) as err:
            raise SpecError(f"not the spec of a model: {type(err).__name__}: {err}") from err


def expected_refusal(refusals: Sequence[Refusal], by: str, what: str) -> Refusal | None:
    """The refusal that is expected of somebody for a recipe or a hop, or None if there is none."""
    return next((r for r in refusals if (r.by, r.what) == (by, what)), None)


def _signature(values: Mapping[str, Any]) -> Signature:
    return Signature(
        **{
            **values,
            "method": Method[values["method"].upper()],
            "classes": tuple(values["classes"]),
            "outputs": tuple(values["outputs"]),
        }
    )
