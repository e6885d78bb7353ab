"""Networks that are built by code: a module's ``build()``, or ``module:factory``."""

import importlib
from collections.abc import Callable
from typing import Any

from contract.errors import SpecError, UsageError
from contract.hints import hint
from contract.model_spec import Network

__all__ = ["build_network", "train_network"]


def build_network(network: Network) -> Any:
    """The network, with the weights that its code starts with.

    Raises:
        UsageError: there is no such module or function.
        SpecError: the function wants arguments.
    """
    module, factory = network.factory
    try:
        return _function(module, factory)()
    except TypeError as err:
        if err.__traceback__ is not None and err.__traceback__.tb_next is None:  # raised by the call, not inside it
            raise SpecError(f"{module}:{factory} is called without arguments, but: {err}") from err
        raise


def train_network(network: Network, seed: int) -> Any:
    """What the module's ``train(seed)`` returns.

    Raises:
        UsageError: there is no such module, or it does not train.
    """
    return _function(network.factory[0], "train")(seed)


def _function(module: str, name: str) -> Callable[..., Any]:
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is None or not f"{module}.".startswith(f"{err.name}."):
            raise  # it is there, and lacks a module of its own
        raise UsageError(
            f"no module {err.name!r}; run where it can be imported from, or put its folder into PYTHONPATH"
        ) from err
    if not callable(found := getattr(imported, name, None)):
        functions = [key for key, value in vars(imported).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"module {module} has no function {name!r}; {hint(name, functions)}")
    return found  # type: ignore[no-any-return]
