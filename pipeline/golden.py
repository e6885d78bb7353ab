"""Golden vectors: the golden inputs with the answers of the oracle, or of the network that is the truth itself."""

from pathlib import Path

from contract.golden import Golden, GoldenVector, write_golden
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.verify.probes import Kind, read_probes
from pipeline.verify.tensor_files import read_tensors

__all__ = ["make_golden"]


def make_golden(*, out: Path, spec: Path, probes: Path, outputs: Path, seed: int) -> Result:
    """Writes ``golden.json``.

    Args:
        out: folder to write into.
        spec: the model's spec.
        probes: the calls.
        outputs: the answers to them that everything else is held against.
        seed: of the network that gave them.

    Raises:
        SpecError: an answer is NaN or infinite.
    """
    model, answers = read_spec(spec), read_tensors(outputs)
    vectors = tuple(
        GoldenVector(
            probe.name,
            probe.inputs,
            answers[probe.name],
            None if probe.labels is None else int(probe.labels[0]),
        )
        for probe in read_probes(probes)
        if probe.kind is Kind.GOLDEN
    )
    write_golden(out / "golden.json", Golden(model.name, seed, model.inputs, model.outputs, vectors))
    return {"note": f"{len(vectors)} vectors"}
