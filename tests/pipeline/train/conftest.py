"""Golden vectors for a spec, and what a stage of training gets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.golden import Golden, GoldenVector, write_golden
from contract.model_spec import ModelSpec


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[ModelSpec], Path]:
    """Writes one golden vector of a spec, batch 1."""

    def written(spec: ModelSpec) -> Path:
        inputs, outputs = (
            {tensor.name: np.full(tensor.sized({"batch": 1}), 0.5, tensor.dtype) for tensor in tensors}
            for tensors in (spec.inputs, spec.outputs)
        )
        vector = GoldenVector("middle", inputs, outputs)
        write_golden(tmp_path / "golden.json", Golden(spec.name, 0, spec.inputs, spec.outputs, (vector,)))
        return tmp_path / "golden.json"

    return written
