"""`load` and `version`: what does not depend on the runtime."""

import importlib.metadata
from pathlib import Path

import pytest

import runtimes
import runtimes.installed
from contract.errors import RuntimeAbsentError, UsageError


def test_unknown_runtime():
    with pytest.raises(UsageError, match="no runtime 'tensorrt': choose one of onnxruntime, "):
        runtimes.load("tensorrt", Path("model"))
    with pytest.raises(UsageError, match="tensorrt"):
        runtimes.version("tensorrt")


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
def test_version_is_the_package_s(runtime):
    assert runtimes.version(runtime) == importlib.metadata.version(runtimes.installed.DISTRIBUTIONS[runtime].name)


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
def test_missing_file_is_named(runtime, tmp_path):
    with pytest.raises(UsageError, match=f"{tmp_path}/absent: there is no such"):
        runtimes.load(runtime, tmp_path / "absent")


def test_absent_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(
        runtimes.installed.DISTRIBUTIONS, "onnxruntime", runtimes.installed.Distribution("no-such-package", "get it")
    )
    with pytest.raises(RuntimeAbsentError, match=r"no-such-package is not installed here .*: get it"):
        runtimes.version("onnxruntime")
    with pytest.raises(RuntimeAbsentError, match=r"no_such_module.*: get it"):
        runtimes.installed.import_runtime("onnxruntime", "no_such_module")


def test_every_runtime_has_a_distribution():
    assert runtimes.RUNTIMES.keys() == runtimes.installed.DISTRIBUTIONS.keys()


def test_import_loads_no_runtime(python):
    loaded = python("import sys, runtimes; print(*sorted({name.partition('.')[0] for name in sys.modules}))").split()
    assert not {"onnxruntime", "tensorflow", "tflite_runtime", "ai_edge_litert", "google", "torch"} & set(loaded)
