"""Gives memory back to the system that large messages have left with the C library."""

import ctypes
import threading

__all__ = ["note_message", "trim_if_wanted"]

_LARGE_BYTES = 32 * 2**20
"""From here on a message leaves pieces that are worth to be given back: after 1 GiB the C library keeps 1.6 GiB."""

_wanted = threading.Event()


def note_message(size: int) -> None:
    """Tells of a message that has come in.

    Args:
        size: in bytes.
    """
    if size > _LARGE_BYTES:
        _wanted.set()


def trim_if_wanted() -> None:
    """Gives back what is free, if a large message has come since the last time; with glibc, else nothing."""
    if _wanted.is_set():
        _wanted.clear()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
