"""`showdown doctor`: with frameworks that are replaced by nothing, so that it is quick, and once for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli import main as command
from diagnosis import examination
from diagnosis.finding import Finding, State

FINE = Finding("machine", "platform", State.OK, "a machine")
ABSENT = Finding("optional", "adb", State.ABSENT, "the files on a phone", "get it")
BROKEN = Finding("runtime", "onnxruntime", State.FAILED, "libcurious.so.7 is missing", "make setup")
CLASH = Finding("environment", "torch", State.FAILED, "1, but 2 in requirements.lock", "make setup")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def doctor(monkeypatch, capsys, tmp_path):
    """Runs the verb on findings; gives exit status, output and errors."""

    def ran(*findings, options=()):
        monkeypatch.setattr("cli.doctor.examine", lambda root, build: iter(findings))
        status = command.main(["doctor", "--build-dir", str(tmp_path), *options])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return ran


def test_absent_parts_are_no_failure(doctor):
    status, out, err = doctor(FINE, ABSENT)
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["machine", "platform", "ok", "a", "machine"],
        ["optional", "adb", "absent", *["the", "files", "on", "a", "phone", "—", "get", "it"]],
    ]


def test_what_is_broken_fails_with_the_remedy(doctor):
    status, out, err = doctor(FINE, BROKEN, CLASH, ABSENT)
    assert status == 1
    assert err == ("showdown: error: the chain cannot run here: runtime onnxruntime, environment torch: make setup\n")
    assert "libcurious.so.7 is missing — make setup" in out


@pytest.mark.parametrize(("findings", "can_run"), [((FINE, ABSENT), True), ((FINE, BROKEN), False)])
def test_json(doctor, findings, can_run):
    status, out, _ = doctor(*findings, options=["--json"])
    assert status == (0 if can_run else 1)
    assert json.loads(out) == {"can_run": can_run, "findings": [finding.to_dict() for finding in findings]}


def test_a_table_on_a_terminal(doctor, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, out, _ = doctor(FINE, ABSENT)
    assert "platform" in out
    assert "adb" in out


def test_everything_is_looked_at_without_importing_any_of_it(tmp_path):
    program = (
        "import sys; from pathlib import Path; from diagnosis import examination, processes; "
        "processes.started = lambda root: iter(()); "
        "found = list(examination.examine(Path(sys.argv[1]), Path(sys.argv[2]))); "
        "print(*{name.partition('.')[0] for name in sys.modules}); print(*{one.part for one in found})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, ROOT, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported, parts = (set(line.split()) for line in done.stdout.splitlines())
    assert parts == {"machine", "environment", "tool", "optional"}
    assert "diagnosis" in imported
    assert imported & {"numpy", "torch", "tensorflow", "onnx", "onnxruntime", "rich", "runtimes"} == set()


def test_what_starts_processes_is_part_of_it(monkeypatch, tmp_path):
    monkeypatch.setattr("diagnosis.processes.started", lambda root: iter([BROKEN]))
    assert BROKEN in list(examination.examine(ROOT, tmp_path))


@pytest.mark.slow
def test_a_real_machine(showdown, tmp_path):
    done = showdown("doctor", "--json", "--build-dir", tmp_path)
    told = json.loads(done.stdout)
    states = {(found["part"], found["name"]): found["state"] for found in told["findings"]}
    assert told["can_run"] == (done.returncode == 0) == ("failed" not in states.values())
    assert states["worker", "torch"] == states["runtime", "tensorflow_c"] == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_broken_framework_is_one_line_and_the_rest_is_looked_at(showdown, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text("raise ImportError('libcurious.so.7 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = showdown("doctor", "--build-dir", tmp_path)
    assert done.returncode == 1
    broken = [line for line in done.stdout.splitlines() if " failed " in line]
    assert [line.split()[:2] for line in broken] == [["worker", "litert"], ["runtime", "onnxruntime"]]
    assert all("libcurious.so.7 is missing" in line for line in broken)
    assert "runtime       ai_edge_litert" in done.stdout or "runtime      ai_edge_litert" in done.stdout
    assert done.stderr.startswith("showdown: error: the chain cannot run here: worker litert, runtime onnxruntime")
