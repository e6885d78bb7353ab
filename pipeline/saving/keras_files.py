"""Saves and loads Keras models: weights alone, and whole models as .keras files.

A whole model is loaded by `runtimes.keras_model.load_model`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contract.errors import FormatError, SpecError, UsageError
from contract.files import beside
from runtimes.keras_model import all_weights
from runtimes.session import check_file, one_line

__all__ = ["load_weights", "save_model", "save_weights"]

_HDF5, _SAFETENSORS, _MODEL = ".weights.h5", ".safetensors", ".keras"

_HDF5_MARK = b"\x89HDF\r\n\x1a\n"
"""What an HDF5 file begins with (HDF5 file format specification, superblock)."""

_SEED = "/seed_generator_state"
"""What the path of a random seed's state ends in (keras/src/random/seed_generator.py of Keras 3.15)."""

_MAX_SHOWN = 5
"""Names of weights that a message has."""


def save_weights(path: Path, net: keras.Model) -> None:
    """Writes the weights of a model, whole or not at all.

    Args:
        path: ends in ``.weights.h5`` for Keras's own form, which goes by the layers, or in ``.safetensors`` for one
            tensor for each weight by its path in Keras, such as ``hidden/kernel``. Such a path has the names of layers:
            a file fits what the same code builds, where that names its layers.
        net: a model that is built. A vocabulary is no weight; the state of a random seed is not in .safetensors either,
            because its path has a number that Keras counts through the process.

    Raises:
        UsageError: the name ends otherwise.
        SpecError: the model is not built, or two of its weights have one path.
    """
    if not net.built:
        raise SpecError(f"{net.name}: the model is not built, so it has no weights yet; call it once")
    if path.name.endswith(_HDF5):
        with _written(path, _HDF5) as temporary:
            net.save_weights(temporary)
        return
    if path.suffix != _SAFETENSORS:
        raise _wrong_name(path)
    values = {name: keras.ops.convert_to_numpy(variable) for name, variable in _by_path(net).items()}
    with beside(path) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in values.items()}, temporary)


def load_weights(path: Path, net: keras.Model) -> None:
    """Sets the weights of a model to what `save_weights` wrote.

    A .safetensors file has to have all weights and no others, in the model's shapes and dtypes, else none is set; the
    states of random seeds are passed over. A .weights.h5 file goes by Keras's rules: it may have more layers than the
    model, and one that does not fit is found when some weights are set already.

    Args:
        path: see `save_weights`.
        net: a model that is built.

    Raises:
        UsageError: there is no such file, or its name ends otherwise.
        FormatError: the file is damaged.
        SpecError: it holds other weights than the model has, or the model is not built.
    """
    check_file(path)
    if not net.built:
        raise SpecError(f"{net.name}: the model is not built, so it has no weights yet; call it once")
    if path.name.endswith(_HDF5):
        _load_hdf5(path, net)
    elif path.suffix == _SAFETENSORS:
        _load_safetensors(path, net)
    else:
        raise _wrong_name(path)


def save_model(path: Path, net: keras.Model) -> None:
    """Writes a .keras file, whole or not at all; the time of saving is in it, so that no two are the same.

    Raises:
        UsageError: the name ends otherwise.
    """
    if path.suffix != _MODEL:
        raise UsageError(f"{path}: Keras saves a model under a name that ends in {_MODEL}")
    with _written(path, _MODEL) as temporary:
        net.save(temporary)


@contextmanager
def _written(path: Path, suffix: str) -> Iterator[Path]:
    """`beside`, under a name that ends in ``suffix``: Keras decides by it what it writes."""
    with beside(path) as temporary:
        named = temporary.with_name(temporary.name + suffix)
        try:
            yield named
            named.rename(temporary)
        finally:
            named.unlink(missing_ok=True)


def _by_path(net: keras.Model) -> dict[str, keras.Variable]:
    """The weights by their paths, which Keras does not hold to be different."""
    repeated = [name for name, count in Counter(variable.path for variable in net.weights).items() if count > 1]
    if repeated:
        raise SpecError(f"{net.name}: several weights have the path {_shown(repeated)}; give the layers other names")
    return {variable.path: variable for variable in net.weights}


def _load_safetensors(path: Path, net: keras.Model) -> None:
    try:
        found = load_file(path)
    except SafetensorError as err:
        raise FormatError(f"{path}: a damaged safetensors file: {one_line(err)}") from err
    values = {name: value for name, value in found.items() if not name.endswith(_SEED)}
    variables = _by_path(net)
    if missing := variables.keys() - values.keys():
        raise SpecError(f"{path}: it has no {_shown(missing)}, which {net.name} has")
    if unknown := values.keys() - variables.keys():
        raise SpecError(f"{path}: it has {_shown(unknown)}, which {net.name} has not")
    for name, value in values.items():
        wanted = f"{variables[name].dtype}{list(variables[name].shape)}"
        given = f"{value.dtype.name}{list(value.shape)}"
        if given != wanted:
            raise SpecError(f"{path}: {name} is {given}, in {net.name} it is {wanted}")
    for name, value in values.items():
        variables[name].assign(value)


def _load_hdf5(path: Path, net: keras.Model) -> None:
    with path.open("rb") as file:
        if file.read(len(_HDF5_MARK)) != _HDF5_MARK:
            raise FormatError(f"{path}: damaged or not an HDF5 file")
    try:
        with all_weights():
            net.load_weights(path)
    # h5py has OSError for a file that ends too early, and RuntimeError for one whose inside is damaged.
    except (OSError, RuntimeError) as err:
        raise FormatError(f"{path}: a damaged HDF5 file: {one_line(err)}") from err
    except (KeyError, TypeError, ValueError) as err:
        raise SpecError(f"{path}: its weights do not fit {net.name}: {one_line(err)}") from err


def _wrong_name(path: Path) -> UsageError:
    return UsageError(f"{path}: a file of Keras weights has a name that ends in {_HDF5} or {_SAFETENSORS}")


def _shown(names: Iterable[str]) -> str:
    """Some names, sorted, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MAX_SHOWN} more" if len(ordered) > _MAX_SHOWN else ""
    return ", ".join(ordered[:_MAX_SHOWN]) + more
