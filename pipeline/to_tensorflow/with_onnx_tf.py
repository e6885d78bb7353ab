"""onnx-tf, the archived converter of the ONNX project."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NoReturn
from unittest import SkipTest

import onnx
from onnx.checker import ValidationError, check_model

from contract.errors import ConversionError, UnsupportedOpError
from pipeline.to_tensorflow.converter import NEWEST_OPSETS

__all__ = ["convert"]

_NEWEST_OPSET, _OLDEST_OPSET = NEWEST_OPSETS["onnx-tf"], 11
"""Opset 11 is the one that onnx-tf knows best (its doc/support_status.md)."""

_ABSENT = (
    ("tensorflow_addons", "seq2seq", "hardmax"),
    ("tensorflow_probability", "distributions", "Bernoulli"),
)


_NOT_IN_SCOPES = re.compile(r"[^A-Za-z0-9_./>-]")
"""Characters that a node of ONNX may have in its name, and a scope of TensorFlow not."""

_FAILURES = (
    *(SkipTest, ValidationError),
    *(RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError),
)
"""What onnx-tf and the TensorFlow under it raise for an operator, an opset or a shape that they do not know."""


def convert(model: onnx.ModelProto, folder: Path) -> None:
    """See `pipeline.to_tensorflow.converter.Converter`."""
    with _absent_packages():
        from onnx_tf.backend import prepare

        _choose_opset(model)
        for node in _nodes(model.graph):
            node.name = _NOT_IN_SCOPES.sub("_", node.name)
        try:
            prepare(model, device="CPU").export_graph(str(folder))
        except (*_FAILURES, ConversionError) as err:
            raise ConversionError(f"onnx-tf cannot convert the file: {_reason(err)}") from err


def _choose_opset(model: onnx.ModelProto) -> None:
    """Declares the newest opset in which onnx-tf knows all operators; in place, because a copy may be gigabytes.

    Most operators were renewed for types that a network does not use, so that an older opset holds as well. The parity
    of the hop shows whether it did.

    Raises:
        UnsupportedOpError: there is none; names the first node, and how many others there are.
    """
    _declare(model, _NEWEST_OPSET)
    missing = _missing(model)
    if not missing:
        return
    for opset in range(_NEWEST_OPSET - 1, _OLDEST_OPSET - 1, -1):
        if _declare(model, opset) and not _missing(model):
            return
    others = f"; {len(missing) - 1} other nodes are not either" if len(missing) > 1 else ""
    raise UnsupportedOpError(f"onnx-tf cannot convert the file: {missing[0]}{others}")


def _declare(model: onnx.ModelProto, opset: int) -> bool:
    """Whether the model is valid in an older opset of ONNX's own operators; then it is declared, else left as it is."""
    newer = [entry for entry in model.opset_import if not _short(entry.domain) and entry.version > opset]
    before = [entry.version for entry in newer]
    for entry in newer:
        entry.version = opset
    try:
        check_model(model)
    except ValidationError:
        for entry, version in zip(newer, before, strict=True):
            entry.version = version
        return False
    return True


def _missing(model: onnx.ModelProto) -> list[str]:
    """The nodes with an operator that onnx-tf has no handler for, in the model's opset; a few words each."""
    from onnx_tf.common.handler_helper import get_all_backend_handlers

    opsets = {_short(entry.domain): entry.version for entry in model.opset_import}
    handlers = get_all_backend_handlers(opsets)
    local = {(_short(function.domain), function.name) for function in model.functions}
    missing = []
    for node in _nodes(model.graph):
        domain = _short(node.domain)
        handler = handlers.get(domain, {}).get(node.op_type)
        version = getattr(handler, "SINCE_VERSION", None)
        if (domain, node.op_type) not in local and not hasattr(handler, f"version_{version}"):
            missing.append(
                f"{node.op_type}{f' version {version}' if version else ''} is not implemented (domain "
                f"{domain or 'ai.onnx'}, opset {opsets.get(domain)}, node {node.name or node.output[0]!r})"
            )
    return missing


def _short(domain: str) -> str:
    """ONNX's own domain has two names."""
    return "" if domain == "ai.onnx" else domain


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs after the node that has them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(subgraph)


def _reason(err: BaseException) -> str:
    """One line; AutoGraph puts the stack of what it traced before an error's own words."""
    text = str(err).strip()
    if text.startswith("in user code:"):
        return text.splitlines()[-1].strip()
    return f"{type(err).__name__}: {text.partition(chr(10))[0]}"


@contextmanager
def _absent_packages() -> Iterator[None]:
    """Stands in for two packages that onnx-tf 1.10.0 imports and that no longer exist for this TensorFlow.

    It takes one name from each, for the operators Hardmax and Bernoulli. With an onnx-tf that imports neither, this can
    go: tests/pipeline/to_tensorflow/test_with_onnx_tf.py fails then.
    """
    for package, attribute, name in _ABSENT:
        part = ModuleType(f"{package}.{attribute}")
        setattr(part, name, partial(_unavailable, f"{package}.{attribute}.{name}"))
        sys.modules[package] = ModuleType(package)
        setattr(sys.modules[package], attribute, part)
    try:
        yield
    finally:
        for package, _, _ in _ABSENT:
            del sys.modules[package]


def _unavailable(needed: str, *args: object, **kwargs: object) -> NoReturn:
    raise ConversionError(f"onnx-tf needs {needed}, which no longer exists for this TensorFlow")
