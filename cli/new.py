"""`showdown new`."""

from argparse import Namespace
from pathlib import Path

from cli.paths import shown
from scaffold import write_model

__all__ = ["new"]

_ROOT = Path(__file__).resolve().parent.parent


def new(options: Namespace) -> None:
    """Writes the folder of a new model, and says what to do with it."""
    written = write_model(_ROOT, options.name, options.framework, options.file)
    print(f"{shown(written.model)}/")
    for path in sorted(written.model.iterdir()):
        print(f"  {path.name}")
    print(f"{shown(written.test)}/")
    for path in sorted(written.test.iterdir()):
        print(f"  {path.name}")
    print("\nIt is a small model that works; change it file by file into yours. Next:")
    print(f"  make export MODEL={options.name}")
    print(f'  make test ARGS="tests/models/{options.name}"')
