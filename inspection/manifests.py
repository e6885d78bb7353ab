"""The manifest of a file that the chain has published."""

import json
from dataclasses import dataclass
from pathlib import Path

from contract.errors import ManifestError
from contract.store import MANIFEST_NAME, check_files, read_manifest

__all__ = ["ManifestState", "manifest_of"]


@dataclass(frozen=True, slots=True)
class ManifestState:
    """What the manifest of an artifact says, and whether it is still true.

    Attributes:
        file: the manifest.
        sha256_holds: whether every file has the SHA-256 that the manifest states.
        problem: what is wrong, or None.
        model: the model's name, or None where the manifest cannot be read, as in what follows.
        servable: the name it is served under.
        opset: ONNX opset that it went through.
        config: the configuration of the export.
        libraries: version of each library that took part.
    """

    file: str
    sha256_holds: bool
    problem: str | None = None
    model: str | None = None
    servable: str | None = None
    opset: int | None = None
    config: dict[str, object] | None = None
    libraries: dict[str, str] | None = None


def manifest_of(path: Path) -> ManifestState | None:
    """The manifest in a SavedModel's folder, or beside a file and of its name; None where there is none."""
    file = path / MANIFEST_NAME if path.is_dir() else path.with_suffix(".json")
    if not file.is_file() or not _is_manifest(file):
        return None
    try:
        manifest = read_manifest(file)
    except ManifestError as err:
        return ManifestState(str(file), sha256_holds=False, problem=str(err))
    problem = None
    try:
        check_files(manifest, file.parent)
        if path.is_file() and path.name not in manifest.files:
            problem = f"{file}: does not name {path.name}"
    except ManifestError as err:
        problem = str(err)
    return ManifestState(
        file=str(file),
        sha256_holds=problem is None,
        problem=problem,
        model=manifest.model,
        servable=manifest.servable,
        opset=manifest.opset,
        config=dict(manifest.config),
        libraries=dict(manifest.libraries),
    )


def _is_manifest(file: Path) -> bool:
    """Whether a file means to be a manifest: other programs write a .json beside a model too."""
    if file.name == MANIFEST_NAME:
        return True
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "manifest_version" in values
