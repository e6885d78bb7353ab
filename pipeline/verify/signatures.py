"""A SavedModel as a server will use it: every signature, from disk, in a process that never saw the trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contract.arrays import Array
from contract.errors import ParityError
from contract.golden import read_golden
from contract.model_spec import Method, ModelSpec, Signature
from models import load_spec
from pipeline.examples import serialized_examples
from pipeline.stage import Result
from pipeline.verify.probes import read_tensors
from pipeline.verify.stages import verify_file
from runtimes.tensorflow_c import SavedModel

__all__ = ["verify_saved_model"]

_RUNTIME = "tensorflow_c"
_HOP = "saved_model"


def verify_saved_model(
    *, out: Path, model: str, golden: Path, expected: Path, artifact: Path, kinds: Sequence[str]
) -> Result:
    """As `verify_file` for ``serving_default``; and classify and regress give the same scores for tf.Example.

    Raises:
        ParityError: a signature is missing, has another method name, or answers otherwise than ``serving_default``.
    """
    spec = load_spec(model)
    result = verify_file(
        out=out, model=model, hop=_HOP, golden=golden, expected=expected, artifact=artifact, on=[_RUNTIME], kinds=kinds
    )
    answers, vectors = read_tensors(out / "outputs.npz"), read_golden(golden).vectors
    loaded = SavedModel(artifact)
    wanted = {signature.name: signature.method.value for signature in spec.signatures}
    if loaded.signatures != wanted:
        raise ParityError(f"{_HOP}: the spec wants the signatures {wanted}, the file has {loaded.signatures}")
    for signature in spec.signatures:
        if signature.method is Method.PREDICT:
            continue
        session = loaded.session(signature.name)
        for vector in vectors:
            examples = np.array(serialized_examples(vector.inputs), dtype=object)
            outputs = session.run({"inputs": examples})
            _check(spec, signature, vector.name, outputs, answers[vector.name][signature.output])
    loaded.close()
    return result


def _check(spec: ModelSpec, signature: Signature, vector: str, outputs: dict[str, Array], scores: Array) -> None:
    if signature.method is Method.REGRESS:
        wanted: dict[str, Any] = {"outputs": scores}
    else:
        binary = scores.shape[-1] == 1 and len(signature.classes) == 2
        classes = np.array([name.encode() for name in signature.classes], dtype=object)
        wanted = {
            "scores": np.concatenate([1 - scores, scores], axis=-1) if binary else scores,
            "classes": np.broadcast_to(classes, (len(scores), len(classes))),
        }
    tolerance = spec.tolerance(_HOP)
    for name, value in wanted.items():
        if name not in outputs:
            raise ParityError(f"{_HOP}: signature {signature.name} gives {sorted(outputs)}, not {name}")
        equal = (
            np.array_equal(outputs[name], value)
            if value.dtype == object
            else outputs[name].shape == value.shape
            and np.allclose(outputs[name], value, rtol=tolerance.rtol, atol=tolerance.atol)
        )
        if not equal:
            raise ParityError(
                f"{_HOP}: signature {signature.name} gives {name} = {outputs[name].tolist()} for golden input "
                f"{vector!r}, serving_default says {value.tolist()}"
            )
