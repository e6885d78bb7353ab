"""Manifests, and versions that are there whole or not at all."""

import json
import signal
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import ManifestError
from contract.files import sha256, tree_files, write_text
from contract.store import (
    MANIFEST_NAME,
    MANIFEST_VERSION,
    FileRecord,
    Format,
    Manifest,
    check_files,
    publish_version,
    read_manifest,
    record_files,
    remove_old_versions,
    versions,
)

DIGEST = "0123456789abcdef" * 4
RECORD = FileRecord(size_bytes=1, sha256=DIGEST)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
part = st.text("abc.-_ ü", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."})
paths = st.lists(part, min_size=1, max_size=3).map("/".join)
manifests = st.builds(
    Manifest,
    format=st.sampled_from(Format),
    model=st.text(),
    servable=st.text(),
    config=json_objects,
    libraries=st.dictionaries(st.text(), st.text(), max_size=3),
    opset=st.none() | st.integers(1),
    files=st.dictionaries(paths, st.builds(FileRecord, size_bytes=st.integers(0), sha256=digests), max_size=3),
    made_from=st.dictionaries(st.text(), digests, max_size=3),
    parity=st.lists(json_objects, max_size=3).map(tuple),
    details=json_objects,
)


def a_manifest(**changes):
    plain = Manifest(
        format=Format.SAVED_MODEL,
        model="m",
        servable="m_keras",
        config={"seed": 0},
        libraries={"numpy": "1.26.4"},
        opset=None,
        files={},
        made_from={"weights": DIGEST},
        parity=({"hop": "train", "checks": []},),
    )
    return replace(plain, **changes)


@pytest.fixture
def base(tmp_path):
    return tmp_path / "serving" / "m_keras"


@pytest.fixture
def publish(tmp_path, base):
    """Publishes an artifact of two files with a content; gives its version."""

    def published(content):
        source = tmp_path / "source"
        write_text(source / "saved_model.pb", content)
        write_text(source / "variables" / "variables.index", content * 2)
        return publish_version(base, source, a_manifest(files=record_files(source)))

    return published


def content_of(folder):
    return (folder / "saved_model.pb").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@settings(derandomize=True, deadline=None)
@given(manifest=manifests)
def test_round_trip(manifest):
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_round_trip_through_a_file(tmp_path):
    manifest = a_manifest(files={"variables/variables.index": RECORD}, opset=18)
    write_text(tmp_path / MANIFEST_NAME, json.dumps(manifest.to_dict()))
    assert read_manifest(tmp_path / MANIFEST_NAME) == manifest


@pytest.fixture
def damaged(tmp_path):
    """The path of a manifest after a function changed its JSON object."""

    def damage(function):
        values = a_manifest(files={"saved_model.pb": RECORD}).to_dict()
        function(values)
        write_text(tmp_path / MANIFEST_NAME, json.dumps(values))
        return tmp_path / MANIFEST_NAME

    return damage


def test_unknown_key(damaged):
    path = damaged(lambda values: values.update(comment="mine"))
    with pytest.raises(ManifestError, match=rf"^{path}: keys missing: \[\], unknown: \['comment'\]"):
        read_manifest(path)


@pytest.mark.parametrize("key", sorted(a_manifest().to_dict().keys() - {"manifest_version"}))
def test_missing_key(damaged, key):
    path = damaged(lambda values: values.pop(key))
    with pytest.raises(ManifestError, match=rf"^{path}: keys missing: \['{key}'\], unknown: \[\]"):
        read_manifest(path)


@pytest.mark.parametrize("version", [0, MANIFEST_VERSION + 1, "1", None])
def test_another_version(damaged, version):
    path = damaged(lambda values: values.update(manifest_version=version))
    with pytest.raises(ManifestError, match=f"^{path}: manifest_version is {version!r}, this program reads 1"):
        read_manifest(path)


def test_without_a_version(damaged):
    with pytest.raises(ManifestError, match="manifest_version is None"):
        read_manifest(damaged(lambda values: values.pop("manifest_version")))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("format", "onnx", "'onnx' is not a valid Format"),
        ("model", 3, "model is int, not str"),
        ("servable", None, "servable is NoneType, not str"),
        ("config", [], "config is list, not dict"),
        ("libraries", "numpy", "libraries is str, not dict"),
        ("files", [], "files is list, not dict"),
        ("files", {"a": 3}, "must be a mapping, not int"),
        ("files", {"a": {"size_bytes": 1}}, "missing 1 required .* 'sha256'"),
        ("files", {"a": {"size_bytes": 1, "sha256": DIGEST, "mode": 7}}, "unexpected keyword argument 'mode'"),
        ("files", {"a": {"size_bytes": -1, "sha256": DIGEST}}, "size_bytes -1 is no size"),
        ("files", {"a": {"size_bytes": "1", "sha256": DIGEST}}, "size_bytes '1' is no size"),
        ("files", {"a": {"size_bytes": 1, "sha256": DIGEST[1:]}}, "is not 64 hexadecimal digits"),
        ("files", {"a": {"size_bytes": 1, "sha256": DIGEST.upper()}}, "is not 64 hexadecimal digits"),
        ("files", {"a": {"size_bytes": 1, "sha256": None}}, "sha256 None is not 64 hexadecimal digits"),
        ("made_from", None, "made_from is NoneType, not dict"),
        ("opset", "18", "opset is str, not int"),
        ("parity", {}, "parity is dict, not list"),
        ("details", [], "details is list, not dict"),
    ],
)
def test_value_of_the_wrong_kind(damaged, key, value, reason):
    path = damaged(lambda values: values.update({key: value}))
    with pytest.raises(ManifestError, match=f"^{path}: .*{reason}"):
        read_manifest(path)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "./",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "/etc/passwd",
        "//x",
        "a\\b",
        "..\\x",
        "C:\\x",
        "a\0",
        "manifest.json",
        "manifest.json/x",
    ],
)
def test_hostile_file_name(damaged, name):
    path = damaged(lambda values: values["files"].update({name: {"size_bytes": 1, "sha256": DIGEST}}))
    with pytest.raises(ManifestError, match="is not a path inside the artifact's folder") as caught:
        read_manifest(path)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["x", "a/b", "..x", "a/..b", "variables/manifest.json", "üü", "with blank"])
def test_harmless_file_name(damaged, name):
    path = damaged(lambda values: values["files"].update({name: {"size_bytes": 1, "sha256": DIGEST}}))
    assert read_manifest(path).files[name] == RECORD


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
def test_not_a_manifest(tmp_path, content):
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ManifestError, match=f"^{tmp_path}/{MANIFEST_NAME}: (cannot be read|is not a JSON object)"):
        read_manifest(tmp_path / MANIFEST_NAME)


def test_no_manifest(tmp_path):
    with pytest.raises(ManifestError, match=f"^{tmp_path}/{MANIFEST_NAME}: cannot be read: .*No such file"):
        read_manifest(tmp_path / MANIFEST_NAME)


def test_records_are_of_every_file_but_the_manifest(tmp_path):
    for name in ("saved_model.pb", "variables/manifest.json", MANIFEST_NAME):
        write_text(tmp_path / name, name)
    assert record_files(tmp_path) == {
        name: FileRecord(size_bytes=len(name), sha256=sha256(tmp_path / name))
        for name in ("saved_model.pb", "variables/manifest.json")
    }


def test_what_was_published_is_checked_to_be_there(publish, base):
    publish("first")
    folder = base / "1"
    manifest = read_manifest(folder / MANIFEST_NAME)
    assert set(manifest.files) == {"saved_model.pb", "variables/variables.index"}
    check_files(manifest, folder)
    # What the manifest does not name is not part of the artifact.
    write_text(folder / "notes.txt", "mine")
    check_files(manifest, folder)


@pytest.mark.parametrize("content", ["secon", "second", "first "])
def test_a_changed_file_is_named(publish, base, content):
    publish("first")
    (base / "1" / "saved_model.pb").write_text(content)
    with pytest.raises(ManifestError, match=f"^{base}/1/saved_model.pb: has changed since it was published"):
        check_files(read_manifest(base / "1" / MANIFEST_NAME), base / "1")


def test_a_missing_file_is_named(publish, base):
    publish("first")
    (base / "1" / "variables" / "variables.index").unlink()
    with pytest.raises(ManifestError, match=f"^{base}/1/variables/variables.index: is missing"):
        check_files(read_manifest(base / "1" / MANIFEST_NAME), base / "1")
    (base / "1" / "variables").rmdir()
    write_text(base / "1" / "variables", "a file")
    with pytest.raises(ManifestError, match=f"^{base}/1/variables/variables.index: is missing"):
        check_files(read_manifest(base / "1" / MANIFEST_NAME), base / "1")


def test_the_first_version_is_1(publish, base):
    assert versions(base) == {}
    assert publish("first") == 1
    assert versions(base) == {1: base / "1"}
    assert names(base) == ["1"]
    assert tree_files(base / "1") == [MANIFEST_NAME, "saved_model.pb", "variables/variables.index"]
    assert content_of(base / "1") == "first"


def test_the_same_bytes_are_the_same_version(publish, base):
    assert [publish("first"), publish("first")] == [1, 1]
    assert names(base) == ["1"]


def test_other_bytes_are_the_next_version(publish, base):
    assert [publish("first"), publish("second")] == [1, 2]
    assert [content_of(folder) for folder in versions(base).values()] == ["first", "second"]


def test_bytes_of_an_older_version_are_news(publish):
    assert [publish("first"), publish("second"), publish("first")] == [1, 2, 3]


def test_one_more_file_is_the_next_version(publish, tmp_path):
    assert publish("first") == 1
    write_text(tmp_path / "source" / "assets" / "vocabulary", "words")
    assert publish("first") == 2


@pytest.mark.parametrize("damaged_file", ["saved_model.pb", MANIFEST_NAME])
@pytest.mark.parametrize("damage", [lambda path: path.write_text("damaged"), lambda path: path.unlink()])
def test_a_damaged_version_stays_and_the_next_is_published(publish, base, damaged_file, damage):
    publish("first")
    damage(base / "1" / damaged_file)
    before = {name: sha256(base / "1" / name) for name in tree_files(base / "1")}
    assert publish("first") == 2
    assert {name: sha256(base / "1" / name) for name in tree_files(base / "1")} == before
    check_files(read_manifest(base / "2" / MANIFEST_NAME), base / "2")


def test_only_numbers_are_versions(publish, base):
    for name in ("abc", "1a", "-3", "1.5", ".9", "٣", "tmp-5"):
        (base / name).mkdir(parents=True)
    write_text(base / "8", "a file")
    assert versions(base) == {}
    assert publish("first") == 1


def test_leading_zeros_count(publish, base):
    (base / "007").mkdir(parents=True)
    assert versions(base) == {7: base / "007"}
    assert publish("first") == 8
    assert list(versions(base)) == [7, 8]


def test_versions_go_up_by_number(base):
    for name in ("10", "9", "100"):
        (base / name).mkdir(parents=True)
    assert list(versions(base)) == [9, 10, 100]


def test_files_that_the_manifest_does_not_name_stay_behind(tmp_path, base):
    write_text(tmp_path / "source" / "saved_model.pb", "model")
    manifest = a_manifest(files=record_files(tmp_path / "source"))
    write_text(tmp_path / "source" / "notes" / "mine.txt", "mine")
    publish_version(base, tmp_path / "source", manifest)
    assert tree_files(base / "1") == [MANIFEST_NAME, "saved_model.pb"]


def test_a_file_that_the_source_has_not_publishes_nothing(tmp_path, base):
    write_text(tmp_path / "source" / "saved_model.pb", "model")
    manifest = a_manifest(files={**record_files(tmp_path / "source"), "variables/variables.index": RECORD})
    with pytest.raises(FileNotFoundError, match=r"variables\.index"):
        publish_version(base, tmp_path / "source", manifest)
    assert names(base) == []


# Stops after the files are copied and before the manifest is written.
KILLED = """
import os, sys
from pathlib import Path
from contract import store
base, source = map(Path, sys.argv[1:])
def wait(path, value):
    print("copied", flush=True)
    sys.stdin.read()
store.write_json = wait
files = store.record_files(source)
store.publish_version(base, source, store.Manifest(store.Format.SAVED_MODEL, "m", "s", {}, {}, None, files, {}, ()))
"""


def test_what_a_killed_publish_leaves_is_swept(started, publish, base, tmp_path):
    publish("first")
    source = tmp_path / "other"
    write_text(source / "saved_model.pb", "second")
    with started(KILLED, base, source) as process:
        assert process.stdout.readline() == "copied\n"
        process.send_signal(signal.SIGKILL)
    assert list(versions(base)) == [1]
    assert len(names(base)) == 2
    assert publish("third") == 2
    assert names(base) == ["1", "2"]


def test_what_a_killed_removal_leaves_is_swept(publish, base):
    publish("first")
    write_text(base / ".1.removed" / "saved_model.pb", "old")
    publish("second")
    assert names(base) == ["1", "2"]


FULL = """
import sys
from pathlib import Path
from contract import store
from contract.errors import StorageError
from contract.files import storage_errors
disk, source = map(Path, sys.argv[1:])
files = store.record_files(source)
manifest = store.Manifest(store.Format.SAVED_MODEL, "m", "s", {}, {}, None, files, {}, ())
try:
    with storage_errors(disk):
        store.publish_version(disk / "m_keras", source, manifest)
except StorageError as err:
    print(err)
print([path.name for path in (disk / "m_keras").iterdir()])
"""


def test_a_full_disk_is_one_line_and_publishes_nothing(on_small_disk, tmp_path):
    write_text(tmp_path / "source" / "saved_model.pb", "x" * 1_000_000)
    output = on_small_disk(FULL, tmp_path / "source")
    reason, left = output.splitlines()
    assert reason.startswith(f"cannot write {tmp_path}/disk/m_keras/.1.")
    assert reason.endswith(": no space left on the disk; free some and run the same command again")
    assert left == "[]"


def test_who_polls_sees_a_version_whole_or_not_at_all(publish, base):
    seen: set[int] = set()
    wrong: list[str] = []
    polls = 0
    done = threading.Event()

    def poll():
        nonlocal polls
        while not done.is_set():
            polls += 1
            for version, folder in versions(base).items():
                try:
                    check_files(read_manifest(folder / MANIFEST_NAME), folder)
                    seen.add(version)
                except ManifestError as err:
                    # Removed as a whole since it was listed, that is fine.
                    if folder.exists():
                        wrong.append(str(err))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for number in range(50):
            publish(f"content {number}")
            remove_old_versions(base, keep=3)
    finally:
        done.set()
        reader.join()
    assert wrong == []
    assert list(versions(base)) == [48, 49, 50]
    assert polls > 10
    assert len(seen) > 10


def test_the_newest_versions_are_kept(publish, base):
    for number in range(11):
        publish(str(number))
    assert remove_old_versions(base, keep=2) == list(range(1, 10))
    assert list(versions(base)) == [10, 11]
    assert names(base) == ["10", "11"]
    assert remove_old_versions(base, keep=2) == []
    assert remove_old_versions(base, keep=5) == []
    assert publish("next") == 12


def test_a_removal_leaves_other_names_alone(publish, base):
    for number in range(3):
        publish(str(number))
    (base / "mine").mkdir()
    remove_old_versions(base, keep=1)
    assert names(base) == ["3", "mine"]


def test_nothing_to_remove(base):
    assert remove_old_versions(base, keep=1) == []
