"""The engine with real workers, real signals and real disks; the stages are toys, so that no framework is needed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Code, StageError, StorageError
from pipeline import engine, source
from pipeline.cache import Entry
from pipeline.engine import build_lock, run
from pipeline.stage import Stage
from pipeline.worker import CAN_FORK

ROOT = Path(__file__).parents[2]

TOY_STAGES = '''
"""Stages that leave a trace in the folder $TOY."""

import os
import signal
import subprocess
import time
from pathlib import Path

from contract.errors import SpecError

TOY = Path(os.environ["TOY"])
seen = []


def trace(*words):
    with (TOY / "trace").open("a") as file:
        print(*words, file=file)


def write(*, out, text="", **inputs):
    trace("begin", out.parent.name)
    (out / "text").write_text("".join(path.read_text() for _, path in sorted(inputs.items())) + text)
    trace("end", out.parent.name)
    return {"note": f"wrote {text}"}


def constant(*, out, **ignored):
    return write(out=out, text="constant")


def publish(*, out, build, text):
    write(out=out, text=text)
    (build / "published").write_text(text)
    return {"published": ["published"]}


def meet(*, out, other):
    """Ends when another stage of this kind has begun."""
    (TOY / out.parent.name).touch()
    for _ in range(6000):
        if (TOY / other).exists():
            return write(out=out)
        time.sleep(0.005)
    raise SpecError(f"{other} did not begin while {out.parent.name} ran")


def remember(*, out):
    seen.append(out.parent.name)
    (out / "seen").write_text(" ".join(seen))


def refuse(*, out):
    if (TOY / "broken").exists():
        raise SpecError("x is 3 wide, not 2")
    return write(out=out)


def fail(*, out):
    (out / "half").write_bytes(b"half")
    raise RuntimeError("first line\\nsecond line")


def leave(*, out):
    os._exit(3)


def give_up(*, out):
    raise SystemExit("no")


def wait(*, out):
    """Works, with a process of its own, until $TOY/go is there."""
    trace("begin", out.parent.name)
    (out / "half").write_bytes(b"half")
    child = subprocess.Popen(["sleep", "1000"])
    note = TOY / "note"
    note.write_text(f"{os.getpid()} {child.pid}")
    note.rename(TOY / "at work")
    while not (TOY / "go").exists():
        time.sleep(0.005)
    child.kill()
    child.wait()
    return write(out=out)


def interrupt(*, out):
    (out / "half").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1000)


def fill(*, out, size, gives_up):
    (out / "big").touch()
    try:
        (out / "big").write_bytes(bytes(size))
    except OSError as err:
        if gives_up:
            raise
        trace(err.strerror)


def fill_with_log(*, out):
    """Leaves no room either for the log, which is on the same disk."""
    try:
        (out / "big").write_bytes(bytes(1 << 20))
    except OSError as err:
        full = err
    try:
        while True:
            os.write(2, b"a word to the log\\n")
    except OSError:
        raise full


def fill_by_tensorflow(*, out):
    raise RuntimeError("RESOURCE_EXHAUSTED: saved_model.pb; No space left on device [Op:SaveV2]")
'''

DRIVE = '''
"""Runs stages as a command does: drive.py BUILD STAGES-AS-JSON."""

import json
import sys
from pathlib import Path

from contract.errors import ShowdownError
from pipeline.engine import build_lock, run
from pipeline.stage import Stage

build, stages = Path(sys.argv[1]), [Stage(**values) for values in json.loads(sys.argv[2])]
ran = []


class Observer:
    def planned(self, stages): ...
    def started(self, stage): ...
    def idle(self): ...
    def finished(self, stage, entry, *, ran):
        ran and globals()["ran"].append(stage.name)


try:
    with build_lock(build, lambda holder: print(f"waiting for {holder}", flush=True)):
        run(stages, build=build, model="toy", observer=Observer())
    print(json.dumps({"ran": ran}))
except ShowdownError as err:
    print(json.dumps({"ran": ran, "error": type(err).__name__, "code": err.code.name, "message": str(err)}))
'''


class Recorder:
    """An observer that writes down what it is told, and does something each time that the engine is idle."""

    def __init__(self, do: Callable[[], Any] = lambda: None) -> None:
        self.plan: list[str] = []
        self.ran: list[str] = []
        self.found: list[str] = []
        self._do = do

    def planned(self, stages: Sequence[Stage]) -> None:
        self.plan = [stage.name for stage in stages]

    def started(self, stage: Stage) -> None: ...

    def finished(self, stage: Stage, entry: Entry, *, ran: bool) -> None:
        (self.ran if ran else self.found).append(stage.name)

    def idle(self) -> None:
        self._do()


class Toy:
    """A folder with the toy stages, where they leave their traces, and a build folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.build = folder / "build"
        self.drive = folder / "drive.py"
        self.at_work = folder / "at work"

    def run(
        self,
        *stages: Stage,
        idle: Callable[[], Any] = lambda: None,
        again: Callable[[Stage], bool] | None = None,
    ) -> Recorder:
        recorder = Recorder(idle)
        with build_lock(self.build, lambda holder: pytest.fail(f"{holder} holds the lock")):
            self.results = run(stages, build=self.build, model="toy", observer=recorder, again=again)
        return recorder

    def command(self, *stages: Stage, build: Path | None = None) -> list[str]:
        """What runs the stages in a process of its own."""
        return [sys.executable, str(self.drive), str(build or self.build), json.dumps([asdict(one) for one in stages])]

    def start(self, *stages: Stage) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command(*stages), stdout=subprocess.PIPE, text=True)

    @property
    def trace(self) -> list[str]:
        path = self.folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def text(self, stage: str) -> str:
        return (self.results[stage].folder / "text").read_text()

    def processes(self) -> list[int]:
        """The process of the stage that waits, and that which it started."""
        return [int(word) for word in self.at_work.read_text().split()]

    def unfinished(self) -> list[Path]:
        return list(self.build.rglob("*.partial"))

    def fake(self, module: str, content: str) -> None:
        """Puts a module before the installed one of this name, for workers."""
        (self.folder / f"{module}.py").write_text(content)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_stages.py").write_text(TOY_STAGES)
    (tmp_path / "drive.py").write_text(DRIVE)
    monkeypatch.setenv("TOY", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Toy(tmp_path)
    sys.modules.pop("toy_stages", None)


@pytest.fixture
def forget():
    """Forgets what was read of the source, as a new process has."""

    def forgotten():
        for function in (source.source_digest, source._files, source._imports):
            function.cache_clear()

    yield forgotten
    forgotten()


def stage(name: str, function: str = "write", worker: str | None = "litert", **rest: Any) -> Stage:
    return Stage(name, f"toy_stages:{function}", worker, **rest)


CHAIN = (
    stage("first", params={"text": "a"}),
    stage("second", inputs={"before": "first/text"}, params={"text": "b"}),
    stage("here", worker=None, inputs={"before": "second/text"}, params={"text": "c"}),
    stage("aside", params={"text": "d"}, after=("first",)),
)
"""first → second → here, and aside after first."""

forks = pytest.mark.skipif(not CAN_FORK, reason="stages run one by one in the worker itself where it cannot fork")


# --- order


def test_every_stage_runs_after_its_predecessors_whatever_the_order_of_the_list(toy):
    toy.run(*reversed(CHAIN))
    for before, after in (("first", "second"), ("second", "here"), ("first", "aside")):
        assert toy.trace.index(f"end {before}") < toy.trace.index(f"begin {after}")
    assert toy.text("here") == "abc"
    assert toy.text("aside") == "d"


def test_the_observer_is_told_what_is_planned_and_what_ran(toy):
    recorder = toy.run(*CHAIN)
    assert recorder.plan == ["first", "second", "here", "aside"]
    assert sorted(recorder.ran) == ["aside", "first", "here", "second"]
    assert recorder.found == []
    assert toy.results["first"].note == "wrote a"


@forks
def test_stages_that_do_not_depend_on_each_other_run_side_by_side(toy):
    toy.run(stage("left", "meet", params={"other": "right"}), stage("right", "meet", params={"other": "left"}))
    assert toy.results.keys() == {"left", "right"}


@forks
def test_two_workers_run_side_by_side(toy):
    toy.run(
        stage("left", "meet", params={"other": "right"}),
        stage("right", "meet", worker="tensorflow_c", params={"other": "left"}),
    )
    assert toy.results.keys() == {"left", "right"}


def test_stages_of_one_title_all_run(toy):
    files = [stage(f"file{number}", params={"text": str(number)}, title="files") for number in range(9)]
    toy.run(*files, stage("all", inputs={f"in{number}": f"file{number}/text" for number in range(9)}))
    assert toy.text("all") == "012345678"


@forks
def test_a_stage_never_sees_what_an_earlier_one_left_in_the_process(toy):
    toy.run(stage("first", "remember"), stage("second", "remember", after=("first",)))
    assert (toy.results["first"].folder / "seen").read_text() == "first"
    assert (toy.results["second"].folder / "seen").read_text() == "second"


# --- what runs again


def test_a_second_run_does_nothing_and_starts_no_worker(toy, monkeypatch):
    toy.run(*CHAIN)
    files, traces = {name: entry.files for name, entry in toy.results.items()}, toy.trace
    monkeypatch.setattr(engine, "Worker", lambda *arguments: pytest.fail("a worker was started"))
    recorder = toy.run(*CHAIN)
    assert recorder.plan == recorder.ran == []
    assert sorted(recorder.found) == ["aside", "first", "here", "second"]
    assert toy.trace == traces
    assert {name: entry.files for name, entry in toy.results.items()} == files


def test_a_changed_parameter_runs_its_stage_and_what_depends_on_it(toy):
    toy.run(*CHAIN)
    recorder = toy.run(CHAIN[0], replace(CHAIN[1], params={"text": "B"}), *CHAIN[2:])
    assert recorder.ran == ["second", "here"]
    assert toy.text("here") == "aBc"


def test_what_only_waits_for_a_stage_does_not_run_again_with_it(toy):
    toy.run(*CHAIN)
    recorder = toy.run(replace(CHAIN[0], params={"text": "A"}), *CHAIN[1:])
    assert recorder.ran == ["first", "second", "here"]
    assert recorder.found == ["aside"]


def test_a_stage_that_comes_to_the_same_bytes_runs_nothing_after_it(toy):
    first = stage("first", "constant", params={"seed": 1})
    toy.run(first, *CHAIN[1:])
    recorder = toy.run(replace(first, params={"seed": 2}), *CHAIN[1:])
    assert recorder.ran == ["first"]
    assert sorted(recorder.found) == ["aside", "here", "second"]


def test_a_file_that_no_stage_made_is_not_looked_at(toy):
    toy.run(*CHAIN)
    (toy.results["second"].folder / "not recorded").touch()
    assert toy.run(*CHAIN).ran == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("x"), lambda path: path.write_text("")])
def test_a_damaged_result_is_made_again_and_nothing_else(toy, damage):
    toy.run(*CHAIN)
    damage(toy.results["second"].folder / "text")
    assert toy.run(*CHAIN).ran == ["second"]
    assert toy.text("second") == "ab"


@pytest.mark.parametrize("worker", [None, "litert"])
def test_a_published_file_that_was_removed_is_published_again(toy, worker):
    chain = (*CHAIN, stage("publish", "publish", worker=worker, params={"text": "model"}, publishes=True))
    toy.run(*chain)
    (toy.build / "published").unlink()
    assert toy.run(*chain).ran == ["publish"]
    assert (toy.build / "published").read_text() == "model"


def test_a_stage_that_is_asked_for_again_runs_though_its_result_is_there(toy):
    toy.run(*CHAIN)
    recorder = toy.run(*CHAIN, again=lambda one: one.name in {"first", "here"})
    assert recorder.ran == ["first", "here"]


def test_results_of_other_parameters_are_swept(toy):
    toy.run(*CHAIN)
    toy.run(replace(CHAIN[0], params={"text": "A"}), *CHAIN[1:])
    assert [len(list(folder.iterdir())) for folder in (toy.build / "cache/toy").iterdir()] == [1, 1, 1, 1]


def test_results_made_while_the_source_was_edited_do_not_count_as_those_of_the_new_source(toy, monkeypatch, forget):
    (toy.folder / "toy_other.py").write_text("VALUE = 1")
    monkeypatch.setattr(source, "ROOT", toy.folder)
    monkeypatch.setattr(source, "libraries_digest", lambda: "lock")
    forget()
    chain = (stage("first", "wait"), stage("second", inputs={"before": "first/text"}, code=("toy_other",)))

    def edit():
        if toy.at_work.exists():
            (toy.folder / "toy_other.py").write_text("VALUE = 2")
            (toy.folder / "go").touch()

    toy.run(*chain, idle=edit)
    forget()
    assert toy.run(*chain).ran == ["second"]


# --- failures


@pytest.mark.parametrize("worker", ["litert", None])
def test_a_stage_that_refuses_is_named_and_what_was_finished_is_kept(toy, worker):
    chain = (*CHAIN, stage("refusing", "refuse", worker=worker, after=("here", "aside")))
    (toy.folder / "broken").touch()
    with pytest.raises(StageError) as raised:
        toy.run(*chain)
    assert raised.value.stage == "refusing"
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert str(raised.value) == "refusing: x is 3 wide, not 2"
    assert raised.value.log == (str(toy.build / "logs/litert.log") if worker else None)
    assert toy.unfinished() == []

    (toy.folder / "broken").unlink()
    recorder = toy.run(*chain)
    assert recorder.ran == ["refusing"]
    assert len(recorder.found) == 4


def test_the_first_line_of_a_foreign_exception_is_told_and_its_traceback_is_in_the_log(toy):
    with pytest.raises(StageError) as raised:
        toy.run(stage("failing", "fail"))
    assert str(raised.value) == "failing: RuntimeError: first line"
    assert raised.value.code is Code.INTERNAL
    log = Path(raised.value.log or "").read_text()
    assert "Traceback (most recent call last)" in log
    assert "second line" in log
    assert toy.unfinished() == []


@forks
def test_a_stage_whose_process_is_killed_is_named_with_the_signal(toy):
    def kill():
        if toy.at_work.exists():
            os.kill(toy.processes()[0], signal.SIGKILL)

    with pytest.raises(StageError, match="waiting: its process was killed by SIGKILL") as raised:
        toy.run(*CHAIN, stage("waiting", "wait", after=("here",)), idle=kill)
    assert raised.value.stage == "waiting"
    assert raised.value.code is Code.INTERNAL
    assert toy.unfinished() == []


@forks
@pytest.mark.parametrize(("function", "status"), [("leave", 3), ("give_up", 1)])
def test_a_stage_whose_process_ends_is_named_with_its_exit_status(toy, function, status):
    with pytest.raises(StageError, match=f"leaving: its process ended with exit status {status}"):
        toy.run(stage("leaving", function))


def test_a_worker_that_is_killed_is_named_with_its_stage_and_the_last_lines_of_its_log(toy, workers_of, alive, until):
    killed: list[int] = []

    def kill():
        if toy.at_work.exists() and not killed:
            killed.append(workers_of(os.getpid())["litert"])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(StageError, match="the litert worker was killed by SIGKILL") as raised:
        toy.run(stage("waiting", "wait"), idle=kill)
    assert raised.value.stage == "waiting"
    assert raised.value.log == str(toy.build / "logs/litert.log")
    assert raised.value.log in str(raised.value)
    assert str(raised.value).endswith("--- waiting")
    until(lambda: alive(killed) == [])
    assert toy.unfinished() == []


def test_a_worker_that_dies_while_it_imports_is_named_with_the_reason(toy):
    toy.fake("onnxruntime", "raise ImportError('libmissing.so.1: cannot open shared object file')")
    with pytest.raises(StageError, match="the litert worker ended with exit status 1") as raised:
        toy.run(*CHAIN)
    assert raised.value.code is Code.INTERNAL
    assert str(raised.value).endswith("ImportError: libmissing.so.1: cannot open shared object file")
    assert toy.unfinished() == []


def test_a_worker_that_dies_in_the_middle_of_an_answer_is_named(toy):
    toy.fake(
        "onnxruntime",
        "import os, stat\n"
        "for file in range(3, 20):\n"
        "    if os.path.exists(f'/dev/fd/{file}') and stat.S_ISFIFO(os.fstat(file).st_mode):\n"
        "        os.write(file, b'{\"stage\": ')\n"
        "os._exit(4)\n",
    )
    with pytest.raises(StageError, match="the litert worker ended with exit status 4"):
        toy.run(*CHAIN)


# --- interruptions


@pytest.mark.parametrize("moment", ["while the worker imports", "while a worker's stage works"])
def test_an_interrupt_ends_every_process_and_removes_what_is_unfinished(toy, workers_of, alive, until, moment):
    if moment == "while the worker imports":
        toy.fake("onnxruntime", TOY_STAGES + "\nwait(out=TOY)")
    groups: dict[str, int] = {}

    def interrupt():
        if toy.at_work.exists() and not groups:
            groups.update(workers_of(os.getpid()))
            os.kill(os.getpid(), signal.SIGINT)

    def chain(end: str) -> tuple[Stage, ...]:
        return (stage("kept", worker="tensorflow_c"), stage("last", end, after=("kept",)))

    with pytest.raises(KeyboardInterrupt):
        toy.run(*chain("wait"), idle=interrupt)
    assert groups.keys() == {"litert", "tensorflow_c"}
    until(lambda: alive(groups.values()) == [])
    assert toy.unfinished() == []


def test_what_was_finished_before_an_interrupt_is_kept(toy, workers_of, alive, until):
    groups: list[int] = []

    def interrupt():
        if toy.at_work.exists() and not groups:
            groups.extend(workers_of(os.getpid()).values())
            assert len(alive(groups)) == 3, "worker, stage and the stage's own process"
            os.kill(os.getpid(), signal.SIGINT)

    chain = (*CHAIN, stage("waiting", "wait", after=("here", "aside")))
    with pytest.raises(KeyboardInterrupt):
        toy.run(*chain, idle=interrupt)
    until(lambda: alive(groups) == [])
    (toy.folder / "go").touch()
    assert toy.run(*chain).ran == ["waiting"]


def test_an_interrupt_in_a_stage_of_our_own_process_removes_what_it_left(toy, workers_of):
    with pytest.raises(KeyboardInterrupt):
        toy.run(*CHAIN, stage("interrupted", "interrupt", worker=None, after=("aside",)))
    assert toy.unfinished() == []
    assert workers_of(os.getpid()) == {}
    assert "aside" not in toy.run(*CHAIN).ran


def test_workers_end_by_themselves_when_their_parent_is_killed_and_the_next_run_sweeps(toy, workers_of, alive, until):
    chain = (*CHAIN, stage("waiting", "wait", after=("here", "aside")))
    with toy.start(*chain) as killed:
        until(toy.at_work.exists)
        groups = workers_of(killed.pid).values()
        assert len(alive(groups)) == 3
        killed.kill()
    until(lambda: alive(groups) == [])
    assert len(toy.unfinished()) == 1
    (toy.folder / "go").touch()
    assert toy.run(*chain).ran == ["waiting"]
    assert toy.unfinished() == []


# --- two runs at a time


def test_the_second_of_two_runs_waits_for_the_first_and_both_succeed(toy, until):
    chain = (*CHAIN, stage("waiting", "wait"))
    with toy.start(*chain) as first:
        until(toy.at_work.exists)
        with toy.start(*chain) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == f"waiting for {first.pid}\n"
            (toy.folder / "go").touch()
            assert len(json.loads(first.communicate()[0])["ran"]) == 5
            assert json.loads(second.stdout.readline()) == {"ran": []}
    assert first.returncode == second.returncode == 0


def test_a_run_that_waited_while_the_build_folder_was_removed_makes_it_anew(toy):
    with build_lock(toy.build, lambda holder: pytest.fail(f"{holder} holds the lock")):
        waiting = toy.start(*CHAIN)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == f"waiting for {os.getpid()}\n"
        for path in toy.build.iterdir():
            path.unlink()
        toy.build.rmdir()
    with waiting:
        assert len(json.loads(waiting.communicate()[0])["ran"]) == 4
    waits: list[str] = []
    with build_lock(toy.build, waits.append):
        assert toy.build.is_dir()
    assert waits == []


# --- disks


def answer(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


def test_a_disk_that_fills_up_in_a_worker_is_one_line_and_what_was_finished_is_kept(toy, disk):
    small = disk("256k")
    filling = stage("filling", "fill", params={"size": 1 << 20, "gives_up": True}, after=("here", "aside"))
    command = small.command(*toy.command(*CHAIN, filling, build=small.folder))
    told = answer(command)
    assert told["error"] == "StageError"
    assert told["code"] == "RESOURCE_EXHAUSTED"
    assert told["message"].startswith("filling: cannot write ")
    assert "no space left on the disk" in told["message"]
    assert "\n" not in told["message"]
    assert list(small.outside.rglob("*.partial")) == []
    assert (small.outside / "logs/litert.log").is_file()

    small.resize("4m")
    assert answer(command) == {"ran": ["filling"]}


def test_a_disk_too_full_for_the_log_is_one_line_that_tells_so(toy, disk):
    small = disk("256k")
    told = answer(small.command(*toy.command(stage("filling", "fill_with_log"), build=small.folder)))
    assert told["code"] == "RESOURCE_EXHAUSTED"
    assert told["message"].startswith("filling: cannot write ")
    assert "no space left on the disk" in told["message"]


def test_a_disk_that_is_full_when_a_result_is_recorded_is_one_line(toy, disk):
    small = disk("128k")
    filling = stage("filling", "fill", params={"size": 1 << 20, "gives_up": False})
    told = answer(small.command(*toy.command(filling, build=small.folder)))
    assert toy.trace == [os.strerror(28)]
    assert told["error"] == "StorageError"
    assert told["code"] == "RESOURCE_EXHAUSTED"
    assert told["message"].startswith(f"cannot write {small.folder}")
    assert list(small.outside.rglob("*.partial")) == []


def test_a_framework_that_tells_of_a_full_disk_in_its_own_words_is_understood(toy):
    with pytest.raises(StageError, match="filling: no space left on the disk; free some") as raised:
        toy.run(stage("filling", "fill_by_tensorflow"))
    assert raised.value.code is Code.RESOURCE_EXHAUSTED


def test_a_read_only_disk_is_one_line(toy, disk):
    read_only = disk("256k")
    read_only.make_read_only()
    told = answer(read_only.command(*toy.command(*CHAIN, build=read_only.folder)))
    assert told["error"] == "StorageError"
    assert told["message"].startswith(f"cannot write {read_only.folder}")
    assert "read-only; choose another folder with --build-dir" in told["message"]


@pytest.mark.parametrize("folder", ["", "cache", "logs"])
def test_a_folder_without_permission_to_write_is_one_line(toy, obedient, folder):
    toy.run()
    for name in ("cache", "logs"):
        (toy.build / name).mkdir()
    (toy.build / folder).chmod(0o555)
    if not folder:
        (toy.build / ".lock").unlink()
    told = answer([*obedient, *toy.command(*CHAIN)])
    assert told["error"] == "StorageError"
    assert told["message"].startswith(f"cannot write {toy.build / folder}")
    assert "no permission" in told["message"]


@pytest.mark.parametrize(("build", "reason"), [("file", "it is a file"), ("file/build", "a part of that path is a")])
def test_a_build_folder_that_is_a_file_is_one_line(tmp_path, build, reason):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"{build}: {reason}"), build_lock(tmp_path / build, print):
        pytest.fail("a file was locked")
