"""Bodies of the status and the metadata of a model: protos printed as protobuf's C++ library prints them.

One blank a level, the fields in the order of their numbers under their own names, empty ones printed too.
"""

import re
from base64 import b64encode
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from serving import protos
from serving.rest.json_writer import shortest_double

__all__ = ["metadata", "model_status"]

_ODD = re.compile(
    '["\\\\<>\x00-\x1f\x7f-\x9f\xad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064'
    "\u206a-\u206f\ufeff\ufff9-\ufffb]"
)
_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_WIDE = frozenset(
    (
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT64,
    )
)
_WRAPPERS = "google.protobuf."


def model_status(response: Any) -> bytes:
    """The body for a ``GetModelStatusResponse``."""
    return f"{_message(response, 0)}\n".encode()


def metadata(response: Any) -> bytes:
    """The body for a ``GetModelMetadataResponse`` with the field ``signature_def``."""
    signatures = protos.get_model_metadata.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_message(response.model_spec, 0)}\n,\n'
        f'"metadata": {{"signature_def": {_message(signatures, 0)}\n}}\n}}\n'
    ).encode()


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def _quote(text: str) -> str:
    return f'"{_ODD.sub(_escape, text)}"'


def _block(brackets: str, items: list[str], level: int) -> str:
    if not items:
        return brackets
    inner = f"\n{' ' * (level + 1)}"
    return f"{brackets[0]}{inner}{f',{inner}'.join(items)}\n{' ' * level}{brackets[1]}"


def _message(message: Any, level: int) -> str:
    items = []
    for field in sorted(message.DESCRIPTOR.fields, key=lambda field: int(field.number)):
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        items.append(f'"{field.name}": {_field(field, value, level + 1)}')
    return _block("{}", items, level)


def _field(field: Any, value: Any, level: int) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of = kind.fields_by_name["value"]
        items = [f"{_quote(str(key))}: {_value(of, value[key], level + 1)}" for key in value]
        return _block("{}", items, level)
    if field.is_repeated:
        return _block("[]", [_value(field, item, level + 1) for item in value], level)
    return _value(field, value, level)


def _value(field: Any, value: Any, level: int) -> str:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        if field.message_type.full_name.startswith(_WRAPPERS) and field.message_type.name.endswith("Value"):
            return _value(field.message_type.fields_by_name["value"], value.value, level)
        return _message(value, level)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return _quote(known.name) if known else str(value)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _quote(value) if isinstance(value, str) else f'"{b64encode(value).decode()}"'
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return _decimal(value, single=kind == FieldDescriptor.CPPTYPE_FLOAT)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    return f'"{value}"' if kind in _WIDE else str(value)


def _decimal(value: float, *, single: bool) -> str:
    if not np.isfinite(value):
        return f'"{shortest_double(value)}"'
    text = str(np.float32(value)) if single else repr(value)
    return text.removesuffix(".0")
