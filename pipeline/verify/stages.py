"""The stage functions that end a hop: run the new side, hold it against the step before, record what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import runtimes
from contract.arrays import Tensors
from contract.errors import ParityError, RuntimeAbsentError, RuntimeRefusedError, SpecError
from contract.files import write_json
from contract.golden import Golden, read_golden
from contract.model_spec import ModelSpec, Tolerance
from contract.tensor_spec import TensorSpec
from models import load_spec
from pipeline.stage import Result
from pipeline.verify.parity import Parity, check_parity
from pipeline.verify.probes import make_probes, read_tensors, write_tensors
from runtimes.quantization import run_real
from runtimes.session import Session

__all__ = ["verify_file", "verify_network"]


def verify_network(*, out: Path, model: str, golden: Path, expected: Path, actual: Path, network: str) -> Result:
    """Holds a trained network's outputs against the oracle's.

    Args:
        out: gets ``parity.json``.
        model: the model's name.
        golden: the golden vectors.
        expected: outputs of the oracle for every probe.
        actual: outputs of the network for every probe, computed in its own framework.
        network: its name.

    Raises:
        ParityError: they differ by more than the spec's tolerance for ``train``.
    """
    spec, vectors = load_spec(model), read_golden(golden)
    tolerance = spec.tolerance("train")
    outputs = read_tensors(actual)
    parity = check_parity(f"train {network}", make_probes(vectors), read_tensors(expected), outputs, tolerance)
    check = _verified("its own framework", parity, tolerance, vectors, outputs)
    write_json(out / "parity.json", {"hop": "train", "checks": [check]})
    return {"note": _note([check])}


def verify_file(
    *,
    out: Path,
    model: str,
    hop: str,
    golden: Path,
    expected: Path,
    artifact: Path,
    on: Sequence[str],
    kinds: Sequence[str],
) -> Result:
    """Runs a file on each runtime and holds its outputs against those of the step before.

    Args:
        out: gets ``parity.json``; and of the first runtime that took the file ``outputs.npz``, its answers, and
            ``tensors.json``, the tensors at the border with their scales and zero points.
        model: the model's name.
        hop: names the hop and its tolerance in the spec; ``tflite.<recipe>`` for TFLite.
        golden: the golden vectors.
        expected: outputs of the step before for every probe.
        artifact: the file or folder to run.
        on: the runtimes, by name.
        kinds: which kinds of probes the file has to answer.

    Raises:
        ParityError: a runtime's answer is off by more than the spec's tolerance, or no runtime took the file.
        RuntimeRefusedError: a runtime refuses the file, and the spec does not say so.
        SpecError: the file's tensors are not the spec's.
    """
    spec, vectors = load_spec(model), read_golden(golden)
    tolerance, before = spec.tolerance(hop), read_tensors(expected)
    probes = [probe for probe in make_probes(vectors) if probe.kind.value in kinds]
    checks: list[dict[str, Any]] = []
    answers: Mapping[str, Tensors] = {}
    for runtime in on:
        try:
            session = runtimes.load(runtime, artifact)
        except RuntimeAbsentError as err:
            checks.append({"runtime": runtime, "verdict": "absent", "reason": str(err)})
            continue
        except RuntimeRefusedError as err:
            checks.append(_refused(spec, runtime, hop, err))
            continue
        with session:
            _check_border(spec, session, f"{hop} in {runtime}")
            outputs = {probe.name: run_real(session, probe.inputs) for probe in probes}
            border = _border(spec, session)
        parity = check_parity(f"{hop} in {runtime}", probes, before, outputs, tolerance)
        check = _verified(runtime, parity, tolerance, vectors, outputs)
        checks.append({**check, "version": runtimes.version(runtime)})
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


def _refused(spec: ModelSpec, runtime: str, hop: str, err: RuntimeRefusedError) -> dict[str, Any]:
    expected = spec.refusal(runtime, hop.removeprefix("tflite."))
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
        # Integers at the border stand for reals of the spec's dtype, by scale and zero point.
        dtype = tensor.dtype if tensor.name in session.quantization else found.dtype
        shape = [None if isinstance(axis, str) else axis for axis in found.shape]
        tensor.check(dtype, shape, where=where)


def _verified(
    runtime: str, parity: Parity, tolerance: Tolerance, golden: Golden, outputs: Mapping[str, Tensors]
) -> dict[str, Any]:
    labelled = [vector for vector in golden.vectors if vector.label is not None]
    return {
        "runtime": runtime,
        "verdict": "verified",
        "max_abs_diff": parity.max_abs_diff,
        "mean_abs_diff": parity.mean_abs_diff,
        "values": parity.values,
        "tolerance": {"atol": tolerance.atol, "rtol": tolerance.rtol},
        "answers": [
            {
                "vector": vector.name,
                "label": vector.label,
                "outputs": {name: value.ravel().tolist() for name, value in outputs[vector.name].items()},
            }
            for vector in labelled
        ],
    }


def _note(checks: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for check in checks:
        if check["verdict"] == "verified":
            parts.append(f"max |difference| {check['max_abs_diff']:.1e}")
        else:
            parts.append(f"{check['runtime']} {check['verdict']}")
    return ", ".join(dict.fromkeys(parts))
