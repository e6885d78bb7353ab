"""A table: in columns that fit the terminal, or in lines where there is none."""

import sys
from collections.abc import Collection, Sequence

__all__ = ["print_table"]


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Prints to standard output.

    Args:
        headings: of the columns.
        rows: a text for each column.
        right: headings of the columns that are aligned to the right.
    """
    if sys.stdout.isatty():
        _on_terminal(headings, rows, right)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = [
            text.rjust(width) if heading in right else text.ljust(width)
            for heading, text, width in zip(headings, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _on_terminal(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
