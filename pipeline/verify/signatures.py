"""A SavedModel as a server will use it: every signature, from disk, in a process that never saw the trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contract.arrays import Array, Tensors
from contract.errors import ParityError
from contract.model_spec import DEFAULT, Method, ModelSpec, Signature
from pipeline.examples import serialized_examples
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.verify.probes import Kind, read_probes
from pipeline.verify.stages import verify_file
from pipeline.verify.tensor_files import read_tensors
from runtimes.tensorflow_c import SavedModel

__all__ = ["verify_saved_model"]

_RUNTIME = "tensorflow_c"
_HOP = "saved_model"


def verify_saved_model(
    *, out: Path, spec: Path, probes: Path, expected: Path, artifact: Path, kinds: Sequence[str]
) -> Result:
    """As `verify_file` for ``serving_default``; and every other signature says the same of the golden inputs.

    Raises:
        ParityError: a signature is missing, has another method name, or answers otherwise than ``serving_default``.
    """
    model = read_spec(spec)
    result = verify_file(
        out=out, spec=spec, hop=_HOP, probes=probes, expected=expected, artifact=artifact, on=[_RUNTIME], kinds=kinds
    )
    answers = read_tensors(out / "outputs.npz")
    golden = [probe for probe in read_probes(probes) if probe.kind is Kind.GOLDEN]
    loaded = SavedModel(artifact)
    wanted = {signature.name: signature.method.value for signature in model.signatures}
    if loaded.signatures != wanted:
        raise ParityError(f"{_HOP}: the spec wants the signatures {wanted}, the file has {loaded.signatures}")
    for signature in model.signatures:
        if signature.name == DEFAULT:
            continue
        session = loaded.session(signature.name)
        for probe in golden:
            outputs = session.run(_inputs(signature, probe.inputs))
            _check(model, signature, probe.name, outputs, answers[probe.name])
    loaded.close()
    return result


def _inputs(signature: Signature, inputs: Tensors) -> Tensors:
    if signature.method is Method.PREDICT:
        return inputs
    return {"inputs": np.array(serialized_examples(inputs), dtype=object)}


def _check(spec: ModelSpec, signature: Signature, vector: str, outputs: dict[str, Array], answers: Tensors) -> None:
    wanted = _wanted(signature, answers)
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
                f"{vector!r}, {DEFAULT} says {value.tolist()}"
            )


def _wanted(signature: Signature, answers: Tensors) -> dict[str, Any]:
    """What a signature has to give where ``serving_default`` gave these answers."""
    if signature.method is Method.PREDICT:
        return {name: answers[name] for name in signature.outputs or answers}
    scores = answers[signature.output]
    if signature.method is Method.REGRESS:
        return {"outputs": scores}
    binary = scores.shape[-1] == 1 and len(signature.classes) == 2
    classes = np.array([name.encode() for name in signature.classes], dtype=object)
    return {
        "scores": np.concatenate([1 - scores, scores], axis=-1) if binary else scores,
        "classes": np.broadcast_to(classes, (len(scores), len(classes))),
    }
