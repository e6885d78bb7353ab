"""What `showdown new` writes: it passes every check of the project, and its own tests, as it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import FormatError, UsageError
from contract.files import tree_files
from scaffold import write_model

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ["torch", "keras", "onnx"]
LONG = "a_model_with_a_name_of_forty_characters_"


def checked(*command: str, root: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ["flowers", LONG])
def test_it_passes_ruff(tmp_path, framework, name):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "contract").symlink_to(ROOT / "contract")  # by which ruff tells what is ours
    write_model(tmp_path, name, framework)
    checked("ruff", "check", "models", "tests", root=tmp_path)
    checked("ruff", "format", "--check", "models", "tests", root=tmp_path)


@pytest.mark.slow
def test_it_passes_mypy_and_its_own_tests_in_a_clone(tmp_path, clone):
    tree = clone(tmp_path / "tree")
    for framework in FRAMEWORKS:
        write_model(tree, f"my_{framework}", framework)
    folders = [f"{top}my_{framework}" for framework in FRAMEWORKS for top in ("models/", "tests/models/")]
    checked("mypy", *folders, root=tree)
    assert "3 passed" in checked("pytest", "-q", *(folder for folder in folders if "tests" in folder), root=tree)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_files_are_few_and_named_after_the_model(tmp_path, framework):
    written = write_model(tmp_path, "flowers", framework)
    assert (written.model, written.test) == (tmp_path / "models/flowers", tmp_path / "tests/models/flowers")
    own = {"onnx": {"model.onnx"}}.get(framework, {"data.py", f"{framework}_net.py"})
    assert set(tree_files(written.model)) == {"__init__.py", "spec.py", *own}
    assert tree_files(written.test) == ["test_flowers.py"]
    assert not any("$" in path.read_text() for path in written.model.glob("*.py"))


@pytest.mark.parametrize("name", ["", "Flowers", "../flowers", "a/b", "class", "2nd", "a-b", "a b", ".hidden"])
def test_a_name_that_python_does_not_take_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="is no name for a model"):
        write_model(tmp_path, name, "torch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["models/flowers", "tests/models/flowers"])
def test_what_is_there_is_not_overwritten(tmp_path, taken):
    (tmp_path / taken).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=f"{taken}/ is there already"):
        write_model(tmp_path, "flowers", "torch")
    assert sorted(tmp_path.rglob("*")) == before


def write_onnx(folder: Path, *, shape: bool = True, external: bool = False) -> Path:
    from onnx import TensorProto, helper, save

    axes = ["batch", None, 4] if shape else None
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in ("a", "b.1")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b.1"], ["s"]), helper.make_node("Mul", ["s", "w"], ["y"])],
        "graph",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [helper.make_tensor("w", TensorProto.FLOAT, [4], b"\0" * 16, raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = folder / "mine.onnx"
    save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path


def test_a_file_of_ones_own_is_copied_and_its_tensors_are_declared(tmp_path):
    file = write_onnx(tmp_path, external=True)
    written = write_model(tmp_path / "tree", "flowers", "onnx", file)
    assert (written.model / "model.onnx").read_bytes() == file.read_bytes()
    assert (written.model / "weights.bin").read_bytes() == b"\0" * 16
    spec = (written.model / "spec.py").read_text()
    assert '        TensorSpec("b.1", "float32", ("batch", "axis1", 4)),\n' in spec
    assert '    outputs=(TensorSpec("y", "float32", ("batch", "axis1", 4)),),\n' in spec


def test_a_file_that_is_none_leaves_nothing(tmp_path):
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x08\x12")
    with pytest.raises(FormatError, match=r"cut\.onnx"):
        write_model(tmp_path / "tree", "flowers", "onnx", tmp_path / "cut.onnx")
    with pytest.raises(UsageError, match="there is no such file"):
        write_model(tmp_path / "tree", "flowers", "onnx", tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="has no shape in the file"):
        write_model(tmp_path / "tree", "flowers", "onnx", write_onnx(tmp_path, shape=False))
    with pytest.raises(UsageError, match="--file is for --from onnx"):
        write_model(tmp_path / "tree", "flowers", "torch", tmp_path / "cut.onnx")
    assert not any(path.is_file() for path in (tmp_path / "tree").rglob("*"))
