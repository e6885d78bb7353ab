"""What a build folder publishes, and whether it is as its manifests say. Standard library only.

Manifests alone are read, however large the files are, until `damages` is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import ManifestError, UsageError
from contract.hints import hint
from contract.store import MANIFEST_NAME, Manifest, damaged_files, leftovers, read_manifest, versions

__all__ = ["Artifact", "all_leftovers", "artifacts", "damages", "published"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version of a servable, or a TFLite file.

    Attributes:
        path: the version's folder, or the .tflite file.
        servable: the name it is served under.
        version: its number, or None for a TFLite file.
        recipe: the TFLite recipe, or None for a version, which has none.
        is_newest: whether servers load it: the highest version of its servable, or a TFLite file, which has no other.
        manifest: who made it, or None where that cannot be read.
        error: why it cannot be read.
    """

    path: Path
    servable: str
    version: int | None
    recipe: str | None
    is_newest: bool
    manifest: Manifest | None
    error: str = ""

    @property
    def folder(self) -> Path:
        """The folder that the manifest lies in, and that its file names are relative to."""
        return self.path.parent if self.version is None else self.path

    @property
    def size_bytes(self) -> int | None:
        """Of all its files together, as the manifest has it."""
        return sum(record.size_bytes for record in self.manifest.files.values()) if self.manifest else None

    @property
    def made_by(self) -> tuple[str, ...]:
        """Exporter and converter; nothing for a network that did not go through ONNX."""
        if self.manifest is None or self.manifest.opset is None:
            return ()
        config = self.manifest.config
        chosen = (hop["converter"] for hop in self.manifest.parity if "converter" in hop)
        return tuple(str(name) for name in (config.get("exporter"), next(chosen, config.get("converter"))) if name)

    @property
    def max_abs_diff(self) -> float | None:
        """The largest difference from the step before, over all hops; None where nothing was measured."""
        return max((check["max_abs_diff"] for check in _verified(self.manifest)), default=None)

    @property
    def verified_by(self) -> tuple[str, ...]:
        """The runtimes that gave the right answers for this file, with their versions: those of the last hop."""
        hops = self.manifest.parity[-1:] if self.manifest else ()
        return tuple(
            f"{check['runtime']} {check['version']}" if "version" in check else check["runtime"]
            for hop in hops
            for check in hop["checks"]
            if check["verdict"] == "verified"
        )

    def to_dict(self, build: Path) -> dict[str, Any]:
        """A JSON object."""
        manifest = self.manifest
        return {
            "path": self.path.relative_to(build).as_posix(),
            "servable": self.servable,
            "version": self.version,
            "recipe": self.recipe,
            "newest": self.is_newest,
            "size_bytes": self.size_bytes,
            "seed": manifest.config.get("seed") if manifest else None,
            "opset": manifest.opset if manifest else None,
            "made_by": list(self.made_by),
            "max_abs_diff": self.max_abs_diff,
            "verified_by": list(self.verified_by),
            "made_from": dict(manifest.made_from) if manifest else {},
            "error": self.error or None,
        }


def published(build: Path, servable: str | None = None) -> list[Artifact]:
    """All that is published, or what is of one servable: versions first, then TFLite files.

    Raises:
        UsageError: nothing of that servable is published; names the nearest.
    """
    found = list(artifacts(build))
    if servable is None:
        return found
    known = dict.fromkeys(artifact.servable for artifact in found)
    if servable not in known:
        raise UsageError(f"no servable {servable!r} in {build}; {hint(servable, known)}")
    return [artifact for artifact in found if artifact.servable == servable]


def artifacts(build: Path) -> Iterator[Artifact]:
    """All that is published, in the order of its names, versions ascending."""
    for base in sorted((build / "serving").glob("[!.]*")):
        numbered = versions(base)
        for number, folder in numbered.items():
            manifest, error = _manifest(folder / MANIFEST_NAME)
            yield Artifact(folder, base.name, number, None, number == max(numbered), manifest, error)
    tflite = build / "tflite"
    # A manifest without its file, too: what is missing is to be seen.
    stems = {path.stem for pattern in ("*.tflite", "*.json") for path in tflite.glob(f"[!.]{pattern}")}
    for stem in sorted(stems):
        manifest, error = _manifest(tflite / f"{stem}.json")
        servable, _, recipe = stem.partition(".")
        yield Artifact(tflite / f"{stem}.tflite", servable, None, recipe or None, True, manifest, error)


def damages(artifact: Artifact) -> list[str]:
    """What is wrong with an artifact: one line for each file that is missing or has changed, with its path."""
    if artifact.manifest is None:
        return [artifact.error]
    return [str(damage) for damage in damaged_files(artifact.manifest, artifact.folder)]


def all_leftovers(build: Path) -> list[Path]:
    """What killed runs left among the published files. A run that is at work has such files too."""
    folders = ("serving", "serving/[!.]*", "tflite", "golden", "report")
    return [path for pattern in folders for folder in sorted(build.glob(pattern)) for path in leftovers(folder)]


def _manifest(path: Path) -> tuple[Manifest | None, str]:
    if not path.is_file():
        return None, f"{path.parent if path.name == MANIFEST_NAME else path.with_suffix('.tflite')}: has no manifest"
    try:
        manifest = read_manifest(path)
        _check_parity(manifest, path)
    except ManifestError as err:
        return None, str(err)
    return manifest, ""


def _check_parity(manifest: Manifest, path: Path) -> None:
    """What a manifest says of its parity is free up to here; what a listing shows has to be there.

    Raises:
        ManifestError: a hop has no list of checks, or a check lacks a key.
    """
    for hop in manifest.parity:
        checks = hop.get("checks") if isinstance(hop, Mapping) else None
        if not isinstance(checks, list) or not all(_is_check(check) for check in checks):
            raise ManifestError(f"{path}: parity: {hop!r} has no list of checks")


def _is_check(check: Any) -> bool:
    if not isinstance(check, Mapping) or not {"runtime", "verdict"} <= set(check):
        return False
    return check["verdict"] != "verified" or isinstance(check.get("max_abs_diff"), int | float)


def _verified(manifest: Manifest | None) -> Sequence[Mapping[str, Any]]:
    hops = manifest.parity if manifest else ()
    return [check for hop in hops for check in hop["checks"] if check["verdict"] == "verified"]
