"""Writes docs/cli.md: every verb with its arguments, as the parser has them. `make docs` calls it."""

import argparse
import html
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cli.main import FAILED, INTERRUPTED, OK, TERMINATED, USAGE, parser

__all__ = ["PAGE", "reference"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

_INTRODUCTION = """\
# Command line

`showdown` is `.venv/bin/showdown` in a checkout. `showdown --help` and `showdown VERB --help` print what stands here.
`make export` and `make verify` call it, with options in `ARGS`: `make export MODEL=or_gate ARGS="--seed 7"`.
"""

_STATUSES = {
    OK: "done",
    FAILED: "failed; the last line on standard error begins with `showdown: error:` and says why",
    USAGE: "asked for something that is not there: an option, a model, a file",
    INTERRUPTED: "interrupted by Ctrl-C; what was finished is kept",
    TERMINATED: "terminated by SIGTERM; what was finished is kept",
}

_FOLDED = partial(argparse.HelpFormatter, width=100)
"""Where the terminal's width would be, so that the page is the same everywhere."""


def reference() -> str:
    """The page, as Markdown."""
    verbs = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in verbs._choices_actions}
    blocks = [
        _INTRODUCTION,
        _table("verb", [(f"[`{name}`](#{name})", _text(text)) for name, text in helps.items()]),
        _table("exit status", [(f"`{status}`", meaning) for status, meaning in _STATUSES.items()]),
        *(block for name in helps for block in _verb(name, verbs.choices[name])),
    ]
    return "\n".join(blocks)


def _verb(name: str, verb: argparse.ArgumentParser) -> Iterator[str]:
    verb.formatter_class = _FOLDED
    usage = verb.format_usage().removeprefix("usage: ").replace("\n       ", "\n")
    yield f"## {name}\n"
    yield f"{_text(verb.description or '')}\n"
    yield f"```text\n{usage}```\n"
    for group in verb._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        rows = [(_code(_typed(action)), _text(_told(action))) for action in actions]
        if rows and group.title not in ("positional arguments", "options"):
            yield f"{(group.title or '').capitalize()}:\n"
        if rows:
            yield _table("argument" if group.title == "positional arguments" else "option", rows)


def _typed(action: argparse.Action) -> str:
    """What is typed, such as ``--opset N``."""
    value = str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())
    if not action.option_strings:
        return f"[{value}]" if action.nargs == "?" else value
    return ", ".join(name if action.nargs == 0 else f"{name} {value}" for name in action.option_strings)


def _told(action: argparse.Action) -> str:
    required = "required" if action.required and action.option_strings else ""
    repeated = "may be given more than once" if isinstance(action, argparse._AppendAction) else ""
    return "; ".join(filter(None, [action.help, required, repeated]))


def _table(head: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([f"| {head} | |", "| --- | --- |", *(f"| {left} | {right} |" for left, right in rows), ""])


def _code(text: str) -> str:
    # A bar ends a cell of a table, for some readers of Markdown between backticks too.
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _text(text: str) -> str:
    return re.sub(r"([\[\]*|])", r"\\\1", html.escape(text, quote=False))


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
