"""Reading and refusing batching parameters."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Code, StatusError
from serving.batching.parameters import BatchingParameters

WRAPPED: dict[str, Any] = {
    "max_batch_size": 8,
    "batch_timeout_micros": 1500000,
    "max_enqueued_batches": 100,
    "num_batch_threads": 2,
    "thread_pool_name": "pool",
    "enable_large_batch_splitting": True,
    "max_execution_batch_size": 4,
}


class FakeProto:
    """The attributes of the proto: wrapper messages, a repeated field and a plain bool."""

    def __init__(self, wrapped, allowed_batch_sizes=(), pad_variable_length_inputs=False):
        self._wrapped = wrapped
        self.allowed_batch_sizes = list(allowed_batch_sizes)
        self.pad_variable_length_inputs = pad_variable_length_inputs

    def __getattr__(self, name):
        return SimpleNamespace(value=self._wrapped[name])

    def HasField(self, name):  # noqa: N802 - protobuf's name
        return name in self._wrapped


def refusal(**fields):
    with pytest.raises(StatusError) as caught:
        BatchingParameters(**fields).check()
    assert caught.value.code is Code.INVALID_ARGUMENT
    return caught.value.message


def test_an_empty_proto_gives_the_defaults():
    parameters = BatchingParameters.from_proto(FakeProto({}))
    assert parameters == BatchingParameters()
    assert parameters.num_batch_threads == os.cpu_count()
    parameters.check()


def test_a_full_proto_gives_its_values():
    assert BatchingParameters.from_proto(FakeProto(WRAPPED, [2, 4], True)) == BatchingParameters(
        allowed_batch_sizes=(2, 4), pad_variable_length_inputs=True, **WRAPPED
    )


def test_a_wrapped_zero_is_not_the_default():
    assert BatchingParameters.from_proto(FakeProto({"max_enqueued_batches": 0})).max_enqueued_batches == 0


def test_the_last_allowed_size_is_the_largest_batch():
    message = "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8"
    assert refusal(max_batch_size=8, allowed_batch_sizes=(4,)) == message
    BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8)).check()


def test_with_splitting_the_last_allowed_size_is_the_largest_run():
    split: dict[str, Any] = {"max_batch_size": 16, "max_execution_batch_size": 4, "enable_large_batch_splitting": True}
    message = "Last entry in allowed_batch_sizes must match max_execution_batch_size; last entry was 16; expected 4"
    assert refusal(allowed_batch_sizes=(16,), **split) == message
    BatchingParameters(allowed_batch_sizes=(2, 4), **split).check()


def test_max_execution_batch_size_says_nothing_without_splitting():
    BatchingParameters(max_batch_size=8, max_execution_batch_size=4, allowed_batch_sizes=(8,)).check()


def test_an_unsorted_list_loads_unless_requests_are_split():
    BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 2, 8)).check()
    message = refusal(max_batch_size=8, allowed_batch_sizes=(4, 2, 8), enable_large_batch_splitting=True)
    assert message == "allowed_batch_sizes entries must be monotonically increasing"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be positive; was 0"),
        ({"num_batch_threads": 0}, "num_batch_threads must be positive; was 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros must be non-negative; was -1"),
        ({"max_enqueued_batches": -1}, "max_enqueued_batches must be positive; was -1"),
        (
            {"max_enqueued_batches": 0, "enable_large_batch_splitting": True},
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            {"max_execution_batch_size": 0, "enable_large_batch_splitting": True},
            "max_execution_batch_size must be positive; was 0",
        ),
        (
            {"max_batch_size": 4, "max_execution_batch_size": 8, "enable_large_batch_splitting": True},
            (
                "When enable_large_batch_splitting is true, max_batch_size must be greater than or equal to "
                "max_execution_batch_size; they were 4 and 8"
            ),
        ),
    ],
)
def test_impossible_values_are_refused(fields, message):
    assert refusal(**fields) == message


@pytest.mark.parametrize(("rows", "padded"), [(1, 2), (2, 2), (3, 4), (5, 8), (8, 8), (9, 9)])
def test_a_batch_is_padded_up_to_the_next_allowed_size(rows, padded):
    assert BatchingParameters(allowed_batch_sizes=(2, 4, 8)).padded_size(rows) == padded


def test_without_allowed_sizes_nothing_is_padded():
    assert BatchingParameters().padded_size(3) == 3
