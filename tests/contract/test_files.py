"""Files that are whole or not there: failures, kills, several writers, full and read-only disks."""

import errno
import hashlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.errors import StorageError
from contract.files import beside, sha256, storage_errors, tree_files, write_json, write_text


class InterruptionError(Exception):
    """What no code catches by chance."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_the_end(tmp_path):
    target = tmp_path / "new" / "folder" / "file"
    write_text(target, "old")
    with beside(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".")
    assert target.read_text() == "new"
    assert names(target.parent) == ["file"]


def test_a_folder_appears_at_the_end(tmp_path):
    with beside(tmp_path / "3") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "file").write_text("content")
        assert not (tmp_path / "3").exists()
    assert tree_files(tmp_path) == ["3/inner/file"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def write_half():
        with beside(target) as temporary:
            temporary.write_text("half of the ne")
            raise InterruptionError

    with pytest.raises(InterruptionError):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_failure_before_the_first_byte(tmp_path):
    with pytest.raises(InterruptionError), beside(tmp_path / "file"):
        raise InterruptionError
    assert names(tmp_path) == []


def test_a_failure_in_a_folder_leaves_nothing(tmp_path):
    def write_half():
        with beside(tmp_path / "3") as temporary:
            temporary.mkdir()
            (temporary / "file").write_text("content")
            raise InterruptionError

    with pytest.raises(InterruptionError):
        write_half()
    assert names(tmp_path) == []


def test_a_folder_that_is_not_empty_is_not_replaced(tmp_path):
    write_text(tmp_path / "3" / "file", "old")
    with pytest.raises(OSError, match="not empty") as caught, beside(tmp_path / "3") as temporary:
        write_text(temporary / "file", "new")
    assert caught.value.errno == errno.ENOTEMPTY
    assert tree_files(tmp_path) == ["3/file"]
    assert (tmp_path / "3" / "file").read_text() == "old"


KILLED = """
import sys, time
from pathlib import Path
from contract.files import beside
with beside(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of the ne")
    print("inside", flush=True)
    time.sleep(600)
"""


def test_a_kill_in_between_leaves_the_old_file(started, tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with started(KILLED, target) as process:
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGKILL)
    assert target.read_text() == "old"
    # A killed process cannot clean up; what it leaves is no version and no file that anybody asks for.
    [leftover] = [name for name in names(tmp_path) if name != "file"]
    assert leftover.startswith(".file.")
    assert leftover.endswith(".partial")
    write_text(target, "new")
    assert target.read_text() == "new"


ENDLESS = """
import sys
from pathlib import Path
from contract.files import write_text
print("begun", flush=True)
while True:
    for letter in "ab":
        write_text(Path(sys.argv[1]), letter * 500_000)
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(started, tmp_path):
    target = tmp_path / "file"
    write_text(target, "a" * 500_000)
    seen = set()
    for _ in range(8):
        with started(ENDLESS, target) as process:
            assert process.stdout.readline() == "begun\n"
            for _ in range(20):
                seen.add(target.read_text())
            process.kill()
        assert target.read_text() in {"a" * 500_000, "b" * 500_000}
    assert seen <= {"a" * 500_000, "b" * 500_000}


SEVERAL = """
import sys
from pathlib import Path
from contract.files import write_text
for _ in range(50):
    write_text(Path(sys.argv[1]), sys.argv[2] * 100_000)
"""


def test_processes_that_write_one_file_never_mix(started, tmp_path):
    target = tmp_path / "file"
    write_text(target, "a" * 100_000)
    processes = [started(SEVERAL, target, letter) for letter in "abc"]
    whole = {letter * 100_000 for letter in "abc"}
    while any(process.poll() is None for process in processes):
        assert target.read_text() in whole
    for process in processes:
        assert (process.wait(), process.communicate()[1]) == (0, "")
    assert target.read_text() in whole
    assert names(tmp_path) == ["file"]


def test_threads_that_write_one_file_never_mix(tmp_path):
    target = tmp_path / "file"

    def write(letter):
        for _ in range(20):
            write_text(target, letter * 100_000)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "abc"))
    assert target.read_text() in {letter * 100_000 for letter in "abc"}
    assert names(tmp_path) == ["file"]


def test_json_of_one_value_has_one_form(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"ü": "\n"}}
    for name in ("first", "second"):
        write_json(tmp_path / name, value)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    text = (tmp_path / "first").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "ü" in text
    assert text.endswith("}\n")


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"value": float("nan")})
    assert names(tmp_path) == []


def test_tree_has_every_file_and_follows_no_link(tmp_path):
    for name in ("b", "a/c", "a/b/c", ".hidden"):
        write_text(tmp_path / name, name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "self").symlink_to(tmp_path)
    assert tree_files(tmp_path / "a") == ["b/c", "c"]
    assert tree_files(tmp_path) == [".hidden", "a/b/c", "a/c", "b"]
    assert tree_files(tmp_path / "absent") == []


def test_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no space left on the disk; free some and run the same command again"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only; choose another folder with --build-dir"),
        (errno.EACCES, "no permission to write there; choose another folder with --build-dir"),
        (errno.EPERM, "no permission to write there"),
    ],
)
def test_an_unwritable_disk_is_one_line(number, reason):
    with pytest.raises(StorageError, match=f"^cannot write build/file: {reason}") as caught, storage_errors(Path("x")):
        raise OSError(number, os.strerror(number), "build/file")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StorageError, match=f"^cannot write x: {reason}"), storage_errors(Path("x")):
        raise OSError(number, os.strerror(number))


def test_of_two_files_the_one_that_is_written_is_named():
    with pytest.raises(StorageError, match=r"^cannot write build/copy: no space"), storage_errors(Path("x")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "source", None, "build/copy")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "input/output error"), OSError("no number"), ValueError("no")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, storage_errors(Path("x")):
        raise error
    assert caught.value is error


FULL = """
import sys
from pathlib import Path
from contract.errors import StorageError
from contract.files import storage_errors, write_text
folder = Path(sys.argv[1])
write_text(folder / "file", "old")
try:
    with storage_errors(folder):
        write_text(folder / "file", "x" * 1_000_000)
except StorageError as err:
    print(err)
print((folder / "file").read_text(), *(path.name for path in folder.iterdir()))
"""


def test_a_full_disk_leaves_the_old_file(on_small_disk):
    reason, left = on_small_disk(FULL).splitlines()
    assert reason.startswith("cannot write ")
    assert reason.endswith(": no space left on the disk; free some and run the same command again")
    assert left == "old file"


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from contract.errors import StorageError
from contract.files import storage_errors, write_text
folder = Path(sys.argv[1])
write_text(folder / "file", "old")
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
for name in ("file", "new/file"):
    try:
        with storage_errors(folder):
            write_text(folder / name, "new")
    except StorageError as err:
        print(err)
print((folder / "file").read_text(), *(path.name for path in folder.iterdir()))
"""


def test_a_read_only_disk_is_one_line(on_small_disk):
    file, folder, left = on_small_disk(READ_ONLY).splitlines()
    for line in (file, folder):
        assert line.startswith("cannot write /")
        assert line.endswith(": the file system is read-only; choose another folder with --build-dir")
    assert left == "old file"
