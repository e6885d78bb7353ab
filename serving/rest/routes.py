"""Which call a method and a path are.

Source: http_rest_api_handler.cc and http_rest_api_util.cc of TensorFlow Serving. The query counts as part of the path.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from contract.errors import Code, StatusError
from serving.rest.json_values import to_text

__all__ = ["BadVersionError", "Route", "find_route"]

# Names are matched in any case, the verb is not.
_CALL = re.compile(
    r"(?i:/v1/models)/([^/:]+)(?:(?i:/versions)/([0-9]+)|(?i:/labels)/([^/:]+))?:(predict|classify|regress)", re.ASCII
)
_INFO = re.compile(
    r"(?i:/v1/models)(?:/([^/:]+))?(?:(?i:/versions)/([0-9]+)|(?i:/labels)/([^/:]+))?(?:/((?i:metadata)))?", re.ASCII
)

_MAX_VERSION = 2**63 - 1


class BadVersionError(Exception):
    """The version in a path is no int64: an answer without a body."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a path says.

    Attributes:
        verb: ``predict``, ``classify``, ``regress``, ``metadata`` or empty for the status.
        model: its name.
        version: its number, None for the highest.
        label: its label, None for none.
    """

    verb: str
    model: str
    version: int | None
    label: str | None


def find_route(method: str, path: str) -> Route:
    """The call that a request is.

    Raises:
        StatusError: INVALID_ARGUMENT, it is none.
        BadVersionError: its version is too large.
    """
    pattern = _CALL if method == "POST" else _INFO
    found = pattern.fullmatch(path) if method in ("POST", "GET") else None
    if found is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"Malformed request: {method} {path}")
    name, version, label, verb = found.groups()
    if not name:
        raise StatusError(Code.INVALID_ARGUMENT, "Missing model name in request.")
    if version is not None and int(version) > _MAX_VERSION:
        raise BadVersionError
    if verb is not None and verb not in ("predict", "classify", "regress", "metadata"):
        verb = None  # Metadata with a capital is a status
    return Route(
        verb or "",
        _unescape(name),
        None if version is None else int(version),
        None if label is None else _unescape(label),
    )


def _unescape(text: str) -> str:
    return to_text(unquote_to_bytes(text.encode("latin-1")))
