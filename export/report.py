"""What an export made, as one JSON file that the table, the dashboard and scripts read. Standard library only."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.files import tree_files, write_json
from pipeline.refusal import read_refusal
from pipeline.stage import Result

__all__ = ["report_path", "stages_path", "write_report"]


def report_path(build: Path, model: str) -> Path:
    """Where the report of a model's last export is."""
    return build / "report" / f"{model}.json"


def stages_path(build: Path) -> Path:
    """Where the last run of the chain is described: its report, and time and memory of each stage."""
    return build / "report.json"


def write_report(
    *,
    out: Path,
    build: Path,
    model: str,
    origin: Mapping[str, Any],
    config: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
    **files: Path,
) -> Result:
    """Writes ``report/<model>.json``: a row for each verified step, with its size, its parity and its answers.

    Args:
        out: stays empty.
        build: the build folder.
        model: the model's name.
        origin: what the model was made of, so that the same can be exported or verified again.
        config: the effective configuration of the export.
        rows: each has ``name``, and ``key``, under which ``files`` has its ``parity_<key>``, and where it has them, the
            folder ``artifact_<key>`` and ``version_<key>``; ``artifact`` is what to weigh in that folder, ``published``
            a path in the build folder, with ``{version}``.
        **files: see above.
    """
    report = {"model": model, "origin": origin, "config": config, "rows": [_row(row, files) for row in rows]}
    write_json(report_path(build, model), report)
    return {"published": [report_path(build, model).relative_to(build).as_posix()]}


def _row(row: Mapping[str, str], files: Mapping[str, Path]) -> dict[str, Any]:
    key = row["key"]
    artifact, version = files.get(f"artifact_{key}"), files.get(f"version_{key}")
    number = _read(version)["version"] if version else None
    is_there = artifact is not None and not read_refusal(artifact)
    return {
        "name": row["name"],
        "published": row["published"].format(version=number) if "published" in row and is_there else None,
        "size_bytes": _size(artifact / row["artifact"]) if artifact and is_there else None,
        **_read(files[f"parity_{key}"]),
    }


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum((path / name).stat().st_size for name in tree_files(path))
