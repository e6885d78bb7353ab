"""The stage functions that end a hop: run the new side, hold it against the step before, record what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import runtimes
from contract.arrays import Tensors
from contract.errors import ParityError, RuntimeAbsentError, RuntimeRefusedError, SpecError
from contract.files import write_json
from contract.model_spec import ModelSpec, expected_refusal
from contract.tensor_spec import TensorSpec
from pipeline.refusal import read_refusal
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.verify.accuracy import accuracy
from pipeline.verify.parity import check_parity
from pipeline.verify.probes import Kind, Probe, read_probes
from pipeline.verify.tensor_files import read_tensors, write_tensors
from runtimes.quantization import run_real
from runtimes.session import Session

__all__ = ["verify_file", "verify_network"]

_SHOWN_ANSWERS = 64
"""Values of the labelled golden vectors, in all, that a report repeats."""


def verify_network(
    *, out: Path, spec: Path, probes: Path, hop: str, runtime: str, actual: Path, expected: Path | None = None
) -> Result:
    """Holds a network's outputs against the truth, or records that they are the truth.

    Args:
        out: gets ``parity.json``.
        spec: the model's spec.
        probes: the calls.
        hop: ``train``, or ``load`` for a network that came trained.
        runtime: what it was computed by.
        actual: outputs of the network for every probe, computed in its own framework.
        expected: outputs of the oracle or of the reference for every probe; None where the network has neither.

    Raises:
        ParityError: they differ by more than the spec's tolerance for ``train``.
    """
    model, calls, outputs = read_spec(spec), read_probes(probes), read_tensors(actual)
    check: dict[str, Any] = {"runtime": runtime, "verdict": "reference"}
    if expected:
        check = _parity(model, hop, f"{hop} in {runtime}", calls, read_tensors(expected), outputs)
        check = {"runtime": runtime, **check}
    check |= _measured(model, calls, outputs)
    write_json(out / "parity.json", {"hop": hop, "checks": [check]})
    return {"note": _note([check])}


def verify_file(
    *,
    out: Path,
    spec: Path,
    hop: str,
    probes: Path,
    expected: Path,
    artifact: Path,
    on: Sequence[str],
    kinds: Sequence[str],
    name: str = "",
    is_lenient: bool = False,
    is_optional: bool = False,
) -> Result:
    """Runs a file on each runtime and holds its outputs against those of the step before.

    Args:
        out: gets ``parity.json``; and of the first runtime that took the file ``outputs.npz``, its answers, and
            ``tensors.json``, the tensors at the border with their scales and zero points.
        spec: the model's spec.
        hop: names the hop and its tolerance in the spec; ``tflite.<recipe>`` for TFLite.
        probes: the calls.
        expected: outputs of the step before for every probe.
        artifact: what to run: a file, or the folder of a SavedModel.
        on: the runtimes, by name.
        kinds: which kinds of probes the file has to answer.
        name: what to run in the folder ``artifact``, unless its conversion was refused.
        is_lenient: a runtime may refuse the file, as long as another takes it.
        is_optional: another file can go on in place of this one, so that a failure is written down instead of raised.

    Raises:
        ParityError: a runtime's answer is off by more than the spec's tolerance, or no runtime took the file.
        RuntimeRefusedError: a runtime refuses the file, and neither the spec nor ``is_lenient`` allows it.
        SpecError: the file's tensors are not the spec's.
    """
    if name and (refusal := read_refusal(artifact)):
        write_json(out / "parity.json", {"hop": hop, "checks": [refusal]})
        return {"note": _note([refusal])}
    model, before = read_spec(spec), read_tensors(expected)
    calls = [probe for probe in read_probes(probes) if probe.kind.value in kinds]
    checks: list[dict[str, Any]] = []
    answers: Mapping[str, Tensors] = {}
    for runtime in on:
        try:
            session = runtimes.load(runtime, artifact / name)
        except RuntimeAbsentError as err:
            checks.append({"runtime": runtime, "verdict": "absent", "reason": str(err)})
            continue
        except RuntimeRefusedError as err:
            checks.append(_refused(model, runtime, hop, err, is_lenient=is_lenient))
            continue
        with session:
            _check_border(model, session, f"{hop} in {runtime}")
            outputs = {probe.name: run_real(session, probe.inputs) for probe in calls}
            border = _border(model, session)
        try:
            check = _parity(model, hop, f"{hop} in {runtime}", calls, before, outputs)
        except ParityError as err:
            if not is_optional:
                raise
            checks.append({"runtime": runtime, "verdict": "failed", "reason": str(err)})
            write_json(out / "parity.json", {"hop": hop, "checks": checks})
            return {"note": _note(checks)}
        check |= {"version": runtimes.version(runtime), **_measured(model, calls, outputs)}
        checks.append({"runtime": runtime, **check})
        if not answers:
            answers = outputs
            write_json(out / "tensors.json", border)
    if not answers:
        raise ParityError(f"{hop}: no runtime here took the file: {[check['reason'] for check in checks]}")
    write_tensors(out / "outputs.npz", answers)
    write_json(out / "parity.json", {"hop": hop, "checks": checks})
    return {"note": _note(checks)}


def _border(spec: ModelSpec, session: Session) -> dict[str, Any]:
    """The spec's tensors as the file has them: its dtype, its fixed sizes, its scales and zero points."""
    return {
        "inputs": [_described(tensor, session.inputs, session) for tensor in spec.inputs],
        "outputs": [_described(tensor, session.outputs, session) for tensor in spec.outputs],
    }


def _described(tensor: TensorSpec, given: tuple[TensorSpec, ...], session: Session) -> dict[str, Any]:
    found = next(other for other in given if other.name == tensor.name)
    shape = [wanted if isinstance(size, str) else size for wanted, size in zip(tensor.shape, found.shape, strict=True)]
    scale = session.quantization.get(tensor.name)
    return {
        **tensor.to_dict(),
        "dtype": found.dtype,
        "shape": shape,
        "quantization": {"scale": scale.scale, "zero_point": scale.zero_point} if scale else None,
    }


def _refused(spec: ModelSpec, runtime: str, hop: str, err: RuntimeRefusedError, *, is_lenient: bool) -> dict[str, Any]:
    expected = expected_refusal(spec.refusals, runtime, hop.removeprefix("tflite."))
    if expected is None and is_lenient:
        return {"runtime": runtime, "verdict": "refused", "reason": str(err)}
    if expected is None:
        raise RuntimeRefusedError(
            f"{hop}: {runtime} refuses the file: {err}; if that is to be expected, say so under `refusals` in "
            f"models/{spec.name}/spec.py"
        ) from err
    return {"runtime": runtime, "verdict": "refused", "reason": f"{expected.reason} ({err})"}


def _check_border(spec: ModelSpec, session: Session, where: str) -> None:
    _check_tensors(spec.inputs, session.inputs, session, where)
    _check_tensors(spec.outputs, session.outputs, session, where)


def _check_tensors(wanted: tuple[TensorSpec, ...], given: tuple[TensorSpec, ...], session: Session, where: str) -> None:
    have = {tensor.name: tensor for tensor in given}
    if set(have) != {tensor.name for tensor in wanted}:
        raise SpecError(f"{where}: has the tensors {sorted(have)}, the spec says {[str(t) for t in wanted]}")
    for tensor in wanted:
        found = have[tensor.name]
        if found.shape == runtimes.ANY_RANK:
            continue  # the file does not say; the answers are compared all the same
        # Integers at the border stand for reals of the spec's dtype, by scale and zero point.
        dtype = tensor.dtype if tensor.name in session.quantization else found.dtype
        shape = [None if isinstance(axis, str) else axis for axis in found.shape]
        tensor.check(dtype, shape, where=where)


def _parity(
    spec: ModelSpec,
    hop: str,
    where: str,
    probes: Sequence[Probe],
    expected: Mapping[str, Tensors],
    outputs: Mapping[str, Tensors],
) -> dict[str, Any]:
    """Holds the outputs against those of the step before, and says how close they are."""
    tolerance = spec.tolerance("train" if hop == "load" else hop)
    parity = check_parity(where, probes, expected, outputs, tolerance)
    return {
        "verdict": "verified",
        "max_abs_diff": parity.max_abs_diff,
        "mean_abs_diff": parity.mean_abs_diff,
        "values": parity.values,
        "tolerance": tolerance.to_dict(),
    }


def _measured(spec: ModelSpec, probes: Sequence[Probe], outputs: Mapping[str, Tensors]) -> dict[str, Any]:
    """Accuracy on labelled data, and what labelled golden vectors are answered with where that fits into a table."""
    labelled = [probe for probe in probes if probe.kind is Kind.GOLDEN and probe.labels is not None]
    rows = [
        {
            "vector": probe.name,
            "label": probe.labels.tolist()[0],
            "outputs": {name: value.ravel().tolist() for name, value in outputs[probe.name].items()},
        }
        for probe in labelled
        if probe.labels is not None
    ]
    values = sum(value.size for probe in labelled for value in outputs[probe.name].values())
    return {
        "accuracy": accuracy(probes, outputs, spec.outputs[0].name),
        "answers": rows if values <= _SHOWN_ANSWERS else [],
    }


def _note(checks: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for check in checks:
        if check["verdict"] == "verified":
            parts.append(f"max |difference| {check['max_abs_diff']:.1e}")
        elif check["verdict"] != "reference":
            parts.append(f"{check['runtime']} {check['verdict']}")
    right = [check["accuracy"] for check in checks if check.get("accuracy")]
    if right:
        parts.append(f"{min(row['right'] for row in right)} of {right[0]['of']} right")
    return ", ".join(dict.fromkeys(parts))
