"""The oracle: a model in numpy, trained from the same start, whose answers every network has to equal."""

import importlib
from pathlib import Path

import numpy as np

from contract.arrays import Tensors
from pipeline.spec import read_spec
from pipeline.stage import Result
from pipeline.verify.probes import read_probes
from pipeline.verify.tensor_files import write_tensors

__all__ = ["train"]


def train(*, out: Path, spec: Path, probes: Path, seed: int) -> Result:
    """Writes ``outputs.npz``, the trained oracle's answers to every probe, in the dtypes of the spec."""
    model = read_spec(spec)
    oracle = importlib.import_module(model.oracle)
    weights = oracle.train(seed)
    dtypes = {tensor.name: tensor.dtype for tensor in model.outputs}

    def answer(inputs: Tensors) -> Tensors:
        return {name: value.astype(dtypes[name]) for name, value in oracle.forward(weights, inputs).items()}

    with np.errstate(over="ignore"):
        write_tensors(out / "outputs.npz", {probe.name: answer(probe.inputs) for probe in read_probes(probes)})
    return {}
