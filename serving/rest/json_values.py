"""JSON values in memory: what the reader makes and the bodies take apart.

Objects are ``dict``; one with a key twice is `Members`, which keeps all pairs. Strings hold bytes that are not UTF-8 as
``surrogateescape`` does. Numbers are ``int`` where RapidJSON keeps an integer (-2**63 to 2**64-1), else ``float``.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Document", "Json", "Members", "find_base64", "members", "to_bytes", "to_text", "type_name"]

Json: TypeAlias = Any
"""None, bool, int, float, str, list or dict of the same; checkers cannot follow the recursion at a bearable price."""


class Members(dict[str, Json]):
    """An object with a key more than once: looking up finds the first.

    Attributes:
        pairs: all members in their order.
    """

    def __init__(self, pairs: list[tuple[str, Json]]) -> None:
        super().__init__(reversed(pairs))
        self.pairs = pairs


class Document(NamedTuple):
    """A parsed request.

    Attributes:
        root: the object.
        body: the text it was read from.
    """

    root: dict[str, Json]
    body: bytes


def members(value: dict[str, Json]) -> Iterable[tuple[str, Json]]:
    """All members of an object, a key as often as it stands there."""
    return value.pairs if isinstance(value, Members) else value.items()


def find_base64(value: Json) -> str | None:
    """The text of ``{"b64": "..."}``, None for anything else."""
    if not isinstance(value, dict) or len(value) != 1 or isinstance(value, Members):
        return None
    text = value.get("b64")
    return text if isinstance(text, str) else None


def type_name(value: Json) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, str):
        return "String"
    if isinstance(value, list):
        return "Array"
    return "Object" if isinstance(value, dict) else "Number"


def to_bytes(text: str) -> bytes:
    """The bytes of a string as they stood in the request."""
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    """The string that holds these bytes, UTF-8 or not."""
    return data.decode("utf-8", "surrogateescape")
