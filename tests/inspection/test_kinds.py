"""Which format a file is, and what is said of those that are none."""

import pickle
import zipfile
from pathlib import Path

import pytest

from contract.errors import FormatError, UsageError
from inspection import Kind, inspect, kind_of


@pytest.mark.parametrize("kind", Kind)
def test_content_counts_more_than_the_suffix(small, kind):
    path = small[kind]
    assert kind_of(path) is kind
    if path.is_file():
        assert inspect(path.rename(path.with_suffix(".h5"))).kind is kind
        assert kind_of(path.with_suffix(".h5").rename(path.with_suffix(".tflite"))) is kind  # a wrong name


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "safetensors", "pt2", "h5"])
def test_an_empty_file(write, suffix):
    with pytest.raises(FormatError, match=rf"m\.{suffix}: the file is empty"):
        inspect(write(f"m.{suffix}", b""))


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "safetensors", "pt2"])
def test_a_text_under_the_name_of_a_model(write, suffix):
    with pytest.raises(FormatError, match=rf"m\.{suffix}: a damaged "):
        inspect(write(f"m.{suffix}", b"<html>404: not found</html>" * 3))


def test_an_unknown_kind(write):
    with pytest.raises(
        FormatError, match=r"m\.h5: of no kind that is known here \(ONNX file, SavedModel, TFLite file, "
    ):
        inspect(write("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_refused(write, tmp_path, protocol):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    for name in ("m.pt", "m.pth", "m.pkl"):
        with pytest.raises(FormatError, match=rf"{name}: a pickle: .*\.safetensors .* \.pt2 \(torch\.export\.save\)"):
            inspect(write(name, pickle.dumps(Harmful(), protocol)))
    assert not (tmp_path / "was here").exists()


def test_what_torch_save_writes_is_a_pickle_under_any_name(write, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
        archive.writestr("archive/data/0", b"")
    with pytest.raises(FormatError, match=r"m\.bin: a pickle"):
        inspect(tmp_path / "m.bin")
    with pytest.raises(FormatError, match=r"old\.bin: a pickle"):
        inspect(write("old.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."))


def test_a_pointer_of_git_lfs(write):
    with pytest.raises(FormatError, match=r"m\.onnx: a pointer of Git LFS instead of the file; `git lfs pull` gets it"):
        inspect(write("m.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"))


def test_folders_that_are_no_saved_model(tmp_path, small):
    with pytest.raises(FormatError, match=r"a folder without saved_model\.pb, so not a SavedModel"):
        inspect(tmp_path)
    base = tmp_path / "servable"
    base.mkdir()
    small["saved_model"].rename(base / "12")
    (base / "3").mkdir()
    with pytest.raises(FormatError, match=r"the folder of a servable; look at one of its versions: .*/servable/12"):
        inspect(base)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.onnx: there is no such file"):
        inspect(tmp_path / "absent.onnx")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    with pytest.raises(UsageError, match="dangling: there is no such file"):
        inspect(tmp_path / "dangling")


def test_a_device_is_no_file():
    with pytest.raises(UsageError, match="/dev/zero: not a regular file"):
        inspect(Path("/dev/zero"))


def test_a_name_that_the_system_refuses(tmp_path):
    with pytest.raises(FormatError, match="cannot be read: File name too long"):
        inspect(tmp_path / ("a" * 300))
