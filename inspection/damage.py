"""The damage that the readers of this package find."""

__all__ = ["DamagedError"]


class DamagedError(Exception):
    """A file is not what its format says; the message is the place and the reason, `inspect` adds the file's name."""
