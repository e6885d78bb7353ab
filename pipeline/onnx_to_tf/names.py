"""Names of ONNX, which may hold any character, in TensorFlow's scopes, which may not."""

import re

__all__ = ["scope_name"]

_REFUSED = re.compile(r"[^A-Za-z0-9_.\\/-]")
"""What a scope may not hold (TensorFlow's ops.py, ``_VALID_SCOPE_NAME_REGEX``); and ``>``, which other tools refuse."""

_BEGIN = re.compile(r"[A-Za-z0-9.]")


def scope_name(name: str) -> str:
    """The name as a scope: each character that a scope refuses becomes ``.`` and its code point in hexadecimal.

    An empty name becomes ``node``. Slashes stay: exporters write a module's path with them.
    """
    escaped = _REFUSED.sub(lambda match: f".{ord(match[0]):x}", name).strip("/")
    if not escaped:
        return "node"
    return escaped if _BEGIN.match(escaped) else f"n{escaped}"
