"""A .tflite file as a servable: files of the repository, and files without operators that the tests write."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from contract.errors import Code, ShowdownError, StatusError
from runtimes.tensor import DataType, Tensor
from serving.tflite import TfliteServable

pytestmark = pytest.mark.slow  # LiteRT's library

ROOT = Path(__file__).parents[2]
DOUBLE = ROOT / "diagnosis/probe/double.tflite"
OR_GATE = ROOT / "tests/golden/artifacts/0.1.0/tflite/or_gate_pytorch.int8.tflite"


def same(tensor_type, shape=(1,), signature_shape=(-1,), signatures=("serving_default",)):
    """A model that gives its input ``x`` back as ``y``."""
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = "inner/x", tensor_type, 0
    tensor.shape, tensor.shapeSignature = list(shape), list(signature_shape)
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [], [graph]
    model.signatureDefs = []
    for key in signatures:
        definition = schema.SignatureDefT()
        definition.signatureKey, definition.subgraphIndex = key, 0
        definition.inputs, definition.outputs = [schema.TensorMapT()], [schema.TensorMapT()]
        for alias, place in (("x", definition.inputs[0]), ("y", definition.outputs[0])):
            place.name, place.tensorIndex = alias, 0
        model.signatureDefs.append(definition)
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def load(tmp_path):
    """Loads a file, or the bytes of one."""
    loaded = []

    def make(file, interpreters=1):
        if isinstance(file, bytes):
            (tmp_path / "model.tflite").write_bytes(file)
            file = tmp_path / "model.tflite"
        loaded.append(TfliteServable(file, interpreters=interpreters))
        return loaded[-1]

    yield make
    for one in loaded:
        one.close()


def floats(values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


def run(servable, tensor, signature="serving_default", timeout=None):
    names = servable.signatures[signature]
    (result,) = servable.run(names.feeds, [tensor], names.fetches, timeout)
    return result


def refused(call):
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value.code, caught.value.message


def test_a_signature_is_told_as_that_of_a_saved_model(load):
    signatures = load(DOUBLE).signatures
    assert list(signatures) == ["serving_default"]
    definition = signatures["serving_default"].definition
    assert definition.method_name == "tensorflow/serving/predict"
    (x,), (y,) = definition.inputs.values(), definition.outputs.values()
    assert (list(definition.inputs), x.name, x.dtype) == (["x"], "serving_default/x", DataType.FLOAT)
    assert (list(definition.outputs), y.name, y.dtype) == (["y"], "serving_default/y", DataType.FLOAT)
    assert [dim.size for dim in x.tensor_shape.dim] == [-1, 2]


@pytest.mark.parametrize("rows", [1, 3, 0, 1000])
def test_inputs_are_resized(load, rows):
    x = np.random.default_rng(rows).random((rows, 2), np.float32)
    result = run(load(DOUBLE), floats(x))
    assert result.dtype == DataType.FLOAT
    np.testing.assert_array_equal(result.array, x * 2, strict=True)


def test_sizes_change_from_call_to_call(load):
    servable = load(DOUBLE)
    for rows in (2, 5, 1, 0, 4):
        assert run(servable, floats(np.ones((rows, 2)))).array.tolist() == [[2, 2]] * rows


def test_quantized_files_speak_their_integers(load):
    servable = load(OR_GATE)
    (x,) = servable.signatures["serving_default"].definition.inputs.values()
    assert x.dtype == DataType.INT8
    result = run(servable, Tensor(DataType.INT8, np.array([[-128, -128], [127, 127]], np.int8)))
    assert (result.dtype, result.array.shape) == (DataType.INT8, (2, 1))
    assert result.array[0] < result.array[1]


@pytest.mark.parametrize(
    ("tensor_type", "dtype", "array"),
    [
        ("FLOAT32", DataType.FLOAT, np.array([1.5, 2], np.float32)),
        ("FLOAT16", DataType.HALF, np.array([1.5, 2], np.float16)),
        ("FLOAT64", DataType.DOUBLE, np.array([0.1, 2])),
        ("INT8", DataType.INT8, np.array([-128, 127], np.int8)),
        ("INT16", DataType.INT16, np.array([-5, 5], np.int16)),
        ("INT32", DataType.INT32, np.array([-5, 5], np.int32)),
        ("INT64", DataType.INT64, np.array([-(2**40), 5])),
        ("UINT8", DataType.UINT8, np.array([0, 255], np.uint8)),
        ("UINT16", DataType.UINT16, np.array([0, 65535], np.uint16)),
        ("UINT32", DataType.UINT32, np.array([0, 2**32 - 1], np.uint32)),
        ("UINT64", DataType.UINT64, np.array([0, 2**64 - 1], np.uint64)),
        ("BOOL", DataType.BOOL, np.array([True, False])),
        ("COMPLEX64", DataType.COMPLEX64, np.array([1 + 2j, -1j], np.complex64)),
        ("STRING", DataType.STRING, np.array([b"", b"\xff\0", b"x" * 1000], object)),
    ],
)
def test_each_type_has_tensorflow_s_number(load, tensor_type, dtype, array):
    servable = load(same(getattr(schema.TensorType, tensor_type)))
    definition = servable.signatures["serving_default"].definition
    assert (definition.inputs["x"].dtype, definition.outputs["y"].dtype) == (dtype, dtype)
    result = run(servable, Tensor(dtype, array))
    assert result.dtype == dtype
    assert result.array.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("tensor", "given"),
    [
        (Tensor(DataType.DOUBLE, np.ones((1, 2))), "float64[1, 2]"),
        (Tensor(DataType.INT32, np.ones((1, 2), np.int32)), "int32[1, 2]"),
        (Tensor(DataType.STRING, np.array([[b"a", b"b"]], object)), "object[1, 2]"),
        (floats([[1, 2, 3]]), "float32[1, 3]"),
        (floats([1, 2]), "float32[2]"),
        (floats(1), "float32[]"),
    ],
)
def test_what_does_not_fit_is_refused_and_does_no_harm(load, tensor, given):
    servable = load(DOUBLE)
    assert refused(lambda: run(servable, tensor)) == (
        Code.INVALID_ARGUMENT,
        f"{DOUBLE}: input x: wanted x float32[axis0, 2], given {given}",
    )
    assert run(servable, floats([[1, 2]])).array.tolist() == [[2, 4]]


def test_each_signature_has_interpreters_of_its_own(load):
    servable = load(same(schema.TensorType.FLOAT32, signatures=("b", "a")))
    assert sorted(servable.signatures) == ["a", "b"]
    for name in "ab":
        assert run(servable, floats([1, 2, 3]), name).array.tolist() == [1, 2, 3]


def test_a_file_without_signatures_has_one(load):
    servable = load(same(schema.TensorType.FLOAT32, signatures=()))
    assert list(servable.signatures) == ["serving_default"]
    assert list(servable.signatures["serving_default"].inputs) == ["inner/x"]
    assert run(servable, floats([1, 2, 3])).array.tolist() == [1, 2, 3]


def test_files_that_are_damaged(load, tmp_path):
    (tmp_path / "half.tflite").write_bytes(DOUBLE.read_bytes()[:100])
    for file in (tmp_path / "half.tflite", b"", b"no model at all"):
        with pytest.raises(ShowdownError):
            load(file)


def test_small_files_are_quick_while_an_interpreter_is_free(load, tmp_path):
    servable = load(DOUBLE)
    assert servable.is_quick((), ())
    pool = servable._pools["serving_default"]
    session = pool.get()
    assert not servable.is_quick((), ())
    code, message = refused(lambda: run(servable, floats([[1, 2]]), timeout=0.05))
    assert (code, message) == (Code.DEADLINE_EXCEEDED, f"{DOUBLE}: all interpreters are busy")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(run, servable, floats([[1, 2]]), timeout=30)
        time.sleep(0.05)
        assert not call.done()
        pool.put(session)
        assert call.result(30).array.tolist() == [[2, 4]]
    large = Path(shutil.copy(DOUBLE, tmp_path / "large.tflite"))
    with large.open("ab") as file:
        file.write(bytes(64 * 1024))
    assert not load(large).is_quick((), ())


@pytest.mark.parametrize("interpreters", [1, 3])
def test_several_threads(load, interpreters):
    servable = load(DOUBLE, interpreters)
    start = threading.Barrier(6)

    def call(caller):
        start.wait(30)
        for turn in range(100):
            x = np.full((1 + (caller + turn) % 4, 2), caller * 100 + turn, np.float32)
            np.testing.assert_array_equal(run(servable, floats(x), timeout=30).array, x * 2)
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(6)))
    assert servable._pools["serving_default"].qsize() == interpreters


def test_results_belong_to_the_caller(load):
    servable = load(DOUBLE)
    first = run(servable, floats([[1, 2]])).array
    run(servable, floats([[5, 6]]))
    assert first.tolist() == [[2, 4]]
    servable.close()
    assert first.tolist() == [[2, 4]]
