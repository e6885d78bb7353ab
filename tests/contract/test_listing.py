"""What a build folder publishes, made here without any framework."""

import json
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.files import sha256, write_json, write_text
from contract.listing import all_leftovers, artifacts, damages, published
from contract.store import (
    MANIFEST_NAME,
    FileRecord,
    Format,
    Manifest,
    leftovers,
    publish_version,
    record_files,
    remove_leftovers,
)

DIGEST = "0123456789abcdef" * 4


def verified(runtime, diff, **rest):
    return {"runtime": runtime, "verdict": "verified", "max_abs_diff": diff, **rest}


PARITY = (
    {"hop": "train", "checks": [verified("its own framework", 4e-7)]},
    {"hop": "to_onnx", "checks": [verified("onnxruntime", 2e-3, version="1.32.0")]},
    {
        "hop": "saved_model",
        "checks": [
            verified("tensorflow_c", 0.0, version="2.21.0"),
            {"runtime": "other", "verdict": "refused", "reason": "it does not like it"},
        ],
    },
)


def manifest(kind, servable, files, **rest):
    values = {
        "config": {"seed": 7, "exporter": "dynamo", "opset": None, "converter": "onnx-tf"},
        "opset": 20,
        "parity": PARITY,
        **rest,
    }
    return Manifest(
        kind, "m", servable, values["config"], {}, values["opset"], files, {"weights": DIGEST}, values["parity"]
    )


class Build:
    """A build folder and what is put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "build"

    def version(self, servable: str, content: str, **rest) -> Path:
        source = self.folder.parent / f"source of {servable} {content}"
        write_text(source / "saved_model.pb", content)
        write_text(source / "variables/variables.index", content * 2)
        entry = manifest(Format.SAVED_MODEL, servable, record_files(source), **rest)
        base = self.folder / "serving" / servable
        return base / str(publish_version(base, source, entry))

    def tflite(self, stem: str, **rest) -> Path:
        path = self.folder / "tflite" / f"{stem}.tflite"
        write_text(path, f"content of {stem}")
        record = FileRecord(size_bytes=path.stat().st_size, sha256=sha256(path))
        entry = manifest(Format.TFLITE, stem.partition(".")[0], {path.name: record}, **rest)
        write_json(path.with_suffix(".json"), entry.to_dict())
        return path


@pytest.fixture
def build(tmp_path) -> Build:
    return Build(tmp_path)


def names(build, found):
    return [artifact.path.relative_to(build.folder).as_posix() for artifact in found]


def test_versions_come_first_and_ascend_then_files_by_name(build):
    for number in range(11):
        build.version("m_b", str(number))
    build.version("m_a", "x")
    build.tflite("m_b.int8")
    build.tflite("m_a.float32")
    write_text(build.folder / "serving/models.config", "")
    (build.folder / "serving/empty").mkdir()
    assert names(build, artifacts(build.folder)) == [
        "serving/m_a/1",
        *(f"serving/m_b/{number}" for number in range(1, 12)),
        "tflite/m_a.float32.tflite",
        "tflite/m_b.int8.tflite",
    ]


def test_the_highest_version_of_each_servable_is_the_newest(build):
    build.version("m_a", "1")
    for number in range(10):
        build.version("m_b", str(number))
    assert [(found.servable, found.version) for found in artifacts(build.folder) if found.is_newest] == [
        ("m_a", 1),
        ("m_b", 10),
    ]


def test_what_is_told_of_a_version(build):
    build.version("m_a", "abc")
    [found] = artifacts(build.folder)
    assert found.to_dict(build.folder) == {
        "path": "serving/m_a/1",
        "servable": "m_a",
        "version": 1,
        "recipe": None,
        "newest": True,
        "size_bytes": 9,
        "seed": 7,
        "opset": 20,
        "made_by": ["dynamo", "onnx-tf"],
        "max_abs_diff": 2e-3,
        "verified_by": ["tensorflow_c 2.21.0"],
        "made_from": {"weights": DIGEST},
        "error": None,
    }


def test_what_is_told_of_a_tflite_file(build):
    path = build.tflite("m_a.int8_float_io")
    [found] = artifacts(build.folder)
    told = found.to_dict(build.folder)
    assert {name: told[name] for name in ("path", "servable", "version", "recipe", "newest", "size_bytes")} == {
        "path": "tflite/m_a.int8_float_io.tflite",
        "servable": "m_a",
        "version": None,
        "recipe": "int8_float_io",
        "newest": True,
        "size_bytes": path.stat().st_size,
    }


def test_without_onnx_neither_exporter_nor_converter_took_part(build):
    build.version("m_a", "x", opset=None)
    [found] = artifacts(build.folder)
    assert found.made_by == ()


def test_without_a_measurement_there_is_no_largest_difference(build):
    build.version("m_a", "x", parity=())
    [found] = artifacts(build.folder)
    assert (found.max_abs_diff, found.verified_by) == (None, ())


def test_all_is_well(build):
    build.version("m_a", "x")
    build.tflite("m_a.int8")
    assert [damages(found) for found in artifacts(build.folder)] == [[], []]


def test_every_damaged_and_missing_file_is_named(build):
    folder = build.version("m_a", "x")
    (folder / "saved_model.pb").write_text("y")
    (folder / "variables/variables.index").unlink()
    file = build.tflite("m_a.int8")
    file.unlink()
    version, tflite = (damages(found) for found in artifacts(build.folder))
    assert sorted(version) == [
        f"{folder}/saved_model.pb: has changed since it was published; remove it and run `make export`",
        f"{folder}/variables/variables.index: is missing; `make export` publishes it again",
    ]
    assert tflite == [f"{file}: is missing; `make export` publishes it again"]


def test_a_file_that_cannot_be_read_is_named(build):
    folder = build.version("m_a", "x")
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").symlink_to(folder / "saved_model.pb")
    [found] = artifacts(build.folder)
    assert damages(found) == [f"{folder}/saved_model.pb: cannot be read: Too many levels of symbolic links"]


def test_a_missing_manifest_is_said_of_the_version_and_of_the_file(build):
    folder, file = build.version("m_a", "x"), build.tflite("m_a.int8")
    (folder / MANIFEST_NAME).unlink()
    file.with_suffix(".json").unlink()
    found = list(artifacts(build.folder))
    assert [damages(one) for one in found] == [[f"{folder}: has no manifest"], [f"{file}: has no manifest"]]
    assert [(one.manifest, one.size_bytes, one.max_abs_diff, one.verified_by, one.made_by) for one in found] == [
        (None, None, None, (), ())
    ] * 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "cannot be read"), ("[]", "is not a JSON object"), ("{}", "manifest_version is None")],
)
def test_a_damaged_manifest_is_said(build, content, reason):
    folder = build.version("m_a", "x")
    (folder / MANIFEST_NAME).write_text(content)
    [found] = artifacts(build.folder)
    [damage] = damages(found)
    assert damage.startswith(f"{folder}/{MANIFEST_NAME}: ")
    assert reason in damage


@pytest.mark.parametrize(
    "hop",
    [
        7,
        {},
        {"checks": {}},
        {"checks": [7]},
        {"checks": [{"verdict": "refused"}]},
        {"checks": [{"runtime": "r", "verdict": "verified"}]},
        {"checks": [{"runtime": "r", "verdict": "verified", "max_abs_diff": "0"}]},
    ],
)
def test_a_parity_of_another_form_is_a_damaged_manifest(build, hop):
    folder = build.version("m_a", "x")
    values = json.loads((folder / MANIFEST_NAME).read_text())
    values["parity"] = [hop]
    (folder / MANIFEST_NAME).write_text(json.dumps(values))
    [found] = artifacts(build.folder)
    assert damages(found) == [f"{folder}/{MANIFEST_NAME}: parity: {hop!r} has no list of checks"]


def test_one_servable(build):
    build.version("m_a", "x")
    build.version("m_b", "x")
    build.tflite("m_b.int8")
    assert names(build, published(build.folder, "m_b")) == ["serving/m_b/1", "tflite/m_b.int8.tflite"]
    assert len(published(build.folder)) == 3


@pytest.mark.parametrize(("asked", "hint"), [("m_keas", "did you mean 'm_keras'?"), ("zzz", "there are: m_keras")])
def test_an_unknown_servable(build, asked, hint):
    build.version("m_keras", "x")
    with pytest.raises(UsageError, match=f"no servable '{asked}' in ") as caught:
        published(build.folder, asked)
    assert str(caught.value).endswith(hint)


def test_an_empty_build_folder(build):
    assert published(build.folder) == []
    assert all_leftovers(build.folder) == []
    with pytest.raises(UsageError, match="there is none"):
        published(build.folder, "m_a")


def test_leftovers_are_no_artifacts_and_are_found(build):
    build.version("m_a", "x")
    build.tflite("m_a.int8")
    folders = ["serving/m_a/.2.123.partial", "serving/m_a/.1.removed"]
    files = [
        "serving/.models.config.5.partial",
        "tflite/.m_a.int8.tflite.77.partial",
        "tflite/.m_a.int8.json.77.partial",
        "golden/.m.json.77.partial",
        "report/.m.json.77.partial",
    ]
    for name in folders:
        write_text(build.folder / name / "saved_model.pb", "half")
    for name in files:
        write_text(build.folder / name, "half")
    write_text(build.folder / "cache/m/stage/.key.1.partial/file", "private")
    found = all_leftovers(build.folder)
    assert sorted(path.relative_to(build.folder).as_posix() for path in found) == sorted(folders + files)
    assert names(build, artifacts(build.folder)) == ["serving/m_a/1", "tflite/m_a.int8.tflite"]
    remove_leftovers(found)
    assert all_leftovers(build.folder) == []
    assert [damages(one) for one in artifacts(build.folder)] == [[], []]


def test_leftovers_of_one_folder(build):
    folder = build.version("m_a", "x").parent
    write_text(folder / ".2.123.partial/saved_model.pb", "half")
    assert leftovers(folder) == [folder / ".2.123.partial"]
