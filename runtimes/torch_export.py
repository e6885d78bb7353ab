"""PyTorch on the CPU, for the programs of torch.export in .pt2 files."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import RuntimeRefusedError, SpecError
from contract.tensor_spec import TensorSpec
from runtimes.installed import import_runtime
from runtimes.quantization import Quantization
from runtimes.session import Session, check_file, check_inputs, named_axes, one_line
from runtimes.torch_archive import check_archive

if TYPE_CHECKING:
    import torch

__all__ = ["TorchSession", "load", "load_program"]

_RUNTIME = "torch"

_PROGRAM = "model"
"""The name that torch.export.save gives the one program of a file."""

_DTYPES = (
    *("float16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
"""Those that torch and numpy both have, under one name."""

_LOAD_ERRORS = (
    *(RuntimeError, ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(TypeError, ValueError),
)
"""What torch raises where the parts of an archive do not fit together: it checks little, and mostly by assertions."""

_MAX_REASON = 300
"""Characters of torch's reason: it shows whole nodes and tracebacks."""


class TorchSession(Session):
    """A .pt2 file. Threads may call `run` at the same time, unless the program changes its own buffers.

    An input has the name of the parameter of ``forward``; one within a list or dict has its place appended, as in
    ``xs_0``. An output has its key where the program returns a dict, and the name of the node that computes it where
    it returns a tensor or a tuple. A dynamic axis has torch's symbol, such as ``s77``, for its name.
    """

    def __init__(self, program: "torch.export.ExportedProgram", where: str) -> None:
        """Describes a loaded program.

        Args:
            program: of `load_program`.
            where: the file, for messages.

        Raises:
            RuntimeRefusedError: an input or output is no tensor, or one that numpy does not have.
        """
        self.runtime = _RUNTIME
        self.quantization: Mapping[str, Quantization] = {}
        self._where = where
        signature = program.graph_signature
        inputs = [spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"]
        results = [spec.arg for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
        names = _output_names([result.name for result in results], program.call_spec.out_spec)
        # An output that is always None, as of a layer that gives no state, is left out.
        self._kept = [index for index, result in enumerate(results) if getattr(result, "value", result) is not None]
        self._in_spec = program.call_spec.in_spec
        tensors = {node.name: node.meta.get("val") for node in program.graph.nodes}
        borders = [
            *(("input", argument.name, argument) for argument in inputs),
            *(("output", names[index], results[index]) for index in self._kept),
        ]
        values = [self._tensor(*border, tensors) for border in borders]
        shapes = named_axes([size if isinstance(size, int) else str(size) for size in value.shape] for value in values)
        try:
            specs = [
                TensorSpec(name, _dtype(value), shape)
                for (_, name, _), value, shape in zip(borders, values, shapes, strict=True)
            ]
            self._module: Any = program.module()
        except SpecError as err:
            raise RuntimeRefusedError(f"{where}: {err}") from err
        except _LOAD_ERRORS as err:
            raise RuntimeRefusedError(f"{where}: torch does not run it: {_reason(err)}") from err
        self.inputs, self.outputs = tuple(specs[: len(inputs)]), tuple(specs[len(inputs) :])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the program once: see `Session.run`; it is given copies, because a program may write into its inputs."""
        if self._module is None:
            raise ValueError(f"{self._where}: the session is closed")
        import torch
        from torch.utils import _pytree as pytree

        arrays = check_inputs(self._where, self.inputs, inputs)
        arguments, keywords = pytree.tree_unflatten([torch.from_numpy(array.copy()) for array in arrays], self._in_spec)
        try:
            with torch.no_grad():
                results = pytree.tree_leaves(self._module(*arguments, **keywords))
            # Copies, because a result may be a view of a weight or of another result.
            values = [np.array(results[index].numpy(force=True)) for index in self._kept]
        # A guard of the program, such as the largest size of an axis; an index that a table does not have.
        except (AssertionError, IndexError) as err:
            raise SpecError(f"{self._where}: {_reason(err)}") from err
        except (RuntimeError, TypeError, ValueError, MemoryError) as err:
            raise RuntimeRefusedError(f"{self._where}: {_reason(err)}") from err
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def close(self) -> None:
        """Drops the program."""
        self._module = None

    def _tensor(self, direction: str, name: str, argument: Any, tensors: Mapping[str, Any]) -> Any:
        """The tensor of an input or output, without its values."""
        if type(argument).__name__ != "TensorArgument":
            given = getattr(argument, "value", "a number")
            raise RuntimeRefusedError(
                f"{self._where}: {direction} {name} is {given}, no tensor; export the program with tensors alone"
            )
        tensor = tensors[argument.name]
        if _dtype(tensor) not in _DTYPES:
            raise RuntimeRefusedError(
                f"{self._where}: {direction} {name} is {_dtype(tensor)}, which numpy does not have"
            )
        return tensor


def load(path: Path, *, signature: str) -> TorchSession:
    """Loads a .pt2 file.

    Args:
        path: the file, of torch.export.save.
        signature: without meaning here, a .pt2 file has one program.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: PyTorch is not installed here.
        RuntimeRefusedError: the file is damaged, could run code of its author, or torch does not take it.
    """
    return TorchSession(load_program(path), str(path))


def load_program(path: Path) -> "torch.export.ExportedProgram":
    """Loads the program of a .pt2 file, without running any code that it may hold.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: PyTorch is not installed here.
        RuntimeRefusedError: the file is damaged, could run code of its author, or torch does not take it.
    """
    check_file(path)
    import_runtime(_RUNTIME, "torch")
    # torch.export.load is this and, where it fails, a second attempt in the form of torch 2.6, with pickles.
    archive = import_runtime(_RUNTIME, "torch.export.pt2_archive._package")
    verifier = import_runtime(_RUNTIME, "torch._export.verifier")
    with path.open("rb") as file:
        check_archive(file, str(path))
        file.seek(0)
        try:
            program: torch.export.ExportedProgram = archive.load_pt2(file).exported_programs[_PROGRAM]
        except (*_LOAD_ERRORS, verifier.SpecViolationError) as err:
            raise RuntimeRefusedError(f"{path}: torch does not load it: {_reason(err)}") from err
    return program


def _output_names(nodes: Sequence[str], tree: Any) -> list[str]:
    """The keys of the outputs in a dict of tensors, the names of their nodes elsewhere; no two are equal."""
    from torch.utils import _pytree as pytree

    places, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(range(tree.num_leaves), tree))
    names = []
    for node, (place, _) in zip(nodes, places, strict=True):
        keys = [step.key for step in place if isinstance(step, pytree.MappingKey)]
        names.append("_".join(map(str, keys)) if keys and len(keys) == len(place) else node)
    taken: list[str] = []
    for name in names:
        others = (f"{name}_{number}" for number in count(1))
        taken.append(name if name not in taken else next(other for other in others if other not in names + taken))
    return taken


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _reason(err: BaseException) -> str:
    """The reason of torch in one line; of an error within a node the last line says what is wrong."""
    lines = str(err).strip().splitlines() or [type(err).__name__]
    reason = one_line(lines[-1] if "Traceback" in str(err) else " ".join(lines))
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."
