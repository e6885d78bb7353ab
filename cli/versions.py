"""`showdown versions`."""

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.errors import ManifestError
from contract.listing import Artifact, all_leftovers, damages, published

__all__ = ["versions"]

_HEADINGS = ("published", "newest", "bytes", "seed", "opset", "made by", "max |diff|", "verified by", "made from")
_RIGHT = {"bytes", "seed", "opset", "max |diff|"}
_SHORT = 8
"""Digits of a digest that people compare."""


def versions(options: Namespace) -> None:
    """Lists what is published, and with ``--check`` whether it still is what was published."""
    build = options.build_dir
    found = published(build, options.servable)
    leftovers = all_leftovers(build)
    problems = {artifact.path: damages(artifact) for artifact in found} if options.check else {}
    if options.json:
        print(json.dumps(_listing(build, found, problems, leftovers), indent=2))
    elif found:
        _print(build, found, problems)
    else:
        print(f"Nothing is published in {build}/; `showdown export` does it")
    if not options.json:
        for leftover in leftovers:
            print(f"{leftover}: left by a killed run, or written by one at work; the next export removes it")
    for problem in (line for lines in problems.values() for line in lines):
        print(f"showdown: {problem}", file=sys.stderr)
    damaged = sum(map(bool, problems.values()))
    if damaged:
        raise ManifestError(f"{damaged} of {len(found)} published artifacts are not as their manifests say")


def _listing(
    build: Path, found: Sequence[Artifact], problems: Mapping[Path, Sequence[str]], leftovers: Sequence[Path]
) -> dict[str, object]:
    rows = [
        artifact.to_dict(build) | ({"problems": problems[artifact.path]} if artifact.path in problems else {})
        for artifact in found
    ]
    return {"artifacts": rows, "leftovers": [path.relative_to(build).as_posix() for path in leftovers]}


def _print(build: Path, found: Sequence[Artifact], problems: Mapping[Path, Sequence[str]]) -> None:
    from cli.table import print_table

    headings = _HEADINGS[:2] + (("check",) if problems else ()) + _HEADINGS[2:]
    rows = []
    for artifact in found:
        first, newest, *rest = _row(build, artifact)
        check = ["damaged" if problems[artifact.path] else "ok"] if problems else []
        rows.append([first, newest, *check, *rest])
    print_table(headings, rows, _RIGHT)


def _row(build: Path, artifact: Artifact) -> list[str]:
    name = artifact.path.relative_to(build).as_posix()
    newest = "*" if artifact.is_newest and artifact.version is not None else ""
    manifest, largest = artifact.manifest, artifact.max_abs_diff
    if manifest is None:
        return [name, newest, "", "", "", "", "", "", artifact.error]
    return [
        name,
        newest,
        f"{artifact.size_bytes:,}",
        str(manifest.config.get("seed", "")),
        "" if manifest.opset is None else str(manifest.opset),
        ", ".join(artifact.made_by),
        "" if largest is None else f"{largest:.1e}",
        ", ".join(artifact.verified_by),
        ", ".join(f"{name} {digest[:_SHORT]}" for name, digest in manifest.made_from.items()),
    ]
