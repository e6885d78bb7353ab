"""A network that is a whole file: an .onnx, .keras or .pt2 file, run by the runtime of its own framework."""

from pathlib import Path

import runtimes
from contract.arrays import Tensors
from contract.errors import SpecError
from pipeline.spec import read_spec
from pipeline.train.outcome import save_answers

__all__ = ["load"]


def load(*, out: Path, spec: Path, probes: Path, network: str, runtime: str, file: Path) -> None:
    """Writes ``outputs.npz``, the file's answers to every probe.

    Args:
        out: folder to write into.
        spec: the model's spec.
        probes: the calls.
        network: which of its networks.
        runtime: name of the runtime.
        file: the file.
    """
    model = read_spec(spec)
    with runtimes.load(runtime, file) as session:

        def predict(inputs: Tensors) -> Tensors:
            try:
                return session.run(inputs)
            except SpecError as err:  # what a network of code would say in its framework's words
                raise ValueError(str(err)) from err

        save_answers(out, model, model.network(network), probes=probes, predict=predict)
