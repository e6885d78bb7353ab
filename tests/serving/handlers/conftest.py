"""Models of a fake servable that notes its runs and answers what a test tells it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.servable import Signature

PREDICT = "tensorflow/serving/predict"


def signature(
    inputs: dict[str, int], outputs: Sequence[str], method: str = PREDICT, defaults: dict[str, float] | None = None
) -> Signature:
    """A signature whose tensors are called ``<alias>:0``."""
    definition = protos.meta_graph.SignatureDef(method_name=method)
    for alias, dtype in inputs.items():
        definition.inputs[alias].name, definition.inputs[alias].dtype = f"{alias}:0", dtype
    for alias in outputs:
        definition.outputs[alias].name, definition.outputs[alias].dtype = f"{alias}:0", DataType.FLOAT
    for alias, value in (defaults or {}).items():
        definition.defaults[alias].dtype = DataType.FLOAT
        definition.defaults[alias].float_val.append(value)
    return Signature(definition)


@dataclass
class FakeServable:
    """Answers a fetch with what `results` has for it, otherwise with as many zeros as there are rows."""

    signatures: dict[str, Signature]
    results: dict[str, Tensor] = field(default_factory=dict)
    error: Exception | None = None
    runs: list[tuple[tuple[str, ...], list[Any], tuple[str, ...], float | None]] = field(default_factory=list)

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        self.runs.append((tuple(feeds), [tensor.array.tolist() for tensor in inputs], tuple(fetches), timeout))
        if self.error is not None:
            raise self.error
        zeros = Tensor(DataType.FLOAT, np.zeros((inputs[0].array.size, 1), np.float32)) if inputs else None
        return [self.results.get(fetch) or zeros for fetch in fetches]  # type: ignore[misc]

    def is_quick(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        return True

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class FakeModels:
    """One model ``m`` in version 7."""

    servable: FakeServable
    in_use: int = 0
    version: int = 7

    @contextmanager
    def lease(self, spec: Any) -> Iterator["FakeModels"]:
        if spec.name != "m":
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        self.in_use += 1
        try:
            yield self
        finally:
            self.in_use -= 1


@pytest.fixture
def models() -> Callable[..., FakeModels]:
    """Makes the model of these signatures."""
    return lambda **signatures: FakeModels(FakeServable(signatures))


@pytest.fixture
def sign() -> Callable[..., Signature]:
    return signature


@pytest.fixture
def refused() -> Callable[[Callable[[], Any]], tuple[Code, str]]:
    """Code and message of what a call raises."""

    def get(call: Callable[[], Any]) -> tuple[Code, str]:
        with pytest.raises(StatusError) as caught:
            call()
        return caught.value.code, caught.value.message

    return get


@pytest.fixture
def examples() -> Callable[..., None]:
    """Fills an ``Input`` with so many examples, the number of each in ``n``."""

    def fill(message: Any, number: int, context: int | None = None) -> None:
        kind = message.example_list if context is None else message.example_list_with_context
        kind.SetInParent()
        for index in range(number):
            kind.examples.add().features.feature["n"].int64_list.value.append(index)
        if context is not None:
            kind.context.features.feature["c"].int64_list.value.append(context)

    return fill
