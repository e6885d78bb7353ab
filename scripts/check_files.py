"""Refuses files over 1 MB, and YAML and TOML that does not parse; called by pre-commit with the tracked files."""

import sys
import tomllib
from pathlib import Path

import yaml

LIMIT_BYTES = 1_000_000  # a clone stays small: artifacts belong into build/


def problem(path: Path) -> str | None:
    """Says what is wrong with a file, or None."""
    if path.stat().st_size > LIMIT_BYTES:
        return f"{path.stat().st_size:,} bytes, more than {LIMIT_BYTES:,}"
    try:
        if path.suffix == ".toml":
            tomllib.loads(path.read_text())
        elif path.suffix in {".yaml", ".yml"}:
            list(yaml.safe_load_all(path.read_text()))
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as err:
        return str(err)
    return None


found = [f"{name}: {wrong}" for name in sys.argv[1:] if (wrong := problem(Path(name)))]
sys.exit("\n".join(found) or 0)
