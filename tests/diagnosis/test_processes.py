"""Frameworks and runtimes in processes of their own, working and broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract.files import sha256, tree_files
from diagnosis import processes
from diagnosis.finding import State
from diagnosis.load_runtime import PROBES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Puts a package of this name before the installed one."""

    def put(name: str, source: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return put


def test_every_runtime_has_a_model_to_load():
    import runtimes

    assert set(PROBES) == set(runtimes.RUNTIMES) - {"torch", "keras"}


@pytest.mark.parametrize("runtime", PROBES)
def test_a_runtime_that_works(runtime):
    found = processes._runtime(ROOT, runtime)
    assert (found.state, found.name) == (State.OK, runtime), found.detail
    assert found.detail.endswith("loads a model and answers right")


def test_a_runtime_that_is_installed_and_cannot_be_imported_is_broken(fake):
    fake("onnxruntime", "raise ImportError('libcurious.so.7: cannot open shared object file')")
    found = processes._runtime(ROOT, "onnxruntime")
    assert found.state is State.FAILED
    assert "libcurious.so.7: cannot open shared object file" in found.detail
    assert "\n" not in found.detail
    assert "make setup" in found.remedy


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os; os.abort()", "is ended by SIGABRT"),
        ("import os, sys; print('bad\\nworse\\n', file=sys.stderr, flush=True); os.abort()", "SIGABRT: worse"),
        ("import os; os._exit(3)", "ends with exit status 3"),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size changed"),
    ],
)
def test_a_native_library_that_ends_the_process(fake, source, reason):
    fake("onnxruntime", source)
    found = processes._runtime(ROOT, "onnxruntime")
    assert found.state is State.FAILED
    assert reason in found.detail


def test_a_runtime_that_is_not_installed_is_absent(fake):
    fake(
        "sitecustomize",
        "import importlib.metadata as m\n"
        "def version(name):\n    raise m.PackageNotFoundError(name)\n"
        "m.version = version\n",
    )
    found = processes._runtime(ROOT, "tflite_runtime")
    assert found.state is State.ABSENT
    assert "ai_edge_litert does the same" in found.detail


def test_a_broken_numpy_is_said_of_each_runtime(fake):
    fake("numpy", "raise ImportError('no libopenblas')")
    found = processes._runtime(ROOT, "ai_edge_litert")
    assert (found.state, found.detail) == (State.FAILED, "ImportError: no libopenblas")


def test_a_framework_that_cannot_be_imported(fake):
    fake("torch", "raise OSError('libcudart.so.13: cannot open shared object file')")
    found = processes._worker(ROOT, "torch")
    assert (found.part, found.name, found.state) == ("worker", "torch", State.FAILED)
    assert found.detail == "OSError: libcudart.so.13: cannot open shared object file"


def test_a_framework_that_hangs(fake, monkeypatch):
    monkeypatch.setattr(processes, "_LONGEST_S", 1)
    fake("torch", "import time; time.sleep(100)")
    assert processes._worker(ROOT, "torch").detail == "does not come up within 1 s"


@pytest.mark.slow
def test_everything_comes_up():
    found = list(processes.started(ROOT))
    assert [(one.part, one.name) for one in found if one.state is not State.OK] == []
    assert [one.name for one in found] == ["torch", "tensorflow", "litert", "tensorflow_c", *PROBES]


@pytest.mark.slow
def test_the_models_are_what_the_script_writes(tmp_path):
    subprocess.run([sys.executable, "-m", "diagnosis.make_probes", tmp_path], cwd=ROOT, check=True, capture_output=True)
    kept = ROOT / "diagnosis/probe"
    assert {name: sha256(kept / name) for name in tree_files(kept)} == {
        name: sha256(tmp_path / name) for name in tree_files(tmp_path)
    }
