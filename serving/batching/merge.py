"""The tensors of several requests in one, and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor

__all__ = ["count_rows", "join_outputs", "merge_requests", "split_outputs", "split_rows"]

MAX_PADDED_RANK = 6  # of TensorFlow's pad kernel


def count_rows(inputs: Sequence[Tensor]) -> int:
    """Counts the rows of a request.

    Raises:
        StatusError: INVALID_ARGUMENT, the tensors do not have the same number of rows.
    """
    if not inputs:
        raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor")
    rows = -1
    for tensor in inputs:
        shape = tensor.array.shape
        if not shape:
            raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension")
        if rows not in (-1, shape[0]):
            raise StatusError(Code.INVALID_ARGUMENT, "Batching Run() input tensors must have equal 0th-dimension size")
        rows = shape[0]
    return rows


def merge_requests(
    names: Sequence[str], requests: Sequence[Sequence[Tensor]], extra_rows: int, *, pad: bool
) -> list[Tensor]:
    """Puts the rows of all requests behind one another.

    Args:
        names: names of the tensors of every request.
        requests: the tensors of each request, in the order of ``names``.
        extra_rows: copies of the first row of the last request that has one, to put behind all rows.
        pad: whether inner dimensions are made equal, by copies of the first element of a tensor.

    Returns:
        The merged tensors, in the order of ``names``.

    Raises:
        StatusError: FAILED_PRECONDITION or INVALID_ARGUMENT, the requests do not fit together.
    """
    if pad:
        requests = _pad_requests(names, requests)
    else:
        _check_shapes(names, requests)
    merged = []
    for name, tensors in zip(names, zip(*requests, strict=True), strict=True):
        dtype = tensors[0].dtype
        for tensor in tensors:
            if tensor.dtype != dtype:
                raise StatusError(
                    Code.INVALID_ARGUMENT,
                    f"Tensors with name '{name}' from different tasks have different types: "
                    f"{_type_name(dtype)} and {_type_name(tensor.dtype)}",
                )
        arrays = [tensor.array for tensor in tensors]
        if extra_rows:
            row = next(array[:1] for array in reversed(arrays) if len(array))
            arrays.append(np.broadcast_to(row, (extra_rows, *row.shape[1:])))
        merged.append(Tensor(dtype, arrays[0] if len(arrays) == 1 else np.concatenate(arrays)))
    return merged


def split_outputs(outputs: Sequence[Tensor], sizes: Sequence[int], extra_rows: int) -> list[list[Tensor]]:
    """Deals the rows of outputs out.

    Args:
        outputs: outputs of a run.
        sizes: rows of each request, in the order in which they were merged.
        extra_rows: rows behind them that belong to nobody.

    Returns:
        The outputs of each request.

    Raises:
        StatusError: FAILED_PRECONDITION, an output has no rows, or not as many as the inputs had.
    """
    total = sum(sizes) + extra_rows
    for tensor in outputs:
        if not tensor.array.ndim:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(tensor.array) != total:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    if len(sizes) == 1 and not extra_rows:
        return [list(outputs)]
    return split_rows(outputs, sizes)


def split_rows(tensors: Sequence[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    """Cuts tensors into pieces of so many rows; what is left behind them belongs to nobody."""
    pieces = []
    start = 0
    for size in sizes:
        pieces.append([Tensor(tensor.dtype, tensor.array[start : start + size]) for tensor in tensors])
        start += size
    return pieces


def join_outputs(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Puts the outputs of a request together that was spread over several batches.

    Raises:
        StatusError: FAILED_PRECONDITION, an output has not the same inner shape in all of them.
    """
    joined = []
    for tensors in zip(*parts, strict=True):
        shapes = {tensor.array.shape[1:] for tensor in tensors}
        if len(shapes) > 1:
            raise StatusError(
                Code.FAILED_PRECONDITION, f"The parts of a split request have outputs of different shapes: {shapes}"
            )
        joined.append(Tensor(tensors[0].dtype, np.concatenate([tensor.array for tensor in tensors])))
    return joined


def _check_shapes(names: Sequence[str], requests: Sequence[Sequence[Tensor]]) -> None:
    for request in requests[1:]:
        for name, tensor, first in zip(names, request, requests[0], strict=True):
            if tensor.array.shape[1:] != first.array.shape[1:]:
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                    "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                    "dimensions starting with the first dim.",
                )


def _pad_requests(names: Sequence[str], requests: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    inner = []
    for name, tensors in zip(names, zip(*requests, strict=True), strict=True):
        ranks = {tensor.array.ndim for tensor in tensors}
        if max(ranks) > MAX_PADDED_RANK:
            raise StatusError(Code.INVALID_ARGUMENT, "Only tensors with rank from 1 to 6 can be padded.")
        if len(ranks) > 1:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Tensors with name '{name}' from different tasks have different ranks: {min(ranks)} and {max(ranks)}",
            )
        inner.append(tuple(map(max, *(tensor.array.shape[1:] for tensor in tensors))) if len(tensors) > 1 else None)
    return [
        [
            tensor if shape is None else Tensor(tensor.dtype, _pad(tensor.array, (len(tensor.array), *shape)))
            for tensor, shape in zip(request, inner, strict=True)
        ]
        for request in requests
    ]


def _pad(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape == shape:
        return array
    padded = np.empty(shape, array.dtype)
    if not padded.size:
        return padded
    if not array.size:
        raise StatusError(Code.INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
    padded.fill(array.flat[0])  # np.full would strip the zero bytes at the end of a string
    padded[tuple(map(slice, array.shape))] = array
    return padded


def _type_name(dtype: int) -> str:
    return f"DT_{DataType(dtype).name}" if dtype in DataType.__members__.values() else f"type {dtype}"
