"""Paths as a person sees them."""

from pathlib import Path

__all__ = ["shown"]


def shown(path: Path) -> Path:
    """Relative to the working directory where it lies below that, else as it is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
