"""The recorded cases and scenarios, as parameters of tests: each case with each program it is played against."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serving.golden.deviations import DEVIATIONS

__all__ = ["MODELS", "SETUPS", "Case", "Json", "Program", "calls", "command_lines", "filled", "parameters", "scenarios"]

Json = dict[str, Any]

GOLDEN = Path(__file__).parents[2] / "golden" / "tf_serving"
MODELS = GOLDEN / "models"
SETUPS: dict[str, Json] = json.loads((GOLDEN / "setups.json").read_text())

STOCK = "tensorflow_model_server"


@dataclass(frozen=True)
class Program:
    """A server's executable."""

    name: str
    path: str
    deviates: bool
    """Whether it is ours, which may have deviations; the stock server has none."""


@dataclass(frozen=True)
class Case:
    """A recorded case or scenario; `before` must have been played on the same server."""

    id: str
    data: Json
    before: tuple["Case", ...] = ()


def calls() -> list[Case]:
    """The calls to a set-up, with those of one set-up next to each other."""
    found: list[Case] = []
    for path in sorted((GOLDEN / "cases").glob("*.jsonl")):
        earlier: dict[str, tuple[Case, ...]] = {}
        for data in _lines(path):
            if "server" in data:
                in_order = path.stem == "monitoring"  # metrics count what came before
                case = Case(data["id"], data, earlier.get(data["server"], ()) if in_order else ())
                earlier[data["server"]] = (*case.before, case)
                found.append(case)
    return sorted(found, key=lambda case: list(SETUPS).index(case.data["server"]))


def command_lines() -> list[Case]:
    """The command lines."""
    return [Case(data["id"], data) for data in _lines(GOLDEN / "cases" / "cli.jsonl")]


def scenarios() -> list[Case]:
    """The scenarios; the name of the file is the id."""
    paths = sorted((GOLDEN / "scenarios").glob("*.json"))
    return [Case(path.stem, json.loads(path.read_text())) for path in paths]


def parameters(cases: Iterable[Case]) -> list[Any]:
    """The parameters ``program`` and ``case``: each case for our server, and for the stock one if it is on PATH.

    SERVER in the environment is the path of an executable that takes the place of ours.
    """
    cases = list(cases)
    if server := os.environ.get("SERVER"):
        program = Program(Path(server).name, str(Path(server).absolute()), deviates=False)
    else:
        ours = Path(sys.executable).with_name("showdown-model-server")
        program = Program(ours.name, str(ours), deviates=True)
    made = [pytest.param(program, case, id=case.id, marks=_deviation(program, case)) for case in cases]
    if stock := shutil.which(STOCK):
        program = Program(STOCK, stock, deviates=False)
        return made + [pytest.param(program, case, id=f"{STOCK}-{case.id}") for case in cases]
    absent = pytest.mark.skip(reason=f"{STOCK} is not on PATH")
    return [*made, pytest.param(None, None, id=STOCK, marks=absent)]


def filled(value: Any, places: Mapping[str, str]) -> Any:
    """The JSON value with the placeholders in its texts replaced."""
    if isinstance(value, str):
        for placeholder, text in places.items():
            value = value.replace(placeholder, text)
        return value
    if isinstance(value, dict):
        return {key: filled(one, places) for key, one in value.items()}
    return [filled(one, places) for one in value] if isinstance(value, list) else value


def _deviation(program: Program, case: Case) -> list[pytest.MarkDecorator]:
    if program.deviates and case.id in DEVIATIONS:
        return [pytest.mark.xfail(strict=True, reason=DEVIATIONS[case.id])]
    return []


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]
