"""What the chain has to know of a model. Standard library only: the chain is planned without numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec

__all__ = ["Framework", "Method", "ModelSpec", "Network", "Refusal", "Signature", "Tolerance"]


class Framework(Enum):
    """How a network is written, which decides its way through the chain."""

    TORCH = "torch"
    KERAS = "keras"
    STATIC_GRAPH = "static_graph"


class Method(Enum):
    """What a signature is for; the value is the method name that TF Serving looks for (signature_constants.h)."""

    PREDICT = "tensorflow/serving/predict"
    CLASSIFY = "tensorflow/serving/classify"
    REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call the SavedModel.

    Attributes:
        name: signature key; the predict signature is ``serving_default``.
        method: predict takes the spec's tensors; classify and regress take serialized tf.Example.
        output: for classify and regress, the output tensor that gives the score or the value.
        classes: for classify, the labels of a two-class score: (label of 1 - score, label of score).
    """

    name: str
    method: Method
    output: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """One implementation of the model.

    Attributes:
        name: ends the servable's name, ``<model>_<name>``.
        framework: what the module is written in.
        module: the Python module that has ``build()`` and ``train(seed)``.
    """

    name: str
    framework: Framework
    module: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two values agree when ``|actual - expected| <= atol + rtol * |expected|``."""

    atol: float
    rtol: float = 0.0

    def __post_init__(self) -> None:
        if not (self.atol >= 0 and self.rtol >= 0):
            raise SpecError(f"a tolerance is not negative: atol {self.atol}, rtol {self.rtol}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A runtime that is expected not to take the files of a recipe, and why."""

    runtime: str
    recipe: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: its border, its networks, its data, and how closely each hop has to agree.

    Attributes:
        name: the folder under ``models/``.
        inputs: the input tensors.
        outputs: the output tensors.
        signatures: of the SavedModel; one is ``serving_default``.
        networks: its implementations, each of which becomes a servable.
        data: module with ``golden_inputs()``, ``labels()``, ``representative_dataset()``.
        oracle: module with ``train(seed)`` and ``forward(weights, inputs)`` in numpy, the source of the golden outputs.
        tolerances: by hop: ``train``, ``to_onnx``, ``to_tensorflow``, ``saved_model`` and ``tflite.<recipe>``.
        refusals: which runtime is expected not to take which recipe.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signatures: tuple[Signature, ...]
    networks: tuple[Network, ...]
    data: str
    oracle: str
    tolerances: Mapping[str, Tolerance]
    refusals: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        names = [tensor.name for tensor in (*self.inputs, *self.outputs)]
        if not self.inputs or not self.outputs or len(set(names)) != len(names):
            raise SpecError(f"model {self.name}: needs inputs and outputs, each name once; given {names}")
        outputs = {tensor.name for tensor in self.outputs}
        for signature in self.signatures:
            if signature.method is not Method.PREDICT and signature.output not in outputs:
                raise SpecError(f"model {self.name}: signature {signature.name} has no output {signature.output!r}")
        if "serving_default" not in {signature.name for signature in self.signatures}:
            raise SpecError(f"model {self.name}: one signature has to be serving_default")

    def servable(self, network: Network) -> str:
        """The name under which TF Serving serves a network."""
        return f"{self.name}_{network.name}"

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
            SpecError: the spec states none.
        """
        try:
            return self.tolerances[hop]
        except KeyError:
            raise SpecError(f"model {self.name} states no tolerance for the hop {hop}") from None

    def refusal(self, runtime: str, recipe: str) -> Refusal | None:
        """The expected refusal of a recipe by a runtime, or None if the runtime has to be right."""
        return next((r for r in self.refusals if (r.runtime, r.recipe) == (runtime, recipe)), None)
