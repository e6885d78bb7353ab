"""Puts verified files where servers and devices take them from, each with its manifest. Standard library only."""

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.files import beside, sha256, write_json
from contract.store import (
    FileRecord,
    Format,
    Manifest,
    publish_version,
    record_files,
    remove_old_versions,
    versions,
)
from pipeline.refusal import read_refusal
from pipeline.stage import Result

__all__ = ["publish_golden", "publish_saved_model", "publish_tflite"]

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "onnx", "onnx-tf", "onnxruntime", "onnxscript", "tensorflow", "torch")
_MADE_FROM = "made_from_"
_PARITY = "parity_"


def publish_saved_model(
    *,
    out: Path,
    build: Path,
    saved_model: Path,
    model: str,
    servable: str,
    config: Mapping[str, Any],
    keep: int | None,
    **history: Path,
) -> Result:
    """Publishes ``serving/<servable>/<version>/``: the next number, or the newest again if its bytes are the same.

    Args:
        out: gets ``version.json``.
        build: the build folder.
        saved_model: what to publish.
        model: the model's name.
        servable: the name it is served under.
        config: the effective configuration of the export.
        keep: how many versions stay, or None for all.
        **history: the chain up to here: ``made_from_<name>`` is a file that it was made from, ``parity_<n>`` the
            parity.json of a hop, in order; ``made_from_onnx_info`` is the onnx.json of the ONNX hop.
    """
    base = build / "serving" / servable
    files = record_files(saved_model)
    manifest = _manifest(Format.SAVED_MODEL, model, servable, config, files, {}, history)
    version = publish_version(base, saved_model, manifest)
    if keep is not None:
        remove_old_versions(base, keep)
    write_json(out / "version.json", {"version": version})
    folder = versions(base)[version].relative_to(build).as_posix()
    return {"note": f"version {version}", "published": [f"{folder}/{name}" for name in (*files, "manifest.json")]}


def publish_tflite(
    *,
    out: Path,
    build: Path,
    converted: Path,
    verified: Path,
    recipe: str,
    model: str,
    servable: str,
    config: Mapping[str, Any],
    **history: Path,
) -> Result:
    """Publishes ``tflite/<servable>.<recipe>.tflite`` and its manifest beside it; see `publish_saved_model`.

    Where the conversion was refused, an earlier file of that name goes: it is not of this export.

    Args:
        out: stays empty.
        build: the build folder.
        converted: folder with the file and its recipe.
        verified: folder with its tensors.
        recipe: the recipe's name.
        model: the model's name.
        servable: the name that the network is served under.
        config: the effective configuration of the export.
        **history: see `publish_saved_model`.
    """
    target = build / "tflite" / f"{servable}.{recipe}.tflite"
    if read_refusal(converted):
        for path in (target.with_suffix(".json"), target):
            path.unlink(missing_ok=True)
        return {}
    tflite = converted / "model.tflite"
    details = {
        "recipe": json.loads((converted / "recipe.json").read_text(encoding="utf-8")),
        **json.loads((verified / "tensors.json").read_text(encoding="utf-8")),
    }
    files = {target.name: FileRecord(size_bytes=tflite.stat().st_size, sha256=sha256(tflite))}
    manifest = _manifest(Format.TFLITE, model, servable, config, files, details, history)
    with beside(target) as temporary:
        shutil.copyfile(tflite, temporary)
    write_json(target.with_suffix(".json"), manifest.to_dict())
    return {"published": [path.relative_to(build).as_posix() for path in (target, target.with_suffix(".json"))]}


def publish_golden(*, out: Path, build: Path, golden: Path, servable: str) -> Result:
    """Publishes ``golden/<servable>.json``, against which every device checks itself."""
    target = build / "golden" / f"{servable}.json"
    with beside(target) as temporary:
        shutil.copyfile(golden, temporary)
    return {"published": [target.relative_to(build).as_posix()]}


def _manifest(
    kind: Format,
    model: str,
    servable: str,
    config: Mapping[str, Any],
    files: Mapping[str, FileRecord],
    details: Mapping[str, Any],
    history: Mapping[str, Path],
) -> Manifest:
    onnx_info = history.get(f"{_MADE_FROM}onnx_info")
    return Manifest(
        format=kind,
        model=model,
        servable=servable,
        config=config,
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        opset=json.loads(onnx_info.read_text(encoding="utf-8"))["opset"] if onnx_info else None,
        files=files,
        made_from={
            name.removeprefix(_MADE_FROM): sha256(path)
            for name, path in sorted(history.items())
            if name.startswith(_MADE_FROM)
        },
        parity=tuple(_summary(path) for name, path in sorted(history.items()) if name.startswith(_PARITY)),
        details=details,
    )


def _summary(parity: Path) -> dict[str, Any]:
    """A parity.json without the single answers."""
    measured = json.loads(parity.read_text(encoding="utf-8"))
    checks = [{key: value for key, value in check.items() if key != "answers"} for check in measured["checks"]]
    return {**measured, "checks": checks}
