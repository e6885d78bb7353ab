"""Merging and splitting tensors."""

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving.batching.merge import count_rows, join_outputs, merge_requests, split_outputs

DIFFERENT_SHAPES = (
    "Tensors with name 'x:0' from different tasks have different shapes and padding is turned off. Set "
    "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions starting "
    "with the first dim."
)
EMPTY = "Got empty tensor in batch of non-empty tensors."
WRONG_ROWS = (
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
)


def floats(values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


def zeros(*shape):
    return floats(np.zeros(shape))


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return Tensor(DataType.STRING, array)


def merged(requests, extra_rows=0, *, pad=False):
    (tensor,) = merge_requests(["x:0"], [[request] for request in requests], extra_rows, pad=pad)
    return tensor.array.tolist()


def refusal(call, *args, **kwargs):
    with pytest.raises(StatusError) as caught:
        call(*args, **kwargs)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "Batching Run() must have at least one input tensor"),
        ([floats(1.0)], "Batching Run() input tensors must have at least one dimension"),
        ([zeros(2), floats(1.0)], "Batching Run() input tensors must have at least one dimension"),
        ([zeros(2), zeros(1)], "Batching Run() input tensors must have equal 0th-dimension size"),
        ([zeros(0), zeros(1)], "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_inputs_need_the_same_rows(inputs, message):
    assert refusal(count_rows, inputs) == (Code.INVALID_ARGUMENT, message)


def test_rows_are_counted():
    assert count_rows([zeros(3), zeros(3, 2)]) == 3
    assert count_rows([zeros(0, 2)]) == 0


def test_rows_are_concatenated_in_order():
    assert merged([floats([[1, 2]]), floats([[3, 4], [5, 6]])]) == [[1, 2], [3, 4], [5, 6]]


def test_every_name_is_merged():
    a, b = merge_requests(["a", "b"], [[floats([1]), strings(b"p")], [floats([2]), strings(b"q")]], 1, pad=False)
    assert a.array.tolist() == [1, 2, 2]
    assert b.array.tolist() == [b"p", b"q", b"q"]


def test_one_request_is_not_copied():
    request = zeros(2, 3)
    (tensor,) = merge_requests(["x:0"], [[request]], 0, pad=False)
    assert tensor.array is request.array


def test_extra_rows_are_copies_of_the_last_requests_first_row():
    assert merged([floats([1, 2]), floats([3, 4])], 3) == [1, 2, 3, 4, 3, 3, 3]


def test_extra_rows_come_from_a_request_that_has_rows():
    assert merged([floats([1, 2]), zeros(0)], 1) == [1, 2, 1]


def test_different_inner_shapes_do_not_merge():
    code = Code.FAILED_PRECONDITION
    assert refusal(merged, [zeros(1, 2), zeros(2, 3)]) == (code, DIFFERENT_SHAPES)
    assert refusal(merged, [zeros(1, 2), zeros(2)]) == (code, DIFFERENT_SHAPES)
    assert refusal(merged, [zeros(0, 2), zeros(2, 0)]) == (code, DIFFERENT_SHAPES)


def test_padding_repeats_the_first_element():
    assert merged([floats([[1, 2]]), floats([[3, 4, 5], [6, 7, 8]])], pad=True) == [[1, 2, 1], [3, 4, 5], [6, 7, 8]]
    assert merged([floats([[[1], [2]]]), floats([[[3, 4]]])], 1, pad=True) == [
        [[1, 1], [2, 1]],
        [[3, 4], [3, 3]],
        [[3, 4], [3, 3]],
    ]


def test_padding_keeps_all_bytes_of_a_string():
    wide = strings(b"a", b"b", b"c", b"d")
    requests = [[strings(b"\xff\0")], [wide]]
    tensors = [[Tensor(DataType.STRING, tensor.array.reshape(1, -1))] for (tensor,) in requests]
    (tensor,) = merge_requests(["x:0"], tensors, 0, pad=True)
    assert tensor.array.tolist() == [[b"\xff\0"] * 4, [b"a", b"b", b"c", b"d"]]


def test_an_empty_tensor_has_no_element_to_pad_with():
    assert refusal(merged, [zeros(0, 2), zeros(2, 0)], pad=True) == (Code.INVALID_ARGUMENT, EMPTY)
    assert refusal(merged, [zeros(2, 0), zeros(1, 2)], pad=True) == (Code.INVALID_ARGUMENT, EMPTY)


def test_an_empty_tensor_that_stays_empty_is_padded():
    assert merged([zeros(0, 0), floats([[1, 2]])], pad=True) == [[1, 2]]
    assert merged([zeros(2, 0)], pad=True) == [[], []]


def test_padding_takes_ranks_from_1_to_6():
    assert np.shape(merged([zeros(1, 1, 1, 1, 1, 1), zeros(1, 1, 1, 1, 1, 2)], pad=True)) == (2, 1, 1, 1, 1, 2)
    message = "Only tensors with rank from 1 to 6 can be padded."
    assert refusal(merged, [zeros(1, 1, 1, 1, 1, 1, 1)], pad=True) == (Code.INVALID_ARGUMENT, message)


def test_padding_does_not_change_ranks():
    code, message = refusal(merged, [zeros(1, 2), zeros(1)], pad=True)
    assert (code, "ranks: 1 and 2" in message) == (Code.INVALID_ARGUMENT, True)


@pytest.mark.parametrize("pad", [False, True])
def test_different_types_do_not_merge(pad):
    # bfloat16 and uint16 have the same arrays: the number of the type decides.
    words = np.zeros(1, np.uint16)
    requests = [Tensor(DataType.BFLOAT16, words), Tensor(DataType.UINT16, words)]
    message = "Tensors with name 'x:0' from different tasks have different types: DT_BFLOAT16 and DT_UINT16"
    assert refusal(merged, requests, pad=pad) == (Code.INVALID_ARGUMENT, message)


def test_outputs_are_dealt_out_and_extra_rows_dropped():
    answers = split_outputs([floats([1, 2, 3, 4]), floats([[5], [6], [7], [8]])], [1, 0, 2], 1)
    assert [[tensor.array.tolist() for tensor in answer] for answer in answers] == [
        [[1], [[5]]],
        [[], []],
        [[2, 3], [[6], [7]]],
    ]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (floats(1.0), "Batched output tensor has 0 dimensions"),
        (zeros(2), WRONG_ROWS),
        (zeros(6), WRONG_ROWS),
    ],
)
def test_outputs_need_the_rows_of_the_inputs(output, message):
    for sizes, extra_rows in (([3], 0), ([1, 1], 1)):
        assert refusal(split_outputs, [zeros(3), output], sizes, extra_rows) == (Code.FAILED_PRECONDITION, message)


def test_parts_of_a_request_are_joined():
    (tensor,) = join_outputs([[floats([1, 2])], [floats([3])]])
    assert tensor.array.tolist() == [1, 2, 3]


def test_parts_of_different_shapes_are_not_joined():
    assert refusal(join_outputs, [[zeros(1, 2)], [zeros(1, 3)]])[0] is Code.FAILED_PRECONDITION
