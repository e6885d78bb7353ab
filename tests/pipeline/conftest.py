"""A spec and its probes as the files that stages read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.files import write_json
from contract.model_spec import ModelSpec
from pipeline.data import load_data
from pipeline.verify.probes import make_probes, write_probes


@pytest.fixture(scope="session")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelSpec], Path]:
    """Writes a spec as ``spec.json``."""

    def written(spec: ModelSpec) -> Path:
        path = tmp_path_factory.mktemp("spec") / "spec.json"
        write_json(path, spec.to_dict())
        return path

    return written


@pytest.fixture(scope="session")
def probes_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelSpec], Path]:
    """Writes the probes of a spec into a folder."""

    def written(spec: ModelSpec) -> Path:
        folder = tmp_path_factory.mktemp("probes")
        write_probes(folder, make_probes(spec, load_data(spec, None)))
        return folder

    return written
