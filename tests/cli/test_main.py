"""The command line itself: nothing here needs a framework."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import parser
from pipeline.engine import build_lock

ROOT = Path(__file__).parents[2]
[VERBS] = [list(action.choices or ()) for action in parser()._actions if action.dest == "verb"]

LOADED = """
import json, sys
before = set(sys.modules)
from cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})), file=sys.stderr)
"""


def loaded(*arguments: str | Path) -> tuple[str, set[str]]:
    """What a fresh `showdown` prints, and the top-level packages that it has loaded at its end."""
    command = [sys.executable, "-c", LOADED, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)], ids=["showdown", *VERBS])
def test_help_loads_the_standard_library_and_nothing_to_compute_with(verb):
    printed, modules = loaded(*verb, "--help")
    assert printed.startswith(f"usage: showdown {' '.join(verb)}".rstrip())
    assert modules - sys.stdlib_module_names == {"cli", "contract"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_lists_every_verb(showdown, verb):
    done = showdown("--help")
    assert done.returncode == 0
    assert re.search(rf"^    {verb}\s", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "or_gat"], "no model 'or_gat' in models/; did you mean 'or_gate'?"),
        (["verify", "orgate"], "no export of 'orgate' in"),
        (["evaluate", "or_gate"], "no export of 'or_gate' in"),
        (["export", "zzz"], "no model 'zzz' in models/; there are: digits, or_gate, parity_rnn"),
        (["export", "../models"], "../models: there is no such file"),
        (["export", "models"], "models: a folder; a model is named by its folder in models/"),
        (["export", "absent.onnx"], "absent.onnx: there is no such file"),
        (["export", "or_gate", "--name", "gate"], "--name: models/or_gate/spec.py says it for that model"),
        (["export", "absent:build"], "absent:build: say what it takes, such as --input"),
        (["export", "--opset", "9"], "opset 9 is too old; 18 is the oldest"),
        (["export", "--converter", "onnx2tf"], "no converter 'onnx2tf'; there are: showdown, onnx-tf"),
        (["export", "--exporter", "jit"], "no exporter 'jit'; there are: dynamo, torchscript"),
        (["export", "--keep", "0"], "--keep is 0; the newest version always stays"),
        (["export", "--seed", "-1"], "the seed is -1; it has to be 0 or more"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_status_2(showdown, tmp_path, arguments, message):
    done = showdown(*arguments, "--build-dir", tmp_path / "build")
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: {message}")
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["exprt"], ["export", "--seed", "x"], ["export", "--opset", "x"], ["clean", "--everything"]]
)
def test_what_cannot_be_parsed_shows_the_usage_and_exit_status_2(showdown, arguments):
    done = showdown(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: showdown")
    assert ": error: " in done.stderr.splitlines()[-1]


def test_debug_shows_the_traceback_before_the_line(showdown):
    done = showdown("export", "zzz", "--debug")
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.splitlines()[-1].startswith("showdown: error: no model 'zzz'")


def test_verify_before_any_export_says_what_to_run(showdown, tmp_path):
    done = showdown("verify", "--build-dir", tmp_path / "build")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.endswith("`showdown export or_gate` makes one")
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_parses_and_knows_every_verb(showdown, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    done = showdown("completion", shell)
    assert done.returncode == 0
    assert done.stderr == ""
    script = tmp_path / "completion"
    script.write_text(done.stdout)
    subprocess.run([shell, "-n", script], check=True)
    assert all(verb in done.stdout for verb in VERBS)


def test_bash_completes_verbs_and_options(showdown):
    ask = """
eval "$1"
for typed in "showdown exp" "showdown export --conv"; do
    COMP_WORDS=($typed); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    "$(complete -p showdown | sed 's/.*-F \\([^ ]*\\).*/\\1/')" showdown "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
    echo "${COMPREPLY[@]}"
done
"""
    script = showdown("completion", "bash").stdout
    done = subprocess.run(["bash", "-c", ask, "-", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["export", "--converter"]


# --- clean


@pytest.fixture
def made(tmp_path):
    for name in ("cache/or_gate/train/key/file", "logs/torch.log", "serving/or_gate/1/saved_model.pb", "tflite/x"):
        path = tmp_path / "build" / name
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / "build"


def test_clean_removes_the_cache_and_the_logs_and_keeps_what_is_published(showdown, made):
    assert showdown("clean", "--build-dir", made).returncode == 0
    assert {path.name for path in made.iterdir()} == {".lock", "serving", "tflite"}
    assert (made / "serving/or_gate/1/saved_model.pb").is_file()


def test_clean_all_removes_the_build_folder(showdown, made):
    assert showdown("clean", "--all", "--build-dir", made).returncode == 0
    assert not made.exists()


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_clean_where_nothing_was_built_does_nothing(showdown, tmp_path, options):
    done = showdown("clean", *options, "--build-dir", tmp_path / "build")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "build").exists()


def test_clean_waits_for_who_uses_the_folder(start, made):
    with build_lock(made, pytest.fail):
        cleaning = start("clean", "--build-dir", made)
        assert cleaning.stderr.readline() == f"waiting for process {os.getpid()}, which uses {made}\n"
        assert (made / "cache").is_dir()
    with cleaning:
        assert cleaning.wait() == 0
    assert not (made / "cache").exists()


@pytest.mark.parametrize(("number", "status", "lines"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 0)])
def test_who_waits_for_another_can_be_stopped(start, made, number, status, lines):
    with build_lock(made, pytest.fail), start("export", "--build-dir", made) as waiting:
        assert waiting.stderr.readline().startswith("waiting for process")
        waiting.send_signal(number)
        output, errors = waiting.communicate()
    assert waiting.returncode == status
    assert output == ""
    assert [line.startswith("showdown: interrupted; ") for line in errors.splitlines()] == [True] * lines


# --- unwritable folders


def test_a_build_folder_on_a_read_only_disk_is_one_line(showdown, disk):
    read_only = disk("64k")
    read_only.make_read_only()
    done = showdown("export", "--build-dir", read_only.folder / "build", around=read_only.command)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: cannot write {read_only.folder}/build")
    assert line.endswith("read-only; choose another folder with --build-dir")


def test_a_build_folder_without_permission_is_one_line(showdown, obedient, tmp_path):
    tmp_path.chmod(0o555)
    done = showdown("export", "--build-dir", tmp_path / "build", around=lambda *command: [*obedient, *command])
    tmp_path.chmod(0o755)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: cannot write {tmp_path}/build: no permission")


def test_a_build_folder_that_is_a_file_is_one_line(showdown, tmp_path):
    (tmp_path / "build").touch()
    done = showdown("export", "--build-dir", tmp_path / "build")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: cannot write {tmp_path}/build: it is a file")


def test_clean_all_leaves_what_it_did_not_make(showdown, made):
    (made / "thesis.txt").write_text("irreplaceable")
    assert showdown("clean", "--all", "--build-dir", made).returncode == 0
    assert [path.name for path in made.iterdir()] == ["thesis.txt"]
