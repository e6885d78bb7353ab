"""A real export that is interrupted, loses a worker, or runs out of disk: published files stay whole."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NEW = ("export", "--seed", "7", "--build-dir")
"""Makes everything anew, over what is published already."""


def at_work(build: Path, stage: str) -> bool:
    """Whether the TensorFlow worker of this run has begun such a stage."""
    log = build / "logs/tensorflow.log"
    return log.exists() and f"--- {stage}" in log.read_text(errors="replace")


def is_importing(build: Path) -> bool:
    return (build / "logs/tensorflow.log").exists() and (build / "logs/tensorflow_c.log").exists()


MOMENTS = {
    "while frameworks import": is_importing,
    "during train": lambda build: at_work(build, "train."),
    "during tflite": lambda build: at_work(build, "tflite."),
}


@pytest.fixture
def build(build):
    for log in (build / "logs").iterdir():
        log.unlink()  # so that what a log holds is of this run
    return build


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_an_interrupted_export_ends_at_once_and_the_next_one_finishes(
    start, showdown, build, check_published, workers_of, alive, until, moment
):
    with start(*NEW, build) as export:
        until(lambda: moment(build))
        groups = workers_of(export.pid)
        export.send_signal(signal.SIGINT)
        _, errors = export.communicate()
    assert export.returncode == 130
    assert errors == "showdown: interrupted; what was finished is kept, run the same command to go on\n"
    assert {"torch", "tensorflow"} <= groups.keys()
    until(lambda: alive(groups.values()) == [])
    assert list((build / "cache").rglob("*.partial")) == []
    assert all(1 in numbers for numbers in check_published(build).values())

    done = showdown(*NEW, build)
    assert done.returncode == 0, done.stderr
    assert set(map(tuple, check_published(build).values())) == {(1, 2)}
    if moment is MOMENTS["during tflite"]:
        assert not at_work(build, "train."), "what was finished was made again"


def test_a_terminated_export_ends_with_143(start, build, check_published, workers_of, alive, until):
    with start(*NEW, build) as export:
        until(lambda: at_work(build, "train."))
        groups = workers_of(export.pid)
        export.send_signal(signal.SIGTERM)
        _, errors = export.communicate()
    assert export.returncode == 143
    assert errors == ""
    assert "tensorflow" in groups
    until(lambda: alive(groups.values()) == [])
    assert list((build / "cache").rglob("*.partial")) == []
    assert set(map(tuple, check_published(build).values())) == {(1,)}


def test_an_export_whose_worker_is_killed_names_the_worker_its_stages_and_its_log(
    start, build, check_published, workers_of, alive, until
):
    with start(*NEW, build) as export:
        until(lambda: at_work(build, "train.keras"))
        groups = workers_of(export.pid)
        os.kill(groups["tensorflow"], signal.SIGKILL)
        _, errors = export.communicate()
    assert export.returncode == 1
    [line] = errors.splitlines()
    assert "train.keras" in line.partition(": the tensorflow worker was killed by SIGKILL;")[0]
    assert line.endswith(f"(log: {build}/logs/tensorflow.log)")
    until(lambda: alive(groups.values()) == [])
    assert set(map(tuple, check_published(build).values())) == {(1,)}


@pytest.fixture
def nearly_full(build, disk):
    """Puts the build folder on a disk that has a few KiB left."""

    def put(free):
        small = disk("16m")
        subprocess.run(small.command("cp", "-a", build, small.folder), check=True)
        small.resize(f"{shutil.disk_usage(small.outside).used // 1024 + free}k")
        return small

    return put


@pytest.mark.parametrize("free", [64, 400])
def test_a_full_disk_is_one_line_and_what_is_published_stays_whole(showdown, nearly_full, check_published, free):
    small = nearly_full(free)
    done = showdown(*NEW, small.folder / "build", around=small.command)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("showdown: error: ")
    assert "no space left on the disk; free some and run the same command again" in line
    assert list((small.outside / "build/cache").rglob("*.partial")) == []
    assert all(1 in numbers for numbers in check_published(small.outside / "build").values())


def test_an_export_goes_on_where_a_full_disk_has_stopped_it(showdown, nearly_full, check_published):
    small = nearly_full(1000)
    assert showdown(*NEW, small.folder / "build", around=small.command).returncode == 1
    assert all(1 in numbers for numbers in check_published(small.outside / "build").values())
    small.resize("16m")
    subprocess.run(small.command("rm", "-r", small.folder / "build/logs"), check=True)
    done = showdown(*NEW, small.folder / "build", around=small.command)
    assert done.returncode == 0, done.stderr
    assert not at_work(small.outside / "build", "train."), "what was finished was made again"
    assert set(map(tuple, check_published(small.outside / "build").values())) == {(1, 2)}


def test_an_export_into_a_folder_that_became_read_only_leaves_it_as_it_was(showdown, build, disk, check_published):
    read_only = disk("16m")
    subprocess.run(read_only.command("cp", "-a", build, read_only.folder), check=True)
    read_only.make_read_only()
    done = showdown(*NEW, read_only.folder / "build", around=read_only.command)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.endswith("the file system is read-only; choose another folder with --build-dir")
    assert set(map(tuple, check_published(read_only.outside / "build").values())) == {(1,)}
