"""What a model file holds, told without running it and without a framework.

Nothing of a file is trusted: what it states is held against its size before it is followed, no pickle is opened, and
weights are not read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from contract.errors import FormatError, UsageError
from contract.store import versions
from inspection.damage import DamagedError
from inspection.keras_file import KerasFile, is_keras, read_keras
from inspection.manifests import ManifestState, manifest_of
from inspection.onnx_file import Onnx, is_onnx, read_onnx
from inspection.safetensors_file import LENGTH_BYTES, Safetensors, read_safetensors
from inspection.saved_model import DEFINITION, SavedModel, read_saved_model
from inspection.tflite import IDENTIFIER, Tflite, read_tflite
from inspection.torch_export import Pt2, entry_names, is_pt2, read_pt2

__all__ = ["Inspection", "Kind", "inspect", "kind_of"]


class Kind(StrEnum):
    """The formats that are known."""

    ONNX = "onnx"
    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"
    SAFETENSORS = "safetensors"
    PT2 = "pt2"
    KERAS = "keras"


_NAMES = {
    Kind.ONNX: "ONNX file",
    Kind.SAVED_MODEL: "SavedModel",
    Kind.TFLITE: "TFLite file",
    Kind.SAFETENSORS: "safetensors file",
    Kind.PT2: "torch.export archive",
    Kind.KERAS: "Keras file",
}

_SUFFIXES = {
    ".onnx": Kind.ONNX,
    ".tflite": Kind.TFLITE,
    ".safetensors": Kind.SAFETENSORS,
    ".pt2": Kind.PT2,
    ".keras": Kind.KERAS,
}
"""What a file was meant to be, if its content does not tell: then its reader says what is wrong with it."""

_MAX_REASON = 400
"""Characters of a reason: the name of a tensor in a damaged file can have millions."""

_PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle")

_PICKLE = (
    "a pickle: reading it would run the code in it, so it is not opened; save weights as .safetensors "
    "(safetensors.torch.save_file) or the program as .pt2 (torch.export.save)"
)

_ZIP = b"PK\x03\x04"
_GIT_LFS = b"version https://git-lfs"
_PICKLE_MARK, _PICKLE_PROTOCOLS = 0x80, range(2, 6)
"""A pickle begins with this byte and its protocol; protocols 0 and 1 have no such beginning (pickletools.py)."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds.

    Attributes:
        file: its path, as given.
        kind: its format.
        size_bytes: of the file, or of all files in the folder.
        content: what is particular to the format.
        manifest: what the chain wrote of it, or None.
    """

    file: str
    kind: Kind
    size_bytes: int
    content: Onnx | SavedModel | Tflite | Safetensors | Pt2 | KerasFile
    manifest: ManifestState | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; the content's fields stand beside the others."""
        values = asdict(self)
        content = values.pop("content")
        manifest = values.pop("manifest")
        return {**values, **content, "manifest": manifest}


def kind_of(path: Path) -> Kind:
    """The format of a file or folder, by its content first and by its suffix where the content does not tell.

    Raises:
        UsageError: there is no such file.
        FormatError: it is empty, a pickle, or of no known kind.
    """
    with _readable(path):
        return _folder_kind(path) if path.is_dir() else _file_kind(path)


def inspect(path: Path) -> Inspection:
    """Tells what a file or folder holds.

    Raises:
        UsageError: there is no such file.
        FormatError: it is damaged, unsafe to look into, or of no known kind.
    """
    kind = kind_of(path)
    with _readable(path):
        try:
            content = _content(path, kind)
        except DamagedError as err:
            raise FormatError(f"{path}: a damaged {_NAMES[kind]}: {str(err)[:_MAX_REASON]}") from err
        size = (
            sum(file.size_bytes for file in content.files) if isinstance(content, SavedModel) else path.stat().st_size
        )
        return Inspection(str(path), kind, size, content, manifest_of(path))


def _content(path: Path, kind: Kind) -> Onnx | SavedModel | Tflite | Safetensors | Pt2 | KerasFile:
    with (path / DEFINITION if kind is Kind.SAVED_MODEL else path).open("rb") as file:
        match kind:
            case Kind.SAFETENSORS:
                return read_safetensors(file, path.stat().st_size)
            case Kind.PT2:
                return read_pt2(file)
            case Kind.KERAS:
                return read_keras(file)
        with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
            match kind:
                case Kind.ONNX:
                    return read_onnx(path, mapped)
                case Kind.TFLITE:
                    return read_tflite(mapped)
                case Kind.SAVED_MODEL:
                    return read_saved_model(path, mapped)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says which file cannot be read, and why."""
    try:
        yield
    except FileNotFoundError as err:
        raise UsageError(f"{err.filename or path}: there is no such file") from err
    except OSError as err:
        raise FormatError(f"{err.filename or path}: cannot be read: {err.strerror or err}") from err


def _folder_kind(path: Path) -> Kind:
    if (path / DEFINITION).is_file():
        if not (path / DEFINITION).stat().st_size:
            raise FormatError(f"{path}: a damaged {_NAMES[Kind.SAVED_MODEL]}: its {DEFINITION} is empty")
        return Kind.SAVED_MODEL
    if found := versions(path):
        raise FormatError(f"{path}: the folder of a servable; look at one of its versions: {path / str(max(found))}")
    raise FormatError(f"{path}: a folder without {DEFINITION}, so not a SavedModel")


def _file_kind(path: Path) -> Kind:
    if not path.is_file():
        raise UsageError(f"{path}: {'not a regular file' if path.exists() else 'there is no such file'}")
    with path.open("rb") as file:
        head = file.read(len(_GIT_LFS))
        if not head:
            raise FormatError(f"{path}: the file is empty")
        if head == _GIT_LFS:
            raise FormatError(f"{path}: a pointer of Git LFS instead of the file; `git lfs pull` gets it")
        if head[4:8] == IDENTIFIER:
            return Kind.TFLITE
        names = entry_names(file) if head.startswith(_ZIP) else []
        if is_pt2(names):
            return Kind.PT2
        if is_keras(names):
            return Kind.KERAS
        if _is_pickle(head, names):
            raise FormatError(f"{path}: {_PICKLE}")
        size = path.stat().st_size
        length = int.from_bytes(head[:LENGTH_BYTES], "little")
        if head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and length <= size - LENGTH_BYTES:
            return Kind.SAFETENSORS
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            if is_onnx(content):
                return Kind.ONNX
    if path.suffix in _PICKLE_SUFFIXES:
        raise FormatError(f"{path}: {_PICKLE}")
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    known = ", ".join(_NAMES.values())
    raise FormatError(f"{path}: of no kind that is known here ({known})")


def _is_pickle(head: bytes, names: list[str]) -> bool:
    """Whether a file is a pickle, or a zip file around one, which is what torch.save and TorchScript write."""
    is_bare = len(head) > 1 and head[0] == _PICKLE_MARK and head[1] in _PICKLE_PROTOCOLS
    return is_bare or any(Path(name).name == "data.pkl" for name in names)
