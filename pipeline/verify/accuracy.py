"""How many labelled rows a network or a file gets right."""

from collections.abc import Mapping, Sequence

import numpy as np

from contract.arrays import Array, Tensors
from pipeline.verify.probes import Kind, Probe

__all__ = ["accuracy", "classes"]


def accuracy(probes: Sequence[Probe], outputs: Mapping[str, Tensors], output: str) -> dict[str, int] | None:
    """Rows that are right, and rows in all: of the data for evaluation, or of the golden vectors where there is none.

    Args:
        probes: the calls.
        outputs: the answers to them, by the probe's name.
        output: the output that has the scores: see `classes`.

    Returns:
        ``{"right": n, "of": n}``, or None where nothing is labelled.
    """
    labelled = [probe for probe in probes if probe.labels is not None]
    chosen = [probe for probe in labelled if probe.kind is Kind.EVALUATION] or labelled
    right = [classes(outputs[probe.name][output]) == probe.labels for probe in chosen]
    if not right:
        return None
    return {"right": sum(int(np.sum(row)) for row in right), "of": sum(np.size(row) for row in right)}


def classes(scores: Array) -> Array:
    """The class of each row: whether a single score is over one half, else the position of the largest.

    Args:
        scores: [..., classes], or [..., 1].
    """
    if scores.shape[-1] == 1:
        found: Array = (scores[..., 0] > 0.5).astype(np.int64)
        return found
    largest: Array = np.argmax(scores, axis=-1)
    return largest
