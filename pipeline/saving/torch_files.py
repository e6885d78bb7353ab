"""Saves and loads PyTorch networks: weights alone, and whole programs as .pt2 files.

A program is loaded by `runtimes.torch_export.load_program`. Nothing here runs code that lies in a file.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from contract.errors import FormatError, SpecError, UsageError
from contract.files import beside
from runtimes.session import check_file, one_line

__all__ = ["load_weights", "save_program", "save_weights"]

_SAFETENSORS = ".safetensors"
_PICKLES = (".pt", ".pth", ".bin")
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the weights, in a checkpoint that has more."""
_MAX_SHOWN = 3
"""Names of weights that a message has."""

_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError),
    *(ValueError, KeyError, AttributeError, TypeError, IndexError),
)
"""What torch.load raises for a file that is cut short, or that holds more than tensors."""

Weights = Mapping[str, torch.Tensor]


def save_weights(path: Path, net: torch.nn.Module) -> None:
    """Writes the weights as safetensors, whole or not at all; a tensor that two names share is written once.

    Args:
        path: ends in ``.safetensors``.
        net: the network.

    Raises:
        UsageError: the name ends otherwise.
    """
    if path.suffix != _SAFETENSORS:
        raise UsageError(f"{path}: weights are saved as {_SAFETENSORS}; give the file that ending")
    kept = {id(tensor): name for name, tensor in reversed(net.state_dict(keep_vars=True).items())}
    values = net.state_dict()
    with beside(path) as temporary:
        save_file({name: values[name].contiguous() for name in kept.values()}, temporary)


def load_weights(path: Path, net: torch.nn.Module) -> None:
    """Fills a network from a file, or leaves it as it is.

    Args:
        path: ``.safetensors``; or ``.pt``, ``.pth`` and ``.bin``, read by ``torch.load(weights_only=True)``: a state
            dict, or a checkpoint that has one under ``state_dict``, ``model_state_dict`` or ``model``.
        net: the network.

    Raises:
        UsageError: there is no such file, or its name ends otherwise.
        FormatError: the file is damaged, or holds more than tensors.
        SpecError: its weights are not those of the network.
    """
    check_file(path)
    if path.suffix == _SAFETENSORS:
        weights = _from_safetensors(path, net)
    elif path.suffix in _PICKLES:
        weights = _from_pickle(path)
    else:
        raise UsageError(f"{path}: weights of a torch network are {_SAFETENSORS}, {', '.join(_PICKLES)} files")
    _check(weights, net, path)
    net.load_state_dict(weights)


def save_program(
    path: Path,
    net: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Writes a network as a program of torch.export, with its weights, whole or not at all.

    Args:
        path: ends in ``.pt2``.
        net: the network.
        inputs: an example of each input by the name of its argument; dynamic axes at a size of at least 2.
        dynamic_axes: position and name of each dynamic axis by input; axes of one name have one size.

    Raises:
        UsageError: the name ends otherwise.
    """
    if path.suffix != ".pt2":
        raise UsageError(f"{path}: a program is saved as .pt2; give the file that ending")
    axes = dynamic_axes or {}
    named = {axis: torch.export.Dim(axis) for positions in axes.values() for axis in positions.values()}
    shapes = {name: {at: named[axis] for at, axis in axes.get(name, {}).items()} for name in inputs}
    program = torch.export.export(net, (), dict(inputs), dynamic_shapes=shapes)
    with beside(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file)


def _from_safetensors(path: Path, net: torch.nn.Module) -> Weights:
    try:
        weights = load_file(path)
    except SafetensorError as err:
        raise FormatError(f"{path}: a damaged safetensors file: {one_line(err)}") from err
    # A tensor that two names share stands in the file once; the network knows its other names.
    shared: dict[int, list[str]] = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        shared.setdefault(id(tensor), []).append(name)
    for names in shared.values():
        given = [name for name in names if name in weights]
        if given:
            weights |= {name: weights[given[0]] for name in names if name not in weights}
    return weights


def _from_pickle(path: Path) -> Weights:
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle's protocol
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as err:
        raise FormatError(
            f"{path}: cannot be read as weights alone, and code in it is not run: "
            f"{one_line(str(err).partition('.')[0])}; save them as {_SAFETENSORS} (safetensors.torch.save_model)"
        ) from err
    for key in ("", *_CHECKPOINT_KEYS):
        found: Any = content.get(key) if key and isinstance(content, Mapping) else content
        if isinstance(found, Mapping) and found and all(isinstance(value, torch.Tensor) for value in found.values()):
            return found
    keys = ", ".join(map(str, list(content)[:_MAX_SHOWN])) if isinstance(content, Mapping) else type(content).__name__
    raise FormatError(f"{path}: holds {keys}, but no state dict; save net.state_dict() alone")


def _check(weights: Weights, net: torch.nn.Module, path: Path) -> None:
    wanted = net.state_dict()
    where = f"{path}: its weights are not those of {type(net).__name__}"
    for what, names in (("missing", wanted.keys() - weights.keys()), ("unknown", weights.keys() - wanted.keys())):
        if names:
            shown = ", ".join(sorted(names)[:_MAX_SHOWN])
            more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
            raise SpecError(f"{where}: {what} {shown}{more}")
    for name, tensor in wanted.items():
        if tensor.shape != weights[name].shape:
            given = list(weights[name].shape)
            raise SpecError(f"{where}: {name} is {given}, the network has {list(tensor.shape)}")
