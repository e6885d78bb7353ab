"""The first stage: golden vectors from the numpy oracle, and the probes for all parity checks."""

import importlib
from pathlib import Path

import numpy as np

from contract.arrays import Tensors
from contract.golden import Golden, GoldenVector, write_golden
from models import load_spec
from pipeline.stage import Result
from pipeline.verify.probes import make_probes, write_tensors

__all__ = ["make_golden"]


def make_golden(*, out: Path, model: str, seed: int) -> Result:
    """Trains the oracle and writes ``golden.json``, and ``outputs.npz`` with its answers to every probe."""
    spec = load_spec(model)
    data, oracle = importlib.import_module(spec.data), importlib.import_module(spec.oracle)
    weights = oracle.train(seed)
    dtypes = {tensor.name: tensor.dtype for tensor in spec.outputs}

    def answer(inputs: Tensors) -> Tensors:
        return {name: value.astype(dtypes[name]) for name, value in oracle.forward(weights, inputs).items()}

    labels = data.labels()
    vectors = tuple(
        GoldenVector(name, inputs, answer(inputs), labels.get(name)) for name, inputs in data.golden_inputs().items()
    )
    golden = Golden(model, seed, spec.inputs, spec.outputs, vectors)
    write_golden(out / "golden.json", golden)
    with np.errstate(over="ignore"):
        write_tensors(out / "outputs.npz", {probe.name: answer(probe.inputs) for probe in make_probes(golden)})
    return {"note": f"{len(vectors)} vectors"}
