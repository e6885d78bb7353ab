"""However a file is damaged, it gives a result or one line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import ShowdownError
from inspection import inspect

SPOTS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=8)
"""Places in a file, as parts of its length, and what is written there."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, make) -> dict[str, tuple[Path, Path]]:
    """What is inspected, and the file of it that gets damaged."""
    found = make.write_small(tmp_path_factory.mktemp("damage"))
    folder = found.pop("saved_model")
    return {kind: (path, path) for kind, path in found.items()} | {
        name: (folder, folder / name)
        for name in (
            "saved_model.pb",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
            "assets.extra/tf_serving_warmup_requests",
            "manifest.json",
        )
    }


@pytest.fixture(scope="module")
def originals(files) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, (_, path) in files.items()}


@pytest.mark.parametrize(
    "name",
    [
        *("onnx", "tflite", "safetensors", "pt2", "saved_model.pb", "variables/variables.index"),
        *("variables/variables.data-00000-of-00001", "assets.extra/tf_serving_warmup_requests", "manifest.json"),
    ],
)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(length=st.one_of(st.just(1.0), st.floats(0, 1)), spots=SPOTS)
def test_damaged_files(files, originals, name, length, spots):
    whole, path = files[name]
    content = bytearray(originals[name])
    for place, written in spots:
        at = int(place * len(content))
        content[at : at + len(written)] = written
    path.write_bytes(content[: int(length * len(content))])
    try:
        told = json.dumps(inspect(whole).to_dict())
    except ShowdownError as err:
        told = str(err)
    finally:
        path.write_bytes(originals[name])
    assert str(whole) in told
    assert len(told.splitlines()) == 1
