"""The file-system source: which versions of each model lie on disk, and which of them are wanted.

Source: file_system_storage_path_source.cc of TensorFlow Serving.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MonitoredModel", "aspired_versions"]

_log = logging.getLogger(__name__)

_VERSION = re.compile(r"[+-]?[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class MonitoredModel:
    """Where the versions of a model lie, and which of them are wanted.

    Attributes:
        base_path: the folder of the version folders.
        policy: ``FileSystemStoragePathSourceConfig.ServableVersionPolicy``.
    """

    base_path: str
    policy: Any


def aspired_versions(
    models: Mapping[str, MonitoredModel], *, skips_unreadable: bool = False
) -> dict[str, dict[int, Path]]:
    """The wanted versions of every model and their folders.

    Args:
        models: by name.
        skips_unreadable: leave out a model whose base path cannot be read, instead of giving up.

    Raises:
        OSError: a base path cannot be read; then nobody gets new versions in this round.
    """
    found = {}
    for name, model in models.items():
        try:
            found[name] = _wanted(name, model)
        except OSError as err:
            if not skips_unreadable:
                raise
            _log.error("The versions of %s cannot be looked at: %s", name, err)
    return found


def _wanted(name: str, model: MonitoredModel) -> dict[int, Path]:
    found = _versions(Path(model.base_path))
    if not found:
        _log.warning("No versions of servable %s found under base path %s", name, model.base_path)
    kind = model.policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        missing = [version for version in model.policy.specific.versions if version not in found]
        for version in missing:
            _log.warning("Version %d of servable %s, which was requested to be served, was not found", version, name)
        return {version: found[version] for version in model.policy.specific.versions if version in found}
    number = model.policy.latest.num_versions or 1
    return {version: found[version] for version in sorted(found)[-number:]}


def _versions(base_path: Path) -> dict[int, Path]:
    """The children whose whole name is an int64; there is no look inside."""
    found: dict[int, Path] = {}
    for child in sorted(base_path.iterdir()):
        if not _VERSION.fullmatch(child.name) or not -(2**63) <= int(child.name) < 2**63:
            continue
        version = int(child.name)
        if version in found:
            _log.warning(
                "Duplicate version directories: %d is loaded from %s, not from %s", version, child, found[version]
            )
        found[version] = child
    return found
