"""A real export: what it prints where, and that a second one costs nothing."""

import fcntl
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from export.recipes import load_recipes
from models import load_spec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ESCAPE = "\x1b"


# --- the second export


def test_an_export_where_nothing_changed_loads_the_standard_library_and_our_own_modules_only(exported):
    program = """
import json, sys
before = set(sys.modules)
from cli.main import main
assert main(sys.argv[1:]) == 0
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})), file=sys.stderr)
"""
    command = [sys.executable, "-c", program, "export", "--build-dir", str(exported.build)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(json.loads(done.stderr)) - sys.stdlib_module_names <= ours
    assert re.fullmatch(r"Nothing to do: all \d+ stages are up to date .*\n", done.stdout)


def test_a_build_folder_that_was_moved_gets_its_new_path_into_models_config_and_nothing_else(showdown, build):
    shutil.rmtree(build / "logs")
    done = showdown("export", "--build-dir", build)
    assert done.returncode == 0
    assert re.findall(r"^\[.*?\] (\S+)", done.stdout, re.MULTILINE) == ["publish"]
    assert list((build / "logs").iterdir()) == []
    assert f'"{build}/serving/or_gate_keras"' in (build / "serving/models.config").read_text()


def test_another_seed_is_the_next_version_and_keep_removes_the_one_before(showdown, build, check_published):
    done = showdown("export", "--seed", "7", "--keep", "1", "--build-dir", build)
    assert done.returncode == 0, done.stderr
    assert set(map(tuple, check_published(build).values())) == {(2,)}


# --- what is printed


def test_the_first_export_prints_a_line_for_each_step_and_no_escape_codes(exported):
    lines = [line for line in exported.output.splitlines() if line.startswith("[")]
    assert len(lines) == 17
    assert re.fullmatch(r"\[ 1/17\] spec +showdown +\d+\.\d\d s", lines[0].strip())
    assert ESCAPE not in exported.output
    assert exported.done.stderr == ""


def test_the_table_has_one_row_for_each_file_and_each_step(exported):
    spec = load_spec("or_gate")
    servables = [spec.servable(network) for network in spec.networks]
    table = exported.output.partition("Every step")[2].partition("What each exported file answers")[0]
    rows = re.findall(r"^((?:serving|tflite)/\S+)", table, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == {f"serving/{servable}/1" for servable in servables} | {
        f"tflite/{servable}.{recipe.name}.tflite" for servable in servables for recipe in load_recipes()
    }
    report = json.loads((exported.build / "report/or_gate.json").read_text())
    for row in report["rows"]:
        assert len(re.findall(rf"^{re.escape(row['published'] or row['name'])}  +", table, re.MULTILINE)) == 1
    assert all((exported.build / row["published"]).exists() for row in report["rows"] if row["published"])


def test_json_prints_the_report_alone_on_standard_output(showdown, build):
    (build / "golden/or_gate_pytorch.json").unlink()
    done = showdown("export", "--json", "--build-dir", build)
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((build / "report/or_gate.json").read_text())
    assert re.fullmatch(r"\[\d\d/17\] publish .*\n", done.stderr)


# --- on a terminal


class Terminal:
    """`showdown` on a terminal of its own, whose Ctrl-C reaches it."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (60, 140))
        inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            cwd=ROOT,
            env=inherited | {"TERM": "xterm-256color"} | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.printed = ""

    def read(self, until: str = "\0") -> str:
        """Reads until something was printed, or to the end."""
        while until not in self.printed:
            try:
                chunk = os.read(self._ours, 1 << 16)
            except OSError:  # Linux's way to say that the other side is closed
                chunk = b""
            if not chunk:
                self.process.wait()
                os.close(self._ours)
                break
            self.printed += chunk.decode(errors="replace")
        return self.printed

    def press_control_c(self) -> None:
        os.write(self._ours, b"\x03")


def colours(text: str) -> set[int]:
    """The colours that are set by escape codes."""
    codes = {int(code) for codes in re.findall(r"\x1b\[([\d;]+)m", text) for code in codes.split(";")}
    return {code for code in codes if 30 <= code <= 38 or 90 <= code <= 97}


HIDE_CURSOR, SHOW_CURSOR, UP = f"{ESCAPE}[?25l", f"{ESCAPE}[?25h", f"{ESCAPE}[1A"


def test_a_terminal_shows_a_live_table_in_colours(build):
    terminal = Terminal("export", "--build-dir", build)
    printed = terminal.read()
    assert terminal.process.returncode == 0
    assert printed.index(HIDE_CURSOR) < printed.index("stage") < printed.index(UP) < printed.index(SHOW_CURSOR)
    assert "✔" in printed
    assert "[14/14]" not in printed
    assert colours(printed)


def test_no_color_switches_the_colours_off_and_leaves_the_table(build):
    printed = Terminal("export", "--build-dir", build, NO_COLOR="1").read()
    assert UP in printed
    assert "✔" in printed
    assert colours(printed) == set()


def test_control_c_on_a_terminal_gives_the_cursor_back_and_ends_the_workers(build, workers_of, alive, until):
    terminal = Terminal("export", "--seed", "7", "--build-dir", build)
    terminal.read(until="▶")
    groups = until(lambda: workers_of(terminal.process.pid)).values()
    terminal.press_control_c()
    printed = terminal.read()
    assert terminal.process.returncode == 130
    assert SHOW_CURSOR in printed
    last = printed.rstrip().splitlines()[-1]
    assert re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", last).startswith("showdown: interrupted; what was finished is kept")
    assert "Traceback" not in printed
    until(lambda: alive(groups) == [])
