"""Parses the JSON within model files, which may be made to do harm."""

import json
from typing import Any

from inspection.damage import DamagedError

__all__ = ["parse"]


def parse(text: bytes, what: str) -> Any:
    """Parses JSON text.

    Args:
        text: UTF-8.
        what: the part of the file, for the message.

    Raises:
        DamagedError: it is no JSON, repeats a key, or is nested too deeply.
    """
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError as err:
        raise DamagedError(f"its {what} is nested too deeply") from err
    except ValueError as err:
        raise DamagedError(f"its {what} is no JSON: {err}") from err


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated!r} stands there twice")
    return values
