"""The console that tables are printed to."""

from rich.console import Console

__all__ = ["console"]

_PLAIN_WIDTH = 132
"""Columns where there is no terminal to ask."""


def console() -> Console:
    """Standard output, as wide as the terminal or, without one, as our tables need."""
    output = Console()
    return output if output.is_terminal else Console(width=_PLAIN_WIDTH)
