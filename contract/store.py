"""Versions and manifests on disk: who wrote a file, from what, and how it was verified. Specified in docs/formats.md.

Standard library only: a server or a board reads manifests too.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Self

from contract.errors import ManifestError
from contract.files import beside, sha256, tree_files, write_json

__all__ = [
    "MANIFEST_NAME",
    "MANIFEST_VERSION",
    "FileRecord",
    "Format",
    "Manifest",
    "check_files",
    "damaged_files",
    "leftovers",
    "publish_version",
    "read_manifest",
    "record_files",
    "remove_leftovers",
    "remove_old_versions",
    "versions",
]

MANIFEST_VERSION = 1
MANIFEST_NAME = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]+")


class Format(Enum):
    """What an artifact is."""

    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size and digest of a file."""

    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.size_bytes, int) or self.size_bytes < 0:
            raise ManifestError(f"size_bytes {self.size_bytes!r} is no size")
        if not isinstance(self.sha256, str) or not _DIGEST.fullmatch(self.sha256):
            raise ManifestError(f"sha256 {self.sha256!r} is not 64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where an artifact comes from, and what was measured of it.

    Attributes:
        format: what the artifact is.
        model: the model's name.
        servable: the name it is served under.
        config: the effective configuration of the export, seed included.
        libraries: version of each library that took part.
        opset: ONNX opset that it went through, or None where it did not.
        files: every file of the artifact by its POSIX path relative to the manifest's folder.
        made_from: SHA-256 of each file that it was made from, by name.
        parity: one object for each verification on the way, in the order of the hops.
        details: what is particular to the format, such as a TFLite recipe.
    """

    format: Format
    model: str
    servable: str
    config: Mapping[str, Any]
    libraries: Mapping[str, str]
    opset: int | None
    files: Mapping[str, FileRecord]
    made_from: Mapping[str, str]
    parity: tuple[Mapping[str, Any], ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.files:
            parts = Path(name).parts
            is_inside = parts and not Path(name).is_absolute() and ".." not in parts and not {"\\", "\0"} & set(name)
            if not is_inside or parts[0] == MANIFEST_NAME:
                raise ManifestError(f"file name {name!r} is not a path inside the artifact's folder")

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return {
            "manifest_version": MANIFEST_VERSION,
            "format": self.format.value,
            "model": self.model,
            "servable": self.servable,
            "config": dict(self.config),
            "libraries": dict(self.libraries),
            "opset": self.opset,
            "files": {name: asdict(record) for name, record in self.files.items()},
            "made_from": dict(self.made_from),
            "parity": [dict(check) for check in self.parity],
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            ManifestError: another version, a key missing or unknown, or a value of the wrong kind.
        """
        version = values.get("manifest_version")
        if version != MANIFEST_VERSION:
            raise ManifestError(f"manifest_version is {version!r}, this program reads {MANIFEST_VERSION}")
        given = set(values) - {"manifest_version"}
        known = {entry.name for entry in fields(cls)}
        if given != known:
            raise ManifestError(f"keys missing: {sorted(known - given)}, unknown: {sorted(given - known)}")
        for name in ("model", "servable"):
            _expect(values, name, str)
        for name in ("config", "libraries", "files", "made_from", "details"):
            _expect(values, name, dict)
        _expect(values, "parity", list)
        if values["opset"] is not None:
            _expect(values, "opset", int)
        try:
            files = {name: FileRecord(**record) for name, record in values["files"].items()}
            kind = Format(values["format"])
        except (TypeError, ValueError) as err:
            raise ManifestError(str(err)) from err
        rest = {name: values[name] for name in known - {"files", "format", "parity"}}
        return cls(format=kind, files=files, parity=tuple(values["parity"]), **rest)


def _expect(values: Mapping[str, Any], name: str, kind: type) -> None:
    if not isinstance(values[name], kind):
        raise ManifestError(f"{name} is {type(values[name]).__name__}, not {kind.__name__}")


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Raises:
        ManifestError: the file is not there, is not JSON, or is no manifest; names the file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ManifestError(f"{path}: cannot be read: {err}") from err
    if not isinstance(values, dict):
        raise ManifestError(f"{path}: is not a JSON object")
    try:
        return Manifest.from_dict(values)
    except ManifestError as err:
        raise ManifestError(f"{path}: {err}") from err


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Size and digest of every file under a folder, but for the manifest itself."""
    return {
        name: FileRecord(size_bytes=(folder / name).stat().st_size, sha256=sha256(folder / name))
        for name in tree_files(folder)
        if name != MANIFEST_NAME
    }


def check_files(manifest: Manifest, folder: Path) -> None:
    """Holds the files under ``folder`` against their digests; files that the manifest does not name are not looked at.

    Raises:
        ManifestError: a file is missing or has changed; names it.
    """
    for damage in damaged_files(manifest, folder):
        raise damage


def damaged_files(manifest: Manifest, folder: Path) -> Iterator[ManifestError]:
    """What `check_files` would raise, for each file that is missing or has changed."""
    for name, record in manifest.files.items():
        path = folder / name
        try:
            is_same = path.stat().st_size == record.size_bytes and sha256(path) == record.sha256
        except (FileNotFoundError, NotADirectoryError):
            yield ManifestError(f"{path}: is missing; `make export` publishes it again")
        except OSError as err:
            yield ManifestError(f"{path}: cannot be read: {err.strerror}")
        else:
            if not is_same:
                yield ManifestError(f"{path}: has changed since it was published; remove it and run `make export`")


def versions(base: Path) -> dict[int, Path]:
    """The published versions of a servable, ascending: the folders whose whole name is a decimal number."""
    if not base.is_dir():
        return {}
    folders = [child for child in base.iterdir() if _NUMBER.fullmatch(child.name) and child.is_dir()]
    return {int(folder.name): folder for folder in sorted(folders, key=lambda folder: int(folder.name))}


def publish_version(base: Path, source: Path, manifest: Manifest) -> int:
    """Publishes a folder as the next version of a servable, unless the newest one holds the same bytes already.

    A server that polls ``base`` sees the version whole or not at all. A damaged version is never taken for the same
    bytes and never overwritten: what a server may have loaded stays what it was.

    Args:
        base: folder of the servable; its children are version numbers.
        source: folder that has the manifest's ``files``; nothing else of it is copied.
        manifest: written into the version's folder as ``manifest.json``.

    Returns:
        The version that now holds these bytes.
    """
    remove_leftovers(leftovers(base))
    present = versions(base)
    newest = max(present, default=0)
    # Only the newest counts: servers serve that one, so bytes that an older version holds are news again.
    if present and _holds(present[newest], manifest.files):
        return newest
    with beside(base / str(newest + 1)) as temporary:
        # File by file: copytree gathers the errors of the disk into one that has lost their numbers.
        for name in manifest.files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, temporary / name)
        write_json(temporary / MANIFEST_NAME, manifest.to_dict())
    return newest + 1


def leftovers(folder: Path) -> list[Path]:
    """What a killed publish or removal left beside the files of a folder; nothing else writes such names.

    One that is still at work has them too: its build folder is locked.
    """
    return sorted(path for pattern in (".*.partial", ".*.removed") for path in folder.glob(pattern))


def remove_leftovers(found: Iterable[Path]) -> None:
    """Removes what `leftovers` found; the caller knows that nothing is at work there."""
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _holds(folder: Path, files: Mapping[str, FileRecord]) -> bool:
    try:
        published = read_manifest(folder / MANIFEST_NAME)
        check_files(published, folder)
    except ManifestError:
        return False
    return dict(published.files) == dict(files)


def remove_old_versions(base: Path, keep: int) -> list[int]:
    """Removes all but the ``keep`` highest versions and returns the removed ones.

    A version is renamed before it is deleted: a server that polls never sees half of one.
    """
    removed = dict(list(versions(base).items())[:-keep])
    for version, folder in removed.items():
        trash = base / f".{version}.removed"
        folder.rename(trash)
        shutil.rmtree(trash)
    return list(removed)
