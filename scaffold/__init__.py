"""The beginning of a model of one's own: a folder of models/ that trains, exports and passes its tests."""

import keyword
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import NamedTuple

from contract.errors import UsageError
from contract.files import beside
from inspection import Kind, inspect
from inspection.onnx_file import Onnx
from scaffold.sample import write_sample
from scaffold.tensors import tensor_lines

__all__ = ["Written", "write_model"]

_TEMPLATES = Path(__file__).with_name("templates")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SUFFIX = ".tmpl"


class Written(NamedTuple):
    """Where the new model is, and its test."""

    model: Path
    test: Path


def write_model(root: Path, name: str, framework: str, file: Path | None = None) -> Written:
    """Writes ``models/<name>/`` and ``tests/models/<name>/``; both or none.

    Args:
        root: the project's folder.
        name: of the model; a Python name.
        framework: a folder of templates/: torch, keras or onnx.
        file: for onnx, the file that is copied into the folder; a small one is made where there is none.

    Raises:
        UsageError: the name is not possible or taken, or the file is none that ONNX Runtime can be asked for.
        FormatError: the file is damaged.
    """
    model, test = root / "models" / name, root / "tests" / "models" / name
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is no name for a model: lower-case letters, digits and _, as Python has them")
    for folder in (model, test):
        if folder.exists():
            raise UsageError(f"{folder.relative_to(root)}/ is there already; choose another name")
    if file and framework != "onnx":
        raise UsageError("--file is for --from onnx; a torch or Keras model is code, which goes into the folder")
    with ExitStack() as both:
        new_model, new_test = both.enter_context(beside(model)), both.enter_context(beside(test))
        for folder in (new_model, new_test):
            folder.mkdir()
        words = {"name": name, "title": name.replace("_", " ")}
        if framework == "onnx":
            words |= _with_file(new_model, file)
        for template in sorted((_TEMPLATES / framework).glob(f"*{_SUFFIX}")):
            target = new_test if template.name.startswith("test_") else new_model
            text = Template(template.read_text(encoding="utf-8")).substitute(words)
            path = target / template.name.removesuffix(_SUFFIX).replace("NAME", name)
            path.write_text(text, encoding="utf-8")
    return Written(model, test)


def _with_file(folder: Path, file: Path | None) -> dict[str, str]:
    """Puts ``model.onnx`` into the folder, and says what it takes and gives."""
    copy = folder / "model.onnx"
    if file is None:
        write_sample(copy)
    inspected = inspect(file or copy)
    if inspected.kind is not Kind.ONNX or not isinstance(inspected.content, Onnx):
        raise UsageError(f"{file}: a {inspected.kind} file, not an ONNX file")
    if file:
        shutil.copyfile(file, copy)
        for external in inspected.content.external_files:
            if external.state != "whole":
                raise UsageError(f"{file}: its external data {external.file} is {external.state}")
            (folder / external.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.parent / external.file, folder / external.file)
    borders = inspected.content.inputs_and_outputs
    return {side: tensor_lines(borders, side.removesuffix("s")) for side in ("inputs", "outputs")}
