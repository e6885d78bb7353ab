"""How Classify and Regress find their signature."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import DataType
from serving.handlers.settings import Settings
from serving.servable import DEFAULT_SIGNATURE, Models, Servable, Signature

__all__ = ["Call", "begin", "check_method", "dtype_name", "shape_text"]


@dataclass(frozen=True, slots=True)
class Call:
    """A version in use, and the signature that a request asks for."""

    servable: Servable
    signature: Signature
    model: str
    version: int
    signature_name: str

    def sign(self, spec: Any) -> None:
        """Fills the ``ModelSpec`` of an answer."""
        spec.name = self.model
        spec.version.value = self.version
        spec.signature_name = self.signature_name


@contextmanager
def begin(models: Models, request: Any) -> Iterator[Call]:
    """The version and the signature of a request that has a ``model_spec``, for the length of the block.

    Raises:
        StatusError: INVALID_ARGUMENT, NOT_FOUND.
    """
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    with models.lease(spec) as lease:
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = lease.servable.signatures.get(name)
        if signature is None:
            raise StatusError(Code.INVALID_ARGUMENT, f"No signature was found with the name: {name}")
        yield Call(lease.servable, signature, spec.name, lease.version, name)


def check_method(signature: Signature, settings: Settings, kind: str, method: str) -> None:
    """Refuses a signature for another call than classification or regression, or without its one input.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    given = signature.definition.method_name
    if settings.check_method_name and given != method:
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected {kind} signature method_name to be {method}. Was: {given}")
    if len(signature.inputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one input Tensor.")


def dtype_name(code: int) -> str:
    """Such as ``DT_FLOAT``."""
    return f"DT_{DataType(code).name}"


def shape_text(shape: Sequence[int]) -> str:
    """Such as ``[2,2]``."""
    return f"[{','.join(map(str, shape))}]"
