"""What a model takes and gives, as its server describes it, and the checks before anything is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec
from runtimes.session import check_inputs, named_axes
from serving.client.tensors import cast, dtype_name

__all__ = ["INIT_OP", "Border", "Signature", "describe"]

INIT_OP = "__saved_model_init_op"
"""An entry that servers list among the signatures and that nobody can call."""

Border = tuple[int, Sequence[int] | None]
"""Element type of a tensor by TensorFlow's number, and its shape: -1 for a dynamic axis, None for any rank."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a model.

    Attributes:
        inputs: by name. Dynamic axes are ``axis0``, ``axis1``, ...: a server does not say which are equal. An axis of
            size 0 is named ``"0"``; a tensor of any rank has the shape ``("...",)``.
        outputs: by name, likewise.
        method: such as ``tensorflow/serving/predict``; empty for a file.
        optional: names of inputs that have a default and may be left out.
        types: name of an input and its element type by TensorFlow's number; empty for a file.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    method: str = ""
    optional: frozenset[str] = frozenset()
    types: Mapping[str, int] = field(default_factory=dict, repr=False)

    def fit(self, where: str, given: Any) -> dict[str, NDArray[Any]]:
        """Brings the inputs of a call to the dtypes, and checks names and shapes.

        Args:
            where: the model and the signature, for the message.
            given: arrays or lists by name, or the bare value of the only input.

        Returns:
            Contiguous arrays in this machine's byte order.

        Raises:
            SpecError: says what was wanted and given.
        """
        if not isinstance(given, Mapping):
            if len(self.inputs) != 1:
                raise SpecError(f"{where}: a bare array is for one input; {self._wanted()}")
            given = {self.inputs[0].name: given}
        names = {spec.name for spec in self.inputs}
        missing, unknown = sorted(names - given.keys() - self.optional), sorted(map(str, given.keys() - names))
        if missing or unknown:
            parts = [f"{word} {', '.join(some)}" for word, some in (("missing", missing), ("unknown", unknown)) if some]
            raise SpecError(f"{where}: {'; '.join(parts)}; {self._wanted()}")
        specs = [spec for spec in self.inputs if spec.name in given]
        arrays = {spec.name: cast(f"{where}: input {spec.name}", spec, given[spec.name]) for spec in specs}
        return dict(zip(arrays, check_inputs(where, specs, arrays), strict=True))

    def chosen(self, where: str, outputs: Sequence[str] | str | None) -> list[str]:
        """The outputs that are asked for, checked; empty for all.

        Raises:
            SpecError: there is no such output.
        """
        names = [outputs] if isinstance(outputs, str) else list(dict.fromkeys(outputs or ()))
        known = [spec.name for spec in self.outputs]
        if unknown := [name for name in names if name not in known]:
            raise SpecError(f"{where}: there is no output {', '.join(unknown)}, only {', '.join(known)}")
        return names

    def _wanted(self) -> str:
        optional = {True: " (may be left out)", False: ""}
        inputs = ", ".join(f"{spec}{optional[spec.name in self.optional]}" for spec in self.inputs)
        return f"the inputs are {inputs}" if inputs else "there are no inputs"


def describe(
    inputs: Mapping[str, Border], outputs: Mapping[str, Border], *, method: str, optional: frozenset[str]
) -> Signature:
    """A signature from the types and shapes that a server states."""
    borders = [*sorted(inputs.items()), *sorted(outputs.items())]
    shapes = named_axes(
        None if shape is None else [str(size) if size == 0 else size for size in shape] for _, (_, shape) in borders
    )
    specs = tuple(
        TensorSpec(name or "''", dtype_name(code), shape)
        for (name, (code, _)), shape in zip(borders, shapes, strict=True)
    )
    types = {name: code for name, (code, _) in inputs.items()}
    return Signature(specs[: len(inputs)], specs[len(inputs) :], method, optional, types)
