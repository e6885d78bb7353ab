"""``BatchingParameters``: how many rows go into one run, how long the first waits, how many batches may queue."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import Code, StatusError

__all__ = ["BatchingParameters"]

WRAPPED = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
    "thread_pool_name",
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)
"""The fields that are messages with one ``value``, so that absent and zero differ."""


@dataclass(frozen=True)
class BatchingParameters:
    """The fields of ``tensorflow.serving.BatchingParameters``, with TensorFlow Serving's defaults.

    Attributes:
        max_batch_size: rows of the largest request, and of the largest batch unless requests are split.
        batch_timeout_micros: how long the first request of a batch waits for others.
        max_enqueued_batches: batches that wait in one queue.
        num_batch_threads: batches that run at the same time, of all queues of a scheduler together.
        thread_pool_name: the label in the metrics, and the beginning of the threads' names.
        allowed_batch_sizes: a batch is padded up to the first of them that is no smaller; none allows every size.
        pad_variable_length_inputs: whether requests of different inner shapes are padded to a common one.
        enable_large_batch_splitting: whether a request may be spread over several batches.
        max_execution_batch_size: rows of the largest batch where requests are split; None is ``max_batch_size``.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: Sequence[int] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    @classmethod
    def from_proto(cls, message: Any) -> "BatchingParameters":
        """Reads a ``tensorflow.serving.BatchingParameters``; what is absent gets its default."""
        given = {name: getattr(message, name).value for name in WRAPPED if message.HasField(name)}
        return cls(
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
            **given,
        )

    @property
    def largest_run(self) -> int:
        """Rows of the largest batch that is run."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    def padded_size(self, rows: int) -> int:
        """Rows that a batch of so many rows is run with."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def check(self) -> None:
        """Refuses what no batch can be made with.

        Raises:
            StatusError: INVALID_ARGUMENT, where TensorFlow Serving refuses too, or crashes (a size of 0).
        """
        for name in ("max_batch_size", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise _invalid(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise _invalid(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        # Without splitting, 0 means 1: models that get few requests are configured so.
        if self.max_enqueued_batches < (1 if self.enable_large_batch_splitting else 0):
            raise _invalid(f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}")
        if self.enable_large_batch_splitting:
            self._check_splitting()
        if not self.allowed_batch_sizes:
            return
        last = self.allowed_batch_sizes[-1]
        if last != self.largest_run:
            limit = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            raise _invalid(
                f"Last entry in allowed_batch_sizes must match {limit}; last entry was {last}; "
                f"expected {self.largest_run}"
            )

    def _check_splitting(self) -> None:
        if self.largest_run < 1:
            raise _invalid(f"max_execution_batch_size must be positive; was {self.largest_run}")
        if self.largest_run > self.max_batch_size:
            raise _invalid(
                "When enable_large_batch_splitting is true, max_batch_size must be greater than or equal to "
                f"max_execution_batch_size; they were {self.max_batch_size} and {self.largest_run}"
            )
        sizes = self.allowed_batch_sizes
        if any(size >= following for size, following in itertools.pairwise(sizes)):
            raise _invalid("allowed_batch_sizes entries must be monotonically increasing")


def _invalid(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)
