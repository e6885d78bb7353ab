"""Which of our source files a stage's result depends on."""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "libraries_digest", "source_digest"]

ROOT = Path(__file__).resolve().parent.parent

_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
"""The nodes of a syntax tree that hold statements."""


@cache
def libraries_digest() -> str:
    """SHA-256 of the lock file: which version of which library is installed."""
    return hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()


@cache
def source_digest(*modules: str) -> str:
    """SHA-256 over the source of these modules and of every module of ours that they import, however deep.

    Modules that PYTHONPATH leads to count as ours: a network that a user brings is tracked like one of models/.
    """
    seen: set[Path] = set()
    pending = [file for module in modules for file in _files(module)]
    while pending:
        file = pending.pop()
        if file not in seen:
            seen.add(file)
            pending += (found for module in _imports(file) for found in _files(module))
    digest = hashlib.sha256()
    for file in sorted(seen):
        root = next(root for root in _roots() if file.is_relative_to(root))
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _roots() -> tuple[Path, ...]:
    """Where code is ours or the user's own: this project, then what PYTHONPATH names."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return (ROOT, *(Path(folder).resolve() for folder in others if folder))


@cache
def _files(module: str) -> tuple[Path, ...]:
    """The file of a module of ours and of the packages around it, whose ``__init__`` runs at import; else nothing."""
    return next((files for root in _roots() if (files := _files_below(root, module))), ())


def _files_below(root: Path, module: str) -> tuple[Path, ...]:
    *packages, last = module.split(".")
    folder = root
    found = []
    for package in packages:
        folder /= package
        found.append(folder / "__init__.py")
    found += [folder / last / "__init__.py", folder / f"{last}.py"]
    return tuple(file for file in found if file.is_file())


@cache
def _imports(file: Path) -> tuple[str, ...]:
    names: list[str] = []
    pending: list[ast.AST] = [ast.parse(file.read_bytes(), filename=str(file))]
    while pending:
        node = pending.pop()
        # Imports are statements, and most of a tree is expressions.
        pending += (child for child in ast.iter_child_nodes(node) if isinstance(child, _STATEMENTS))
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import name`: the name may be a module or something inside one.
            names += (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    return tuple(names)
