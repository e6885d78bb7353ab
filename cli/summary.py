"""The end of an export: what was made, how equal it is, what each file answers, and what to try next."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.paths import shown
from cli.table import print_table
from cli.terminal import console
from pipeline.source import ROOT

__all__ = ["print_accuracy", "print_summary"]


_TABLE_COLUMNS = 6
"""Answers that fit beside one another; of more the accuracy is enough."""

_STYLES = {"verified": "green", "reference": "dim"}


def print_summary(report: Mapping[str, Any], build: Path, seconds: float) -> None:
    """Prints the report of an export."""
    output = console()
    output.print()
    has_truth_table = any(_answers(row) for row in report["rows"])
    output.print(_artifacts(report["rows"], with_accuracy=not has_truth_table))
    for note in _notes(report["rows"]):
        output.print(note, style="dim", highlight=False, soft_wrap=True)
    if has_truth_table:
        output.print()
        output.print(_truth_table(report["rows"]))
    output.print(f"\nExported {report['model']} to {shown(build)}/ in {seconds:.1f} s. Next:", highlight=False)
    for purpose, command in _next(report, build).items():
        output.print(f"  {purpose:28} {command}", highlight=False, soft_wrap=True)


def print_accuracy(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints how many labelled rows each file gets right, in each runtime that took it."""
    measured = [
        [
            row["published"] or row["name"],
            check["runtime"],
            f"{check['accuracy']['right']:,} of {check['accuracy']['of']:,}",
            f"{check['accuracy']['right'] / check['accuracy']['of']:.1%}",
        ]
        for row in rows
        for check in row["checks"]
        if check.get("accuracy")
    ]
    print_table(("artifact", "runtime", "right", "accuracy"), measured, {"right", "accuracy"})


def _artifacts(rows: Sequence[Mapping[str, Any]], *, with_accuracy: bool) -> Table:
    table = Table(
        title="Every step, and how far it is from the step before", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("artifact", no_wrap=True)
    table.add_column("bytes", justify="right")
    table.add_column("max |diff|", justify="right", no_wrap=True)
    with_accuracy &= any(check.get("accuracy") for row in rows for check in row["checks"])
    if with_accuracy:
        table.add_column("right", justify="right", no_wrap=True)
    table.add_column("verdict by runtime")
    for row in rows:
        differences = [check["max_abs_diff"] for check in row["checks"] if "max_abs_diff" in check]
        table.add_row(
            row["published"] or row["name"],
            f"{row['size_bytes']:,}" if row["size_bytes"] is not None else "",
            f"{max(differences):.1e}" if differences else "",
            *([_right(row["checks"])] if with_accuracy else []),
            Text("; ").join(_verdicts(row["checks"])),
        )
    return table


def _right(checks: Sequence[Mapping[str, Any]]) -> str:
    """The accuracy in percent; from the worst to the best where the runtimes differ."""
    found = [check["accuracy"]["right"] / check["accuracy"]["of"] for check in checks if check.get("accuracy")]
    return " – ".join(f"{share:.1%}" for share in sorted({min(found), max(found)})) if found else ""


def _verdicts(checks: Sequence[Mapping[str, Any]]) -> list[Text]:
    """A part for each verdict, with the runtimes that gave it."""
    runtimes: dict[str, list[str]] = {}
    for check in checks:
        runtimes.setdefault(check["verdict"], []).append(check["runtime"])
    return [
        Text(f"{verdict}: {', '.join(names)}", style=_STYLES.get(verdict, "yellow"))
        for verdict, names in runtimes.items()
    ]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The runtimes' versions, and why one of them did not take a file; each reason once."""
    checks = [check for row in rows for check in row["checks"]]
    versions = dict.fromkeys(f"{check['runtime']} {check['version']}" for check in checks if "version" in check)
    reasons = dict.fromkeys(
        f"{check['runtime']} {check['verdict']}: {check['reason']}" for check in checks if "reason" in check
    )
    return [f"Runtimes: {', '.join(versions)}", *reasons]


def _answers(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the first runtime that took a published file gave for the labelled golden vectors."""
    if row["published"]:
        for check in row["checks"]:
            if check["verdict"] == "verified":
                answers = list(check.get("answers", []))
                return answers if len(answers) <= _TABLE_COLUMNS else []
    return []


def _truth_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    answered = [(row, answers) for row in rows if (answers := _answers(row))]
    table = Table(title="What each exported file answers", title_justify="left", box=None, pad_edge=False)
    table.add_column("artifact", no_wrap=True)
    for answer in answered[0][1]:
        table.add_column(f"{answer['vector']} → {answer['label']}", justify="right")
    table.add_column("accuracy", justify="right")
    for row, answers in answered:
        right = sum(_predicted(answer) == answer["label"] for answer in answers)
        table.add_row(
            row["published"],
            *(", ".join(f"{value:.4f}" for values in a["outputs"].values() for value in values) for a in answers),
            f"{right} of {len(answers)}",
        )
    return table


def _predicted(answer: Mapping[str, Any]) -> int:
    """The class: whether a single score is over one half, else the position of the largest."""
    scores = next(iter(answer["outputs"].values()))
    return int(scores[0] > 0.5) if len(scores) == 1 else scores.index(max(scores))


def _where(build: Path) -> str:
    return "" if build == ROOT / "build" else f" --build-dir {shlex.quote(str(shown(build)))}"


def _next(report: Mapping[str, Any], build: Path) -> dict[str, str]:
    command = shlex.quote(str(shown(ROOT / ".venv/bin/showdown")))
    return {
        "serve all of it": f"{command} serve{_where(build)}",
        "look at the TFLite files": f"ls {shlex.quote(f'{shown(build)}/tflite')}",
        "prove every hop again": f"{command} verify {report['model']}{_where(build)}",
    }
