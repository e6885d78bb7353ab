"""Warm-up: the requests that an exporter has put beside a SavedModel are replayed before the version goes live.

Source: saved_model_warmup_util.cc and saved_model_warmup.cc of TensorFlow Serving, record_reader.cc of TensorFlow.
"""

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from contract.errors import Code, StatusError
from serving import protos
from serving.crc32c import masked_crc32c
from serving.handlers.classify import classify
from serving.handlers.multi_inference import multi_inference
from serving.handlers.predict import predict
from serving.handlers.regress import regress
from serving.handlers.settings import Settings
from serving.servable import Servable

__all__ = ["warm_up"]

_FILE = "assets.extra/tf_serving_warmup_requests"

_MAX_RECORDS = 1000

_TURN_SECONDS = 1e-3
_PAUSE_SECONDS = 2e-4

_FORMAT = "Please verify your warmup data is in TFRecord format."

_HANDLERS: dict[str, Callable[..., Any]] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


@dataclass(frozen=True, slots=True)
class _InUse:
    servable: Servable
    version: int


@dataclass(frozen=True, slots=True)
class _OneVersion:
    """Stands for all models while one warms up: the names in the records do not count."""

    servable: Servable
    version: int

    @contextmanager
    def lease(self, _: Any) -> Iterator[_InUse]:
        yield _InUse(self.servable, self.version)


class _Turn:
    """Lets calls of other models go first: they would wait for the interpreter while records are replayed."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stands back for a moment, if the last time is long ago."""
        if time.perf_counter() - self._since > _TURN_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            self._since = time.perf_counter()


def warm_up(servable: Servable, path: Path, version: int, settings: Settings, iterations: int) -> int:
    """Replays the records of a version's folder.

    Args:
        servable: the loaded version.
        path: its folder.
        version: its number.
        settings: how calls are answered.
        iterations: how often each record is replayed.

    Returns:
        How many records there are; 0 where the folder has none.

    Raises:
        StatusError: a record cannot be read, or its call fails.
    """
    file = path / _FILE
    if not file.is_file():
        return 0
    model = _OneVersion(servable, version)
    turn = _Turn()
    number = 0
    for record in _records(file):
        if number >= _MAX_RECORDS:
            raise StatusError(
                Code.INVALID_ARGUMENT, f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {file}"
            )
        call = _call(record, file)
        for _ in range(iterations):
            call(model, settings)
            turn.pause()
        number += 1
    return number


def _call(record: bytes, file: Path) -> Callable[[_OneVersion, Settings], None]:
    """What a ``PredictionLog`` asks for."""
    try:
        log = protos.prediction_log.PredictionLog.FromString(record)
    except DecodeError as err:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Failed to parse warmup record: {record.decode(errors='replace')} from {file}",
        ) from err
    kind = log.WhichOneof("log_type")
    if kind is None:
        return lambda _model, _settings: None
    if kind not in _HANDLERS:
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = getattr(log, kind).request

    def call(model: _OneVersion, settings: Settings) -> None:
        _HANDLERS[kind](model, settings, request, None)

    return call


def _records(file: Path) -> Iterator[bytes]:
    """The records of an uncompressed TFRecord file: length, its checksum, data, its checksum."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        offset = 0
        while head := stream.read(12):
            if len(head) < 12:
                raise StatusError(Code.DATA_LOSS, f"truncated record at {offset}. {_FORMAT}")
            length, checksum = struct.unpack("<QI", head)
            if masked_crc32c(head[:8]) != checksum:
                hint = " (Is this even a TFRecord file?)" if not offset else ""
                raise StatusError(Code.DATA_LOSS, f"corrupted record at {offset}{hint}. {_FORMAT}")
            if offset + 16 + length > size:
                raise StatusError(Code.DATA_LOSS, f"truncated record at {offset}. {_FORMAT}")
            data = stream.read(length)
            tail = stream.read(4)
            if masked_crc32c(data) != struct.unpack("<I", tail)[0]:
                raise StatusError(Code.DATA_LOSS, f"corrupted record at {offset}. {_FORMAT}")
            yield data
            offset += 16 + length
