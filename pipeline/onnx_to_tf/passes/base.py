"""What every pass promises."""

import onnx_ir as ir

from contract.errors import ConversionError
from runtimes.session import one_line

__all__ = ["GraphPass", "interface", "run"]

_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError)
"""What onnx_ir and onnxscript raise for a graph that contradicts itself, such as a value that nothing gives."""


class GraphPass(ir.passes.InPlacePass):
    """A change of the model that keeps its interface: its inputs and outputs, in order, by name and type.

    The subclass has `change`. Checked before: every domain that a node uses is imported. Checked after: the interface
    is what it was. An instance serves one conversion.
    """

    _before: list[tuple[str, str]]

    def requires(self, model: ir.Model) -> None:
        """Raises `onnx_ir.passes.PreconditionError` where the model is none that a pass can work on."""
        self._before = interface(model)
        domains = {"" if domain == "ai.onnx" else domain for domain in model.opset_imports}
        for node in model.graph.all_nodes():
            if node.domain not in ("ai.onnx", *domains):
                raise ir.passes.PreconditionError(
                    f"node {node.name!r} is a {node.op_type} of the domain {node.domain or 'ai.onnx'}, which the file "
                    "does not import"
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        return ir.passes.PassResult(model, modified=self.change(model))

    def ensures(self, model: ir.Model) -> None:
        """Raises `onnx_ir.passes.PostconditionError` where the interface changed."""
        after = interface(model)
        if after != self._before:
            changed = set(after) ^ set(self._before)
            raise ir.passes.PostconditionError(
                f"{type(self).__name__} changed the model's inputs or outputs: {changed}"
            )

    def change(self, model: ir.Model) -> bool:
        """Changes the model in place; says whether it did."""
        raise NotImplementedError


def interface(model: ir.Model) -> list[tuple[str, str]]:
    """The model's inputs and outputs, by kind and name."""
    return [
        *(("input", str(value.name)) for value in model.graph.inputs),
        *(("output", str(value.name)) for value in model.graph.outputs),
    ]


def run(passes: "tuple[GraphPass, ...]", model: ir.Model) -> None:
    """Runs passes in order.

    Raises:
        ConversionError: a condition of a pass does not hold.
    """
    for each in passes:
        try:
            each(model)
        except ir.passes.InvariantError as err:
            cause = err.__cause__ or err
            raise ConversionError(f"{type(each).__name__}: {cause}") from err
        except _FAILURES as err:
            raise ConversionError(f"{type(each).__name__} fails, for a damaged model: {one_line(err)}") from err
