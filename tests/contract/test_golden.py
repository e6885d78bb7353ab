"""Golden vectors on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contract.errors import SpecError
from contract.golden import GOLDEN_VERSION, Golden, GoldenVector, read_golden, write_golden
from contract.tensor_spec import TensorSpec

SPECS = (TensorSpec("x", "float32", ("batch", 2)), TensorSpec("n", "int64", ("batch",)))
Y = TensorSpec("y", "float32", ("batch", 1))


def a_golden(x=0.25, label=1):
    vector = GoldenVector(
        "first",
        {"x": np.array([[x, 0.9]], np.float32), "n": np.array([3])},
        {"y": np.array([[0.5]], np.float32)},
        label,
    )
    return Golden("m", 7, SPECS, (Y,), (vector,))


@pytest.fixture
def path(tmp_path):
    write_golden(tmp_path / "golden.json", a_golden())
    return tmp_path / "golden.json"


@pytest.fixture
def changed(path):
    """Rewrites the file with what a function does to its content."""

    def change(function):
        content = json.loads(path.read_text())
        function(content)
        path.write_text(json.dumps(content))
        return path

    return change


@st.composite
def goldens(draw):
    specs, vectors = [], []
    for name in draw(st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True)):
        dtype = draw(st.sampled_from(["float32", "int64"]))
        sizes = draw(st.lists(st.integers(1, 3), max_size=2))
        specs.append(TensorSpec(name, dtype, ("batch", *sizes)))
    for name in draw(st.lists(st.text(), max_size=3)):
        batch = draw(st.integers(1, 3))
        floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
        tensors = {
            spec.name: draw(
                arrays(spec.dtype, spec.sized({"batch": batch}), elements=floats if "f" in spec.dtype else None)
            )
            for spec in specs
        }
        vectors.append(GoldenVector(name, tensors, tensors, draw(st.none() | st.integers(0, 9))))
    return Golden(draw(st.text()), draw(st.integers(0)), tuple(specs), tuple(specs), tuple(vectors))


@settings(derandomize=True, deadline=None)
@given(golden=goldens())
def test_round_trip_is_exact(tmp_path_factory, golden):
    path = tmp_path_factory.mktemp("golden") / "golden.json"
    write_golden(path, golden)
    read = read_golden(path)
    assert (read.model, read.seed, read.inputs, read.outputs) == (
        golden.model,
        golden.seed,
        golden.inputs,
        golden.outputs,
    )
    assert [(v.name, v.label) for v in read.vectors] == [(v.name, v.label) for v in golden.vectors]
    for before, after in zip(golden.vectors, read.vectors, strict=True):
        for wanted, got in ((before.inputs, after.inputs), (before.outputs, after.outputs)):
            assert wanted.keys() == got.keys()
            for name in wanted:
                assert got[name].dtype == wanted[name].dtype
                # Bytes tell -0.0 from 0.0.
                assert (got[name].shape, got[name].tobytes()) == (wanted[name].shape, wanted[name].tobytes())


def test_large_numbers_are_finite_though_their_sum_is_not(path, changed):
    largest = float(np.finfo(np.float32).max)
    changed(lambda content: content["vectors"][0]["inputs"].update(x=[[largest, largest]]))
    assert read_golden(path).vectors[0].inputs["x"].tolist() == [[largest, largest]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None])
def test_no_number_is_refused(changed, value):
    path = changed(lambda content: content["vectors"][0]["inputs"].update(x=[[value, 0.5]]))
    with pytest.raises(SpecError, match=r"golden\.json: vector first: x holds NaN or infinity"):
        read_golden(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_not_written(tmp_path, value):
    with pytest.raises(SpecError, match=r"golden\.json: vector first: x holds NaN or infinity"):
        write_golden(tmp_path / "golden.json", a_golden(x=value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [0, GOLDEN_VERSION + 1, "1", None])
def test_another_version(changed, version):
    path = changed(lambda content: content.update(golden_version=version))
    with pytest.raises(SpecError, match=f"golden.json: golden_version is {version!r}, this program reads 1"):
        read_golden(path)


@pytest.mark.parametrize("key", ["golden_version", "model", "seed", "inputs", "outputs", "vectors"])
def test_missing_key(changed, key):
    path = changed(lambda content: content.pop(key))
    with pytest.raises(SpecError, match=f"golden.json: not a file of golden vectors: .*'{key}'"):
        read_golden(path)


@pytest.mark.parametrize("key", ["name", "inputs", "outputs"])
def test_missing_key_of_a_vector(changed, key):
    path = changed(lambda content: content["vectors"][0].pop(key))
    with pytest.raises(SpecError, match=f"golden.json: .*'{key}'"):
        read_golden(path)


@pytest.mark.parametrize("key", ["name", "dtype", "shape"])
def test_missing_key_of_a_tensor(changed, key):
    path = changed(lambda content: content["inputs"][0].pop(key))
    with pytest.raises(SpecError, match=f"golden.json: .*'{key}'"):
        read_golden(path)


@pytest.mark.parametrize(
    "place", [lambda c: c, lambda c: c["inputs"][0], lambda c: c["vectors"][0]], ids=["file", "tensor", "vector"]
)
def test_unknown_key(changed, place):
    path = changed(lambda content: place(content).update(extra=1))
    with pytest.raises(SpecError, match=r"golden\.json: .*'extra'"):
        read_golden(path)


def test_unknown_dtype(changed):
    path = changed(lambda content: content["inputs"][0].update(dtype="float33"))
    with pytest.raises(SpecError, match=r"golden\.json: .*float33"):
        read_golden(path)


@pytest.mark.parametrize("value", [[0.5, 0.5], [[0.5]], [[0.5, 0.5, 0.5]], 0.5])
def test_wrong_shape(changed, value):
    path = changed(lambda content: content["vectors"][0]["inputs"].update(x=value))
    with pytest.raises(SpecError, match=r"golden.json: vector first: the spec says x float32\[batch, 2\], but here"):
        read_golden(path)


def test_ragged_rows(changed):
    path = changed(lambda content: content["vectors"][0]["inputs"].update(x=[[0.5, 0.5], [0.5]]))
    with pytest.raises(SpecError, match=r"golden\.json: "):
        read_golden(path)


@pytest.mark.parametrize("tensors", [{}, {"x": [[0.5, 0.5]]}, {"x": [[0.5, 0.5]], "n": [1], "z": [1]}])
def test_every_vector_has_every_tensor(changed, tensors):
    path = changed(lambda content: content["vectors"][0].update(inputs=tensors))
    with pytest.raises(SpecError, match=r"golden\.json: vector first: has tensors .*, the file declares .*x float32"):
        read_golden(path)


def test_every_truncation_is_found(path):
    content = path.read_bytes().rstrip()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(SpecError, match=r"golden\.json: not a file of golden vectors"):
            read_golden(path)


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"3", b'"text"', b"\xff\xfe", b'{"golden_version": 1, "inputs": 3}']
)
def test_other_content(path, content):
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"golden\.json: not a file of golden vectors"):
        read_golden(path)


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_golden(Path(tmp_path, name), a_golden())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
