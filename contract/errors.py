"""The error tree, with one canonical code per failure.

::

    ShowdownError               UNKNOWN              the root: what `showdown` prints as one line
    * UsageError                INVALID_ARGUMENT     asked for something that is not there (a model, a converter)
    * SpecError                 INVALID_ARGUMENT     a tensor or a spec does not fit: wanted and given dtype, shape
    * ManifestError             DATA_LOSS            a manifest or a file under it is damaged: file, key, reason
    * FormatError               DATA_LOSS            a model file is damaged, cannot be read, or is of no known kind
    * StorageError              RESOURCE_EXHAUSTED   the disk is full or cannot be written
    * RuntimeRefusedError       UNIMPLEMENTED        a runtime does not take this file
    * RuntimeAbsentError        UNAVAILABLE          a runtime is not installed here
    * ConversionError           INTERNAL             a step from one format to the next failed
      * UnsupportedOpError      UNIMPLEMENTED        the converter lacks an operator: type, domain, opset, node
      * ParityError             INTERNAL             two sides of a hop disagree beyond the tolerance
    * StageError                of its cause         a stage of the chain failed: its name, the reason, its log
    * StatusError               its own              what a call to a server or to TensorFlow answered: code and message
"""

from enum import IntEnum

__all__ = [
    "Code",
    "ConversionError",
    "FormatError",
    "ManifestError",
    "ParityError",
    "RuntimeAbsentError",
    "RuntimeRefusedError",
    "ShowdownError",
    "SpecError",
    "StageError",
    "StatusError",
    "StorageError",
    "UnsupportedOpError",
    "UsageError",
]


class Code(IntEnum):
    """Canonical status codes: gRPC's names and numbers (grpc/status.h)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ShowdownError(Exception):
    """Root of all errors that a user can cause or cure; the message is one line with the remedy."""

    code = Code.UNKNOWN


class UsageError(ShowdownError):
    """Something was asked for that is not there."""

    code = Code.INVALID_ARGUMENT


class SpecError(ShowdownError):
    """A tensor, a network or a spec contradicts the spec of the model."""

    code = Code.INVALID_ARGUMENT


class ManifestError(ShowdownError):
    """A manifest cannot be read, or a file is not what its manifest says."""

    code = Code.DATA_LOSS


class FormatError(ShowdownError):
    """A model file is damaged, cannot be read, or is of no kind that is known; names the file and what is wrong."""

    code = Code.DATA_LOSS


class StorageError(ShowdownError):
    """A folder cannot be written: the disk is full, or it is read-only."""

    code = Code.RESOURCE_EXHAUSTED


class RuntimeRefusedError(ShowdownError):
    """A runtime does not load or run this file; the message is the runtime's own reason in one line."""

    code = Code.UNIMPLEMENTED


class RuntimeAbsentError(ShowdownError):
    """A runtime is not installed on this machine; the message says how to get it."""

    code = Code.UNAVAILABLE


class ConversionError(ShowdownError):
    """A model could not be brought from one format into the next."""

    code = Code.INTERNAL


class UnsupportedOpError(ConversionError):
    """A converter does not know an operator: its type, domain and opset, and the node that has it."""

    code = Code.UNIMPLEMENTED


class ParityError(ConversionError):
    """Two sides of a hop differ by more than the tolerance: hop, worst input, both values, tolerance."""


class StageError(ShowdownError):
    """A stage of the chain failed.

    Attributes:
        stage: name of the stage.
        log: path of the worker's log, or None where the stage has none.
    """

    def __init__(self, stage: str, message: str, *, code: Code, log: str | None = None) -> None:
        super().__init__(f"{stage}: {message}")
        self.code = code
        self.stage = stage
        self.log = log


class StatusError(ShowdownError):
    """A call failed with a canonical status, as it goes over the wire; the message may have several lines.

    Attributes:
        message: the message without the code.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"
