"""Tensors of several calls in one .npz file, which is never unpickled."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from contract.arrays import Array, Tensors

__all__ = ["read_tensors", "write_tensors"]

_LENGTHS = "/lengths"
"""Ends the entry that has the length of each string of a tensor; the strings themselves follow one another."""


def write_tensors(path: Path, calls: Mapping[str, Tensors]) -> None:
    """Writes the tensors of several calls; an entry is named ``<call>/<tensor>``. Strings are objects of type bytes."""
    entries: dict[str, Array] = {}
    for call, tensors in calls.items():
        for name, value in tensors.items():
            key = f"{call}/{name}"
            if value.dtype == object:
                lengths = np.array([len(item) for item in value.flat], np.int64).reshape(value.shape)
                entries[f"{key}{_LENGTHS}"] = lengths
                value = np.frombuffer(b"".join(value.flat), np.uint8)
            entries[key] = value
    with path.open("wb") as file:
        np.savez(file, **entries)


def read_tensors(path: Path) -> Mapping[str, Tensors]:
    """Reads what `write_tensors` wrote."""
    calls: dict[str, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as entries:
        for key in entries.files:
            if key.endswith(_LENGTHS):
                continue
            value = entries[key]
            if f"{key}{_LENGTHS}" in entries.files:
                value = _strings(value.tobytes(), entries[f"{key}{_LENGTHS}"])
            call, _, name = key.rpartition("/")
            calls.setdefault(call, {})[name] = value
    return calls


def _strings(content: bytes, lengths: Array) -> Array:
    ends = np.cumsum(lengths.ravel())
    strings = np.empty(lengths.size, object)
    strings[:] = [content[end - length : end] for end, length in zip(ends, lengths.flat, strict=True)]
    return strings.reshape(lengths.shape)
