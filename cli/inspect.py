"""`showdown inspect`."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from inspection import inspect as look_into

__all__ = ["inspect"]

_ROWS = 20
"""Rows of a table that are shown; `--json` has all of them."""


def inspect(options: Namespace) -> None:
    """Shows what a model file holds."""
    values = look_into(options.file).to_dict()
    if options.json:
        print(json.dumps(values, indent=2))
    else:
        _show(values)


def _show(values: Mapping[str, Any]) -> None:
    """Prints the single values first, then a table for each list of objects."""
    from rich.table import Table
    from rich.text import Text

    from cli.terminal import console

    output = console()
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in values.items():
        if not _is_table(value) and (text := _text(value)):
            facts.add_row(Text(_label(name), style="dim"), Text(text))
    output.print(facts)
    for name, rows in values.items():
        if not _is_table(rows):
            continue
        output.print()
        table = Table(title=_label(name), title_justify="left", box=None, pad_edge=False)
        columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
        for key in columns:
            is_number = all(isinstance(row[key], int | float | None) for row in rows)
            table.add_column(_label(key), justify="right" if is_number else "left", overflow="fold")
        for row in rows[:_ROWS]:
            table.add_row(*(Text(_text(row[key])) for key in columns))
        output.print(table)
        if len(rows) > _ROWS:
            output.print(f"... and {len(rows) - _ROWS:,} more, all with --json", highlight=False)


def _is_table(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    """A value in one cell, an empty one for what is not there."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        # One line an entry where entries have entries of their own.
        separator = "\n" if any(isinstance(item, Mapping) for item in value.values()) else ", "
        return separator.join(
            f"{_label(_printable(key))} {_text(item)}" for key, item in value.items() if item is not None
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_printable(str(item)) for item in value)}]" if value else ""
    return "" if value is None else _printable(value)


def _printable(text: str) -> str:
    """A name as it can be shown: it may hold what a terminal takes for a command."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
