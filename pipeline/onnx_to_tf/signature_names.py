"""Gives the tensors of a saved signature the names that they have in ONNX.

TensorFlow makes a Python argument of each input, so that ``input.1`` would become ``input_1``, and two names that
differ in a sign would clash. So a signature is saved under plain names, and the exact ones are written into
``saved_model.pb``: into the signature, which TF Serving, TFLite and the C API read, and into the function, which Python
reads.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

__all__ = ["plain_names", "rename_inputs"]


def plain_names(names: Sequence[str]) -> list[str]:
    """A name for each that Python takes for an argument: its own where that can be, and each once."""
    plain: list[str] = []
    for name in names:
        wanted = re.sub(r"\W", "_", name, flags=re.ASCII)
        wanted = wanted if wanted.isidentifier() else f"_{wanted}"
        free = (wanted if not number else f"{wanted}_{number}" for number in count())
        taken = {*plain, *(other for other in names if other != name)}
        plain.append(next(candidate for candidate in free if candidate not in taken))
    return plain


def rename_inputs(folder: Path, names: Mapping[str, str]) -> None:
    """Renames the inputs of every signature of a SavedModel.

    Args:
        folder: the SavedModel, just written.
        names: old name to new.
    """
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for signature in graph.signature_def.values():
            _rename_fields(signature.inputs, names)
        for node in graph.object_graph_def.nodes:
            if node.WhichOneof("kind") == "bare_concrete_function":
                keywords = node.bare_concrete_function.argument_keywords
                keywords[:] = [names.get(keyword, keyword) for keyword in keywords]
    path.write_bytes(saved.SerializeToString(deterministic=True))


def _rename_fields(fields: Any, names: Mapping[str, str]) -> None:
    """Renames the keys of a map of messages; new names may be old ones of others."""
    before = {key: type(value).FromString(value.SerializeToString()) for key, value in fields.items()}
    for key in before:
        del fields[key]
    for key, value in before.items():
        fields[names.get(key, key)].CopyFrom(value)
