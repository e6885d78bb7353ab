"""What the handlers and the manager need of a loaded version, whatever runs it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtimes.tensor import Tensor
from serving.tensors import from_proto

__all__ = ["DEFAULT_SIGNATURE", "InUse", "Models", "Runnable", "Servable", "Signature"]

DEFAULT_SIGNATURE = "serving_default"
"""Name of the signature that a request means that names none (saved_model/signature_constants.h)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a model, read once.

    Attributes:
        definition: the ``SignatureDef``.
        infos: alias and ``TensorInfo`` of each input.
        inputs: alias and tensor name of each input.
        outputs: alias and tensor name of each output.
        defaults: alias and value of each input that may be left out.
        ordered: `inputs` from the last name to the first: in this order the original looks for what is missing.
        feeds: the tensor names of all inputs, in the order of ``ordered``.
        fetches: the tensor names of all outputs.
    """

    definition: Any
    infos: Mapping[str, Any] = field(init=False)
    inputs: Mapping[str, str] = field(init=False)
    outputs: Mapping[str, str] = field(init=False)
    defaults: Mapping[str, Tensor] = field(init=False)
    ordered: tuple[tuple[str, str], ...] = field(init=False)
    feeds: tuple[str, ...] = field(init=False)
    fetches: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        definition = self.definition
        object.__setattr__(self, "infos", dict(sorted(definition.inputs.items())))
        object.__setattr__(self, "inputs", {alias: info.name for alias, info in sorted(definition.inputs.items())})
        object.__setattr__(self, "outputs", {alias: info.name for alias, info in sorted(definition.outputs.items())})
        object.__setattr__(self, "ordered", tuple(reversed(list(self.inputs.items()))))
        object.__setattr__(self, "feeds", tuple(feed for _, feed in self.ordered))
        object.__setattr__(self, "fetches", tuple(self.outputs.values()))
        defaults = {alias: from_proto(value) for alias, value in sorted(definition.defaults.items())}
        object.__setattr__(self, "defaults", {alias: value for alias, value in defaults.items() if value is not None})


class Runnable(Protocol):
    """A graph that can be run: a session of TensorFlow, an interpreter, or a batching queue before one."""

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        """Runs the graph once; threads may call it at the same time.

        Args:
            feeds: names of the tensors to feed, such as ``x:0``.
            inputs: their values, in the order of ``feeds``.
            fetches: names of the tensors to compute.
            timeout: seconds that the caller waits, None for ever.

        Returns:
            The values of ``fetches``, in their order.

        Raises:
            StatusError: what the runtime answers: INVALID_ARGUMENT for values that do not fit, DEADLINE_EXCEEDED.
        """
        ...


class Servable(Runnable, Protocol):
    """One loaded version of a model.

    Attributes:
        signatures: by name, ``__saved_model_init_op`` included.
    """

    signatures: Mapping[str, Signature]

    def is_quick(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        """Whether a run can be expected to take no longer than handing it to another thread is worth."""
        ...

    def close(self) -> None:
        """Gives the memory back; nobody runs it any more."""
        ...


class InUse(Protocol):
    """A version that stays loaded while it is in use."""

    @property
    def servable(self) -> Servable:
        """The loaded version."""
        ...

    @property
    def version(self) -> int:
        """Its number."""
        ...


class Models(Protocol):
    """Where handlers find versions."""

    def lease(self, spec: Any) -> AbstractContextManager[InUse]:
        """The version that a ``ModelSpec`` names, for the length of the block.

        Raises:
            StatusError: INVALID_ARGUMENT for no name or an unknown label, NOT_FOUND for what is not available.
        """
        ...
