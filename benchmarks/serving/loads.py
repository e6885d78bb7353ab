"""What is asked: the loads, and the bodies of their requests."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.serving.programs import MODEL
from runtimes.tensor import DataType, Tensor
from serving.protos import predict
from serving.tensors import from_proto, to_proto


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, and over how many connections."""

    name: str
    rows: int
    connections: int

    def inputs(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The truth table of two inputs with noise, so that a number in JSON has the digits of a real one."""
        rng = np.random.default_rng(0)
        return (rng.integers(0, 2, (self.rows, 2)) + rng.normal(0, 0.1, (self.rows, 2))).astype(np.float32)


ONE = Load("1 connection", 1, 1)

SIXTEEN = Load("16 connections", 1, 16)

BATCH = Load("[5000, 2], 1 connection", 5000, 1)

LOADS = (ONE, SIXTEEN, BATCH)


def rest_body(load: Load) -> bytes:
    """Nested JSON, one row an instance, each number in the digits that float32 needs."""
    rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in load.inputs())
    return f'{{"instances": [{rows}]}}'.encode()


def grpc_body(load: Load) -> bytes:
    """A PredictRequest with ``tensor_content``."""
    request = predict.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = "serving_default"
    to_proto(Tensor(DataType.FLOAT, load.inputs()), request.inputs["x"], as_content=True)
    serialized: bytes = request.SerializeToString()
    return serialized


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, its length, and itself."""
    return struct.pack(">BI", 0, len(message)) + message


def grpc_predictions(answer: bytes) -> list[float]:
    """The numbers in a PredictResponse."""
    tensor = from_proto(predict.PredictResponse.FromString(answer).outputs["y"])
    values: list[float] = [] if tensor is None else tensor.array.reshape(-1).tolist()
    return values
