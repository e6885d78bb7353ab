"""Every command in the documentation is run, or stands below with the reason why it is not."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.serving.golden.deviations import DEVIATIONS
from tests.serving.golden.server import free_ports

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.is_file()
)

NOT_RUN = {
    r"docker .*": "needs a container engine and the network",
    r"git clone .*": "needs the network",
    r"make setup( .*)?": "installs gigabytes; tests/scripts/test_setup.py tests it",
    r"make (test|test-fast|test-all|lint)( .*)?": "runs the tests, this one included",
    r"make (benchmark|lock|distclean)( .*)?": "takes minutes, needs the network, or removes the environment",
}
"""Commands that no test runs, as a pattern, and why."""

if shutil.which("grpcurl") is None:
    NOT_RUN["grpcurl .*"] = "grpcurl is not installed here"

SERVES = r"make serve|\.venv/bin/showdown serve (?!--engine docker).*"
"""Commands that go on until they are told to end; the commands after them ask them."""

NOT_SHOWN = r"setup: .*"
"""Lines of output that come only where the environment has to be installed first."""


@dataclass
class Command:
    """A command of a document: where it stands, what is typed into it, and the output that is shown."""

    where: str
    text: str
    typed: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    @property
    def is_run(self) -> bool:
        return not any(re.fullmatch(pattern, self.text) for pattern in NOT_RUN)


def commands(name: str, text: str) -> list[Command]:
    """The commands of a document: in a console block the lines after ``$ ``, in a sh block every line."""
    found: list[Command] = []
    language = None
    for number, line in enumerate(text.splitlines(), 1):
        if fence := re.fullmatch(r"\s*```(\w*)\s*", line):
            language = None if language is not None else fence[1]
        elif language == "console" and line.startswith("$ "):
            found.append(Command(f"{name}:{number}", line[2:]))
        elif language == "console" and line.startswith((">>> ", "... ")) and found:
            found[-1].typed.append(line[4:])
        elif language == "console" and line.strip():
            assert found, f"{name}:{number}: output without a command"
            found[-1].output.append(line)
        elif language in {"sh", "bash", "shell"} and line.strip() and not line.lstrip().startswith("#"):
            found.append(Command(f"{name}:{number}", line))
    assert language is None, f"{name}: a block is not closed"
    return found


def files(text: str) -> dict[str, str]:
    """The programs of a document: Python blocks whose first line is a comment with a file's name."""
    return {found[1]: found[0] for found in re.finditer(r"(?<=```python\n)# (\w+\.py)\n(?:(?!```).*\n)*", text)}


def masked(line: str) -> str:
    """A line without what differs from run to run: numbers, and how many blanks set columns apart."""
    line = re.sub(r"\d[\d.,]*(e[-+]?\d+)?", "#", line)
    return " ".join(re.sub(r"([\[(])\s+", r"\1", line).split())


def pattern_of(line: str) -> "re.Pattern[str]":
    """A shown line as a pattern; ``...`` in it is any text."""
    return re.compile(".*".join(map(re.escape, map(str.strip, masked(line).split("...")))))


def missing(shown: list[str], printed: str) -> list[str]:
    """The lines that are shown in a document, but that no printed line is like."""
    lines = [masked(line) for line in printed.splitlines()]
    return [
        line
        for line in shown
        if not re.fullmatch(NOT_SHOWN, line) and not any(pattern_of(line).fullmatch(other) for other in lines)
    ]


def test_commands_are_found_in_every_kind_of_block():
    text = """
```console
$ first --option
output 1

output 2
$ python
>>> 1 + 1
2
```
```python
no command
```
```sh
# a comment
second
```
"""
    assert commands("x.md", text) == [
        Command("x.md:3", "first --option", [], ["output 1", "output 2"]),
        Command("x.md:7", "python", ["1 + 1"], ["2"]),
        Command("x.md:16", "second"),
    ]


def test_programs_are_found_by_their_first_line():
    text = "```python\n# net.py\nx = 1\n\ny = 2\n```\n```python\nno = file\n```\n"
    assert files(text) == {"net.py": "# net.py\nx = 1\n\ny = 2\n"}


def test_output_is_compared_without_its_numbers():
    printed = "[12/14] publish          0.60 s  version 1\nall 3,829 bytes in /somewhere/build\n"
    assert missing(["[ 1/14] publish  12.3 s  version 2", "all 1 bytes in ...", "..."], printed) == []
    assert missing(["[ 1/14] train  12.3 s  version 2", "all bytes"], printed) == [
        "[ 1/14] train  12.3 s  version 2",
        "all bytes",
    ]


def test_every_document_has_only_commands_that_are_whole():
    found = [command for name in DOCUMENTS for command in commands(name, (ROOT / name).read_text())]
    assert "make export" in {command.text for command in found}
    assert [command.where for command in found if command.text.endswith("\\") or not command.text.strip()] == []


@pytest.mark.slow  # exports
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_a_document_runs_and_prints_what_is_shown(name, clone, tmp_path):
    wanted = [command for command in commands(name, (ROOT / name).read_text()) if command.is_run]
    if not wanted:
        pytest.skip(f"{name} has no command that is run here")
    tree = clone(tmp_path / "clone")
    # This environment stands in for the one that `make setup` would install; PYTHONPATH makes it run the clone's code.
    (tree / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (tree / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    (tree / ".venv" / "setup.locked").touch()
    for file, content in files((ROOT / name).read_text()).items():
        (tree / file).write_text(content)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PYTHONPATH"] = str(tree)
    with Servers(tree, environment) as servers:
        for command in wanted:
            if re.fullmatch(SERVES, command.text):
                status, printed = 0, servers.start(command)
            else:
                typed = servers.moved("\n".join([*command.typed, ""]))
                done = subprocess.run(
                    servers.moved(f"{command.text} -i -q" if command.typed else command.text),
                    shell=True,
                    cwd=tree,
                    env=environment,
                    input=typed,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                status, printed = done.returncode, f"{done.stdout}\n{done.stderr}"
            report = f"{command.where}: $ {command.text}\n{printed}"
            assert status == 0, report
            # The documents show paths as seen from the folder of the clone.
            assert missing(command.output, printed.replace(f"{tree}/", "")) == [], report


class Servers:
    """The server that a document has started last, on free ports in place of those that the document shows."""

    def __init__(self, tree: Path, environment: dict[str, str]) -> None:
        self._tree = tree
        self._environment = environment
        self._ports: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def moved(self, text: str) -> str:
        """A command for the ports that the server really has."""
        for shown, port in zip((8500, 8501), self._ports, strict=False):
            text = text.replace(f"localhost:{shown}", f"localhost:{port}")
        return text

    def start(self, command: Command) -> str:
        """What the server prints until it is ready."""
        self._stop()
        self._ports = free_ports()
        flags = f"--port={self._ports[0]} --rest_api_port={self._ports[1]}"
        text = f'{command.text} ARGS="{flags}"' if command.text.startswith("make") else f"{command.text} {flags}"
        log = self._tree / "serve.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                text,
                shell=True,
                cwd=self._tree,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while "Ready in" not in (printed := log.read_text()):
            assert self._process.poll() is None, printed
            assert time.monotonic() < end, printed
            time.sleep(0.05)
        return printed

    def _stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(30)
            self._process = None


@pytest.mark.slow  # imports onnx
def test_the_readme_counts_the_operator_tests_that_pass():
    from benchmarks.onnx_conformance.cases import cases
    from benchmarks.onnx_conformance.exceptions import EXCEPTIONS

    total = sum(not case.is_expanded for case in cases())
    assert f"{total - len(EXCEPTIONS):,} of {total:,} operator tests" in (ROOT / "README.md").read_text()


def test_the_readme_counts_the_recorded_answers_that_are_met():
    cases = sum(len(file.read_text().splitlines()) for file in (ROOT / "tests/golden/tf_serving/cases").glob("*.jsonl"))
    assert f"{cases - len(DEVIATIONS)} of {cases} recorded answers" in (ROOT / "README.md").read_text()
