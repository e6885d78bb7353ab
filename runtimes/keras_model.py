"""A .keras file in Keras 3 on TensorFlow."""

import os
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import RuntimeRefusedError, SpecError
from contract.tensor_spec import TensorSpec
from runtimes.installed import import_runtime
from runtimes.keras_archive import check_keras
from runtimes.quantization import Quantization
from runtimes.quiet import quiet_start
from runtimes.session import Session, check_file, check_inputs, named_axes, one_line

if TYPE_CHECKING:
    import keras

__all__ = ["KerasSession", "all_weights", "call_by_name", "load", "load_model"]

_RUNTIME = "keras"
_BACKEND = "tensorflow"
_SUFFIX = ".keras"

_BATCH = "batch"
"""Keras leaves the first axis of every input to the batch; other dynamic axes have no name in a .keras file."""

_KEPT = "freshly-initialized weights"
"""Stands in the warning of keras/src/saving/saving_lib.py that a layer was not loaded."""

_MAX_REASON = 500
"""Characters of Keras's reason: it repeats the config of what it cannot build, which has no limit."""


class KerasSession(Session):
    """A Functional or Sequential model. One thread at a time.

    An input has the name that it has in Keras. An output has its key where the model returns a dict, else the name of
    the layer that makes it: see `call_by_name`.
    """

    def __init__(self, net: "keras.Model", where: str) -> None:
        """Describes a loaded model.

        Args:
            net: the model.
            where: the file, for messages.

        Raises:
            RuntimeRefusedError: the model does not state its inputs or cannot be called on them, or a tensor at its
                border is sparse or ragged.
        """
        import tensorflow as tf

        self.runtime = _RUNTIME
        self.quantization: Mapping[str, Quantization] = {}
        self._net = net
        self._where = where
        self._errors = _error_types()
        tensors = getattr(net, "inputs", None)
        if not tensors:
            raise RuntimeRefusedError(
                f"{where}: {type(net).__name__} is a class of its own and does not state its inputs; save a Functional "
                "or Sequential model, which does"
            )
        if other := [tensor.name for tensor in tensors if tensor.sparse or tensor.ragged]:
            raise RuntimeRefusedError(f"{where}: {other[0]} is a sparse or ragged tensor, not an array")
        inputs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors}
        border = [*inputs.items(), *self._traced(inputs).items()]
        shapes = named_axes(_with_batch(tensor.shape) for _, tensor in border)
        specs = [
            TensorSpec(name, _dtype(tensor.dtype.name), shape)
            for (name, tensor), shape in zip(border, shapes, strict=True)
        ]
        self.inputs, self.outputs = tuple(specs[: len(inputs)]), tuple(specs[len(inputs) :])

    def _traced(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs as TensorFlow sees them: Keras 3.15 states int64 for the strings of an inverted StringLookup."""
        import tensorflow as tf

        function = tf.function(partial(call_by_name, self._net), autograph=False)
        try:
            outputs: dict[str, Any] = function.get_concrete_function(inputs).structured_outputs
        except self._errors as err:
            raise RuntimeRefusedError(f"{self._where}: {_RUNTIME} cannot call it: {_reason(err)}") from err
        for name, output in outputs.items():
            if not isinstance(output, (tf.Tensor, tf.TensorSpec)):
                raise RuntimeRefusedError(f"{self._where}: {name} is a sparse or ragged tensor, not an array")
        return outputs

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the model once, as in inference: see `Session.run`."""
        if self._net is None:
            raise ValueError(f"{self._where}: the session is closed")
        import tensorflow as tf

        arrays = check_inputs(self._where, self.inputs, inputs)
        try:
            tensors = {
                spec.name: tf.constant(array, tf.string if spec.dtype == "object" else array.dtype)
                for spec, array in zip(self.inputs, arrays, strict=True)
            }
            results = call_by_name(self._net, tensors)
        except self._errors as err:
            wrong_values = isinstance(err, tf.errors.InvalidArgumentError)
            raise (SpecError if wrong_values else RuntimeRefusedError)(f"{self._where}: {_reason(err)}") from err
        return {
            spec.name: np.asarray(results[spec.name].numpy(), object if spec.dtype == "object" else None)
            for spec in self.outputs
        }

    def close(self) -> None:
        """Drops the model."""
        self._net = None


def load(path: Path, *, signature: str) -> KerasSession:
    """Loads a .keras file.

    Args:
        path: the file.
        signature: without meaning here, a .keras file has one way to call it.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: Keras or TensorFlow is not installed here.
        RuntimeRefusedError: see `load_model`; also a model that does not state its inputs, and sparse or ragged ones.
    """
    return KerasSession(load_model(path), str(path))


def load_model(path: Path) -> "keras.Model":
    """Loads a .keras file without what it was compiled with; nothing in it is run as code.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: Keras or TensorFlow is not installed here.
        RuntimeRefusedError: the file is damaged or unsafe (see `check_keras`), has a Lambda layer, needs a class that
            is not registered in Keras here, or Keras refuses it.
    """
    check_file(path)
    foreign = check_keras(path)
    if path.suffix != _SUFFIX:
        raise RuntimeRefusedError(f"{path}: Keras loads a file whose name ends in {_SUFFIX}; rename it")
    keras = _import_keras(path)
    unknown = [entry.name for entry in foreign if keras.saving.get_registered_object(entry.registered_name) is None]
    if unknown:
        raise RuntimeRefusedError(
            f"{path}: it needs {', '.join(unknown)}, not a part of Keras and not registered here; build the net by a "
            "module in models/ that defines it with @keras.saving.register_keras_serializable()"
        )
    try:
        with all_weights():
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except _error_types() as err:
        raise RuntimeRefusedError(f"{path}: {_RUNTIME} refuses it: {_reason(err)}") from err


def call_by_name(net: "keras.Model", inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a model by the names of its inputs, as in inference.

    Args:
        net: a model whose inputs are one tensor, a list, a dict or nested ones. One that does not state them gets one
            input alone, several as a dict.
        inputs: name and value of each input; more names are ignored where the model states its inputs.

    Returns:
        Each output by its key, where the model returns a dict of tensors. Else by the name of the layer that makes it;
        the second tensor of one layer has ``_1`` behind the name, the third ``_2``. A model that knows no such name has
        ``output_0``, ``output_1``, ...

    Raises:
        SpecError: an input of the model is missing.
    """
    import keras

    structure = getattr(net, "input", None)
    tensors = keras.tree.flatten(getattr(net, "inputs", None) if structure is None else structure)
    stated = [tensor.name for tensor in tensors if tensor is not None]
    missing = [name for name in stated if name not in inputs]
    if missing:
        raise SpecError(f"{net.name}: the inputs are {', '.join(stated)}; given: {', '.join(inputs) or 'none'}")
    values = [inputs[name] for name in stated]
    given: Any
    if isinstance(structure, (dict, list, tuple)):
        given = keras.tree.pack_sequence_as(structure, values)
    elif len(stated or inputs) == 1:
        given = (values or list(inputs.values()))[0]
    else:
        given = dict(inputs)
    answer = net(given, training=False)
    answers = keras.tree.flatten(answer)
    if isinstance(answer, dict) and len(answers) == len(answer):
        return dict(answer)
    return dict(zip(_output_names(net, len(answers)), answers, strict=True))


@contextmanager
def all_weights() -> Iterator[None]:
    """Around a load, it lets no layer keep its random weights: Keras 3.15 only warns of that, with other warnings.

    Raises:
        ValueError: at the end of the block, with Keras's reason.
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for warning in found:
        if _KEPT in str(warning.message):
            raise ValueError(str(warning.message))


def _output_names(net: "keras.Model", count: int) -> list[str]:
    """A name for each output, all different."""
    names: Sequence[str] = getattr(net, "output_names", None) or ()
    if not names and count == 1 and getattr(net, "inputs", None):
        names = [layer.name for layer in net.layers[-1:]]  # a Sequential
    if len(names) != count:
        return [f"output_{index}" for index in range(count)]
    seen: Counter[str] = Counter()
    chosen: list[str] = []
    for name in names:
        different = name
        while different in chosen or (different != name and different in names):
            seen[name] += 1
            different = f"{name}_{seen[name]}"
        chosen.append(different)
    return chosen


def _import_keras(path: Path) -> ModuleType:
    """Keras, on TensorFlow."""
    # Keras reads it once, when it is imported; its own configuration file may name another backend.
    os.environ.setdefault("KERAS_BACKEND", _BACKEND)
    with quiet_start():
        keras = import_runtime(_RUNTIME, "keras")
        import_runtime(_RUNTIME, _BACKEND)
    backend = keras.backend.backend()
    if backend != _BACKEND:
        raise RuntimeRefusedError(
            f"{path}: Keras runs on {backend} in this process; set KERAS_BACKEND={_BACKEND} before it starts"
        )
    return keras


def _error_types() -> tuple[type[Exception], ...]:
    """What Keras raises for a config or weights that it cannot take: it checks few of them before it uses them."""
    import tensorflow as tf

    of_python = (ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError)
    return (*of_python, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error, tf.errors.OpError)


def _reason(err: Exception) -> str:
    """Keras's message in one line of bounded length, without the configs around and behind the reason."""
    line = one_line(err).rpartition("Exception encountered: ")[2].partition(" Full object config: ")[0]
    line = line or type(err).__name__
    return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]}..."


def _with_batch(shape: Any) -> list[int | str | None] | None:
    """TensorFlow's shape with the batch named, or None for one of unknown rank."""
    if shape.rank is None:
        return None
    first: list[int | str | None] = [_BATCH if axis is None else axis for axis in shape[:1]]
    return [*first, *shape[1:]]


def _dtype(dtype: str) -> str:
    """Numpy's name of Keras's dtype."""
    return "object" if dtype == "string" else dtype
