"""Bodies of Classify and Regress: JSON into ``tensorflow.Example``, results into JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contract.errors import Code, StatusError
from serving import protos
from serving.rest.json_decimals import decimals
from serving.rest.json_tensor import decode_base64
from serving.rest.json_values import Document, Json, find_base64, members, to_bytes, to_text, type_name
from serving.rest.json_writer import quote_string, quote_value

__all__ = ["classifications", "examples", "regressions"]

_TINY = 2.0**-126
_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def examples(document: Document) -> Any:
    """The ``tensorflow.serving.Input`` of a request.

    Raises:
        StatusError: INVALID_ARGUMENT with TensorFlow Serving's text.
    """
    root = document.root
    message = protos.input_.Input()
    target = message.example_list
    if "context" in root:
        target = message.example_list_with_context
        target.context.SetInParent()
        _fill_example(target.context, root["context"])
    if "examples" not in root:
        raise _refused_body(root, "When method is classify, key 'examples' is expected and was not found")
    values = root["examples"]
    if not isinstance(values, list):
        raise _refused_body(root, "Expecting 'examples' value to be an list/array")
    if not values:
        raise _refused_body(root, "'examples' value is an empty array")
    for value in values:
        _fill_example(target.examples.add(), value)
    return message


def classifications(labels: Sequence[Sequence[tuple[bytes, float]]]) -> bytes:
    """The reply to Classify.

    Args:
        labels: label and score of each class of each example.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not labels:
        raise _refused("Cannot convert empty ClassificationResults to JSON")
    scores = iter(_floats([score for row in labels for _, score in row]))
    rows = [f"[{', '.join(f'[{quote_string(to_text(label))}, {next(scores)}]' for label, _ in row)}]" for row in labels]
    return to_bytes(f'{{\n    "results": [{", ".join(rows)}\n    ]\n}}')


def regressions(result: Any) -> bytes:
    """The reply to Regress.

    Args:
        result: a ``RegressionResult``.

    Raises:
        StatusError: INVALID_ARGUMENT: it is empty.
    """
    if not result.regressions:
        raise _refused("Cannot convert empty RegressionResults to JSON")
    return to_bytes(f'{{\n    "results": [{", ".join(_floats([item.value for item in result.regressions]))}]\n}}')


def _refused(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _refused_body(root: Json, why: str) -> StatusError:
    return _refused(f"JSON Value: {quote_value(root)} {why}")


def _floats(values: list[float]) -> list[str]:
    return decimals(np.array(values, np.float32))


def _fill_example(example: Any, value: Json) -> None:
    if not isinstance(value, dict):
        raise _refused(f"Example must be JSON object but got JSON {type_name(value)}")
    features = example.features.feature
    for key, content in members(value):
        name = key.partition("\0")[0]
        feature = features[to_bytes(name).decode("utf-8", "replace")]
        feature.Clear()  # the last of a key that stands twice
        for item in content if isinstance(content, list) else (content,):
            _add_value(feature, item, name)


def _add_value(feature: Any, value: Json, name: str) -> None:
    kind, element = _element(value, name)
    found = feature.WhichOneof("kind") or kind
    if found != kind:
        raise _refused(f"Unexpected element type in feature: {name} expecting type: {_KINDS[found]}")
    if isinstance(value, dict):
        element = decode_base64(element)
    elif kind == "int64_list" and element >= 2**63:
        raise _refused(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    getattr(feature, kind).value.append(element)


def _element(value: Json, name: str) -> tuple[str, Any]:
    """The list that a value belongs to, and what to append; of base64 the text."""
    if isinstance(value, int):
        return "int64_list", int(value)
    if isinstance(value, float):
        return "float_list", value if abs(value) >= _TINY else value * 0.0
    if isinstance(value, str):
        return "bytes_list", to_bytes(value)
    text = find_base64(value)
    if text is None:
        raise _refused(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    return "bytes_list", text
