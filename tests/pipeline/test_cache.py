"""Results on disk: found again exactly while nothing that they depend on has changed."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contract.files import sha256
from pipeline import cache as cache_module
from pipeline.cache import Cache, Entry
from pipeline.memory import Memory
from pipeline.stage import Stage

STAGE = Stage("make", "toy:make", worker=None, inputs={"data": "before"}, params={"seed": 1})
KEY = "0123456789abcdef0123"


@pytest.fixture
def build(tmp_path):
    return tmp_path / "build"


@pytest.fixture
def cache(build):
    return Cache(build, "toy")


def make(cache: Cache, build: Path, key: str = KEY, stage: Stage = STAGE) -> Entry:
    """A result of three files, and a published one."""
    with cache.workspace(stage, key) as out:
        (out / "folder").mkdir()
        (out / "one.bin").write_bytes(b"one")
        (out / "folder/two.bin").write_bytes(b"two")
        (out / "folder/three.bin").write_bytes(b"three")
        (build / "served").mkdir(exist_ok=True)
        (build / "served/model.bin").write_bytes(b"served")
        return cache.keep(stage, key, out, {"note": "3 files", "published": ["served/model.bin"]}, 1.25, Memory(10, 20))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- keys


def test_the_same_question_has_the_same_key(cache, build):
    again = Stage("make", "toy:make", worker=None, inputs={"data": "before"}, params={"seed": 1})
    assert cache.key(STAGE, {"data": "d1"}) == Cache(build, "toy").key(again, {"data": "d1"})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(STAGE, params={"seed": 2}), id="value of a parameter"),
        pytest.param(replace(STAGE, params={"seed": 1, "rate": 0.1}), id="another parameter"),
        pytest.param(replace(STAGE, params={"seed": "1"}), id="type of a parameter"),
        pytest.param(replace(STAGE, call="toy:convert"), id="function"),
        pytest.param(replace(STAGE, code=("pipeline.stage",)), id="code that it imports by name"),
    ],
)
def test_the_key_changes_with_the_stage(cache, other):
    assert cache.key(other, {"data": "d1"}) != cache.key(STAGE, {"data": "d1"})


def test_the_key_changes_with_the_inputs(cache):
    keys = {cache.key(STAGE, inputs) for inputs in ({"data": "d1"}, {"data": "d2"}, {"other": "d1"}, {})}
    assert len(keys) == 4


def test_the_key_does_not_change_with_what_a_stage_is_called_or_waits_for(cache):
    other = replace(STAGE, title="making", after=("first",), worker="torch", name="remake")
    assert cache.key(other, {"data": "d1"}) == cache.key(STAGE, {"data": "d1"})


@pytest.mark.parametrize("function", ["source_digest", "libraries_digest"])
def test_the_key_changes_with_our_source_and_the_lock_file(cache, monkeypatch, function):
    before = cache.key(STAGE, {})
    monkeypatch.setattr(cache_module, function, lambda *modules: "changed")
    assert cache.key(STAGE, {}) != before


def test_the_key_is_made_from_the_source_of_the_function_and_of_the_code_named_beside_it(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "source_digest", lambda *modules: " ".join(modules))
    stage = replace(STAGE, call="package.module:function", code=("models.or_gate.spec",))
    assert cache.source(stage) == "package.module models.or_gate.spec"
    assert cache.key(stage, {}) != cache.key(replace(stage, code=()), {})


def test_the_key_changes_with_python(cache, monkeypatch):
    before = cache.key(STAGE, {})
    monkeypatch.setattr(sys, "version", "3.11.99")
    assert cache.key(STAGE, {}) != before


# --- results that are found, and that are not


def test_a_result_is_found_as_it_was_kept(cache, build):
    kept = make(cache, build)
    assert Cache(build, "toy").find(STAGE, KEY) == kept
    assert kept.note == "3 files"
    assert kept.seconds == 1.25
    assert (kept.folder / "folder/two.bin").read_bytes() == b"two"


def test_another_key_another_stage_and_another_model_find_nothing(cache, build):
    make(cache, build)
    assert cache.find(STAGE, KEY[::-1]) is None
    assert cache.find(replace(STAGE, name="other"), KEY) is None
    assert Cache(build, "other").find(STAGE, KEY) is None


def test_a_stage_that_leaves_no_file_and_says_nothing_is_found_too(cache):
    with cache.workspace(STAGE, KEY) as out:
        kept = cache.keep(STAGE, KEY, out, {}, 0.0, Memory())
    assert cache.find(STAGE, KEY) == kept
    assert kept.files == {}


DAMAGES = {
    "changed": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
    "removed": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, 1),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"!"),
}


@pytest.mark.parametrize("file", ["{folder}/one.bin", "{folder}/folder/three.bin", "{build}/served/model.bin"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_result_with_a_damaged_file_is_not_found(cache, build, file, damage):
    kept = make(cache, build)
    damage(Path(file.format(folder=kept.folder, build=build)))
    assert cache.find(STAGE, KEY) is None


@pytest.mark.parametrize("damage", [DAMAGES["removed"], DAMAGES["truncated"], DAMAGES["emptied"]])
def test_a_result_with_a_damaged_record_is_not_found(cache, build, damage):
    damage(make(cache, build).folder / "stage.json")
    assert cache.find(STAGE, KEY) is None


@pytest.mark.parametrize("file", ["{folder}/one.bin", "{build}/served/model.bin"])
def test_a_file_that_was_touched_but_holds_the_same_is_found(cache, build, file):
    kept = make(cache, build)
    os.utime(file.format(folder=kept.folder, build=build), (1, 1))
    assert cache.find(STAGE, KEY) == kept


def test_a_copy_of_a_build_folder_with_new_times_is_found(cache, build, tmp_path):
    make(cache, build)
    build.rename(tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.bin"):
        os.utime(path, (1, 1))
    assert Cache(tmp_path / "moved", "toy").find(STAGE, KEY) is not None


def test_a_result_that_is_made_again_replaces_the_damaged_one(cache, build):
    DAMAGES["changed"](make(cache, build).folder / "one.bin")
    again = make(cache, build)
    assert (again.folder / "one.bin").read_bytes() == b"one"
    assert cache.find(STAGE, KEY) == again


def test_a_stage_that_publishes_drops_its_earlier_results_before_it_replaces_what_they_published(cache, build):
    publishes = replace(STAGE, publishes=True)
    make(cache, build, stage=publishes)
    with pytest.raises(KeyboardInterrupt), cache.workspace(publishes, "f" * 20):
        raise KeyboardInterrupt
    assert cache.find(publishes, KEY) is None


def test_a_stage_that_publishes_nothing_keeps_them(cache, build):
    kept = make(cache, build)
    with pytest.raises(KeyboardInterrupt), cache.workspace(STAGE, "f" * 20):
        raise KeyboardInterrupt
    assert cache.find(STAGE, KEY) == kept


# --- digests


def test_the_digest_of_a_file_is_its_sha256(cache, build):
    kept = make(cache, build)
    assert kept.digest("folder/two.bin") == sha256(kept.folder / "folder/two.bin")


@pytest.mark.parametrize(
    ("changed", "reference", "differs"),
    [
        ("one.bin", "", True),
        ("folder/two.bin", "", True),
        ("folder/two.bin", "folder", True),
        ("one.bin", "folder", False),
        ("folder/two.bin", "folder/three.bin", False),
    ],
)
def test_the_digest_of_a_folder_is_that_of_what_is_under_it(changed, reference, differs):
    files = {"one.bin": "1", "folder/two.bin": "2", "folder/three.bin": "3", "folderish": "4"}
    before = Entry(Path(), files, "", 0.0, Memory()).digest(reference)
    after = Entry(Path(), files | {changed: "new"}, "", 0.0, Memory()).digest(reference)
    assert (before != after) is differs


def test_the_digest_changes_with_a_name():
    assert (
        Entry(Path(), {"a": "1"}, "", 0.0, Memory()).digest() != Entry(Path(), {"b": "1"}, "", 0.0, Memory()).digest()
    )


@pytest.mark.parametrize("reference", ["missing", "fold", "folder/missing", "one.bin/x"])
def test_what_is_not_in_a_result_has_no_digest(cache, build, reference):
    with pytest.raises(KeyError, match=reference):
        make(cache, build).digest(reference)


# --- workspaces and sweeping


def test_the_workspace_of_a_failed_stage_is_removed(cache, build):
    def fail():
        with cache.workspace(STAGE, KEY) as out:
            (out / "half").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(build / "cache/toy/make") == set()


def test_a_result_is_not_found_before_it_is_kept(cache, build):
    with cache.workspace(STAGE, KEY) as out:
        (out / "one.bin").write_bytes(b"one")
        assert cache.find(STAGE, KEY) is None
        assert out.parent == build / "cache/toy/make"
        assert out.name.startswith(".")


def test_a_workspace_is_empty_even_when_a_killed_run_of_the_same_process_id_left_one(cache):
    with cache.workspace(STAGE, KEY) as out:
        path = out
    path.mkdir()
    (path / "half").write_bytes(b"half")
    with cache.workspace(STAGE, KEY) as out:
        assert out == path
        assert names(out) == set()


def test_the_sweep_keeps_what_is_asked_for_and_nothing_else(cache, build):
    other = replace(STAGE, name="other")
    for stage, key in ((STAGE, "old"), (STAGE, "new"), (other, "old"), (replace(STAGE, name="gone"), "new")):
        make(cache, build, key, stage)
    leftover = build / "cache/toy/make/.new.4711.partial"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"half")
    elsewhere = make(Cache(build, "another_model"), build, "old")

    cache.sweep({"make": "new", "other": "old"})

    assert names(build / "cache/toy/make") == {"new"}
    assert names(build / "cache/toy/other") == {"old"}
    assert names(build / "cache/toy/gone") == set()
    assert elsewhere.folder.is_dir()
    assert (build / "served/model.bin").is_file()


def test_the_record_of_a_result_is_no_file_of_it(cache, build):
    kept = make(cache, build)
    assert set(kept.files) == {"one.bin", "folder/two.bin", "folder/three.bin"}
    assert set(json.loads((kept.folder / "stage.json").read_text())["files"]) == set(kept.files)


def test_what_a_killed_run_left_half_made_is_swept_and_results_stay(cache, build):
    entry = make(cache, build)
    left = entry.folder.parent / ".abc.123.partial"
    left.mkdir()
    (left / "half").touch()
    cache.sweep_unfinished()
    assert not left.exists()
    assert cache.find(STAGE, KEY) is not None
