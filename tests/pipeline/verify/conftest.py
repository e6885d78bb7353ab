"""Models that are right and models that are broken, and fresh processes to verify them in."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contract.model_spec import ModelSpec
from models.or_gate.spec import SPEC
from pipeline.oracle import train
from pipeline.verify.probes import Kind

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SEED = 0

Check = Callable[..., dict[str, Any]]


class Truth(NamedTuple):
    """Files that a verification reads: the spec, the folder of the probes, and the right answers."""

    spec: Path
    probes: Path
    outputs: Path


def _python(program: str, *arguments: object, stdin: bytes = b"") -> bytes:
    """The output of a program of this folder in a fresh process that finds the packages of the project."""
    done = subprocess.run(
        [sys.executable, HERE / program, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    return done.stdout


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all models that TensorFlow makes: see make_models.py."""
    folder = tmp_path_factory.mktemp("models")
    _python("make_models.py", folder)
    return folder


@pytest.fixture(scope="session")
def truth(
    tmp_path_factory: pytest.TempPathFactory,
    spec_file: Callable[[ModelSpec], Path],
    probes_of: Callable[[ModelSpec], Path],
) -> Truth:
    """The OR gate's spec and probes, and the oracle's answers to them."""
    folder = tmp_path_factory.mktemp("oracle")
    spec, probes = spec_file(SPEC), probes_of(SPEC)
    train(out=folder, spec=spec, probes=probes, seed=SEED)
    return Truth(spec, probes, folder / "outputs.npz")


@pytest.fixture
def check(truth: Truth, tmp_path: Path, spec_file: Callable[[ModelSpec], Path]) -> Check:
    """Verifies a file in a fresh process: see check.py. Gives the reply, with what parity.json says."""

    def checked(
        call: str,
        artifact: Path,
        *,
        kinds: Sequence[str] = [kind.value for kind in Kind],
        hidden: Sequence[str] = (),
        spec: ModelSpec | None = None,
        against: Truth = truth,
        **arguments: object,
    ) -> dict[str, Any]:
        arguments = {
            "out": tmp_path,
            "spec": spec_file(spec) if spec else against.spec,
            "probes": against.probes,
            "expected": against.outputs,
            "artifact": artifact,
            "kinds": kinds,
            **arguments,
        }
        request = {"call": call, "arguments": arguments, "hidden": hidden}
        reply: dict[str, Any] = pickle.loads(_python("check.py", stdin=pickle.dumps(request)))
        if "result" in reply:
            reply["parity"] = json.loads((tmp_path / "parity.json").read_text(encoding="utf-8"))
        return reply

    return checked
