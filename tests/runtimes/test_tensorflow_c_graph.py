"""Graphs of SavedModels fed and fetched by tensor names, on TensorFlow's C API in this process."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from runtimes.tensorflow_c_graph import Graph
from runtimes.tensorflow_protos import import_proto

pytestmark = pytest.mark.slow  # TensorFlow's libraries

MODELS = Path(__file__).parents[1] / "golden" / "tf_serving" / "models"

IDENTITIES = {
    "b": DataType.BOOL, "bf16": DataType.BFLOAT16, "c64": DataType.COMPLEX64, "f16": DataType.HALF,
    "f32": DataType.FLOAT, "f64": DataType.DOUBLE, "i16": DataType.INT16, "i32": DataType.INT32,
    "i64": DataType.INT64, "i8": DataType.INT8, "u16": DataType.UINT16, "u32": DataType.UINT32,
    "u64": DataType.UINT64, "u8": DataType.UINT8,
}  # fmt: skip
"""What the model `types` takes as ``<name>:0`` and gives back as ``out_<name>:0``; strings apart."""

STRINGS = [b"", b"short", b"\xff\xfe\x00\x80", b"\x00", b"x" * 22, b"x" * 23, b"x" * 24, b"long" * 10**6]
"""On both sides of the 22 bytes that a TF_TString holds in itself; bytes that are not UTF-8."""


@pytest.fixture(scope="module")
def graph():
    """Loads a model of the recorded answers, once."""
    loaded: dict[str, Graph] = {}

    def load(name: str) -> Graph:
        if name not in loaded:
            loaded[name] = Graph(MODELS / name)
        return loaded[name]

    yield load
    for one in loaded.values():
        one.close()


def floats(*values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


def strings(values, shape=(-1,)):
    array = np.empty(len(values), object)
    array[:] = values
    return Tensor(DataType.STRING, array.reshape(shape))


def run(graph, feed, tensor, fetch, **options):
    (result,) = graph.run([feed], [tensor], [fetch], **options)
    return result


def refused(call):
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value.code, caught.value.message


def values_of(dtype, shape):
    generator = np.random.default_rng(int(dtype))
    if dtype == DataType.BOOL:
        return generator.random(shape) < 0.5
    numbers = generator.integers(0, 256, (*shape, NUMPY_TYPES[dtype].itemsize), np.uint8)
    return numbers.view(NUMPY_TYPES[dtype]).reshape(shape)


# Types and shapes.


@pytest.mark.parametrize("is_inline", [True, False])
@pytest.mark.parametrize("name", IDENTITIES)
def test_numbers_come_back_bit_by_bit(graph, name, is_inline):
    array = values_of(IDENTITIES[name], (1000,))
    result = run(graph("types/1"), f"{name}:0", Tensor(IDENTITIES[name], array), f"out_{name}:0", is_inline=is_inline)
    assert result.dtype == IDENTITIES[name]
    assert result.array.dtype == array.dtype
    assert result.array.tobytes() == array.tobytes()


@pytest.mark.parametrize("values", [STRINGS, [], [b"x"] * 10_000])
def test_strings_come_back(graph, values):
    result = run(graph("types/1"), "s:0", strings(values), "out_s:0")
    assert result.dtype == DataType.STRING
    assert result.array.tolist() == values


def test_every_type_in_one_run(graph):
    given = {name: values_of(dtype, (3,)) for name, dtype in IDENTITIES.items()}
    results = graph("types/1").run(
        [*(f"{name}:0" for name in given), "s:0"],
        [*(Tensor(IDENTITIES[name], array) for name, array in given.items()), strings([b"a", b"b"])],
        ["out_s:0", *(f"out_{name}:0" for name in given)],
    )
    assert results[0].array.tolist() == [b"a", b"b"]
    for result, array in zip(results[1:], given.values(), strict=True):
        assert result.array.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("fetch", "dtype", "wanted"),
    [
        ("Cast:0", DataType.HALF, np.array([1, -2.5], np.float16)),
        ("Cast_1:0", DataType.COMPLEX64, np.array([1, -2.5], np.complex64)),
        ("Cast_2:0", DataType.BFLOAT16, np.array([0x3F80, 0xC020], np.uint16)),
        ("Cast_4:0", DataType.DOUBLE, np.array([1, -2.5])),
    ],
)
def test_types_that_the_graph_computes(graph, fetch, dtype, wanted):
    result = run(graph("types/1"), "f32:0", floats(1, -2.5), fetch)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.array, wanted, strict=True)


def test_quantized_numbers_leave_as_the_integers_that_hold_them(graph):
    result = run(graph("types/1"), "f32:0", floats(-1e9, 0, 1e9), "QuantizeV2:0")
    assert (result.dtype, result.array.dtype) == (DataType.QINT8, np.int8)
    assert result.array[0] < result.array[1] < result.array[2] == 127


@pytest.mark.parametrize("dtype", [DataType.QINT8, DataType.QUINT8, DataType.QINT16, DataType.QUINT16, DataType.QINT32])
def test_quantized_numbers_are_another_type_than_their_integers(graph, dtype):
    code, message = refused(lambda: run(graph("types/1"), "f32:0", Tensor(dtype, values_of(dtype, (2,))), "out_f32:0"))
    assert code is Code.INVALID_ARGUMENT
    assert f"q{'u' if 'QU' in dtype.name else ''}int" in message


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (), (1,) * 32])
def test_shapes_that_are_odd(graph, shape):
    result = run(graph("shapes/1"), "un:0", Tensor(DataType.FLOAT, np.ones(shape, np.float32)), "Identity_2:0")
    assert result.array.shape == shape
    np.testing.assert_array_equal(result.array, np.ones(shape, np.float32))


def test_a_string_without_dimensions(graph):
    result = run(graph("shapes/1"), "ss:0", Tensor(DataType.STRING, np.array(b"x", object)), "Identity:0")
    assert (result.array.shape, result.array.item()) == ((), b"x")


@pytest.mark.parametrize("pick", [np.s_[::2], np.s_[::-1], np.s_[5:1:-1], np.s_[7:7]])
@pytest.mark.parametrize("name", ["f32", "f16", "c64", "u8", "b"])
def test_arrays_that_are_not_contiguous(graph, name, pick):
    array = values_of(IDENTITIES[name], (20,))[pick]
    result = run(graph("types/1"), f"{name}:0", Tensor(IDENTITIES[name], array), f"out_{name}:0")
    assert result.array.tobytes() == array.tobytes()


def test_transposed_arrays(graph):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    result = run(graph("shapes/1"), "ma:0", Tensor(DataType.FLOAT, array), "Identity_1:0")
    np.testing.assert_array_equal(result.array, array)
    texts = strings(STRINGS).array[::-2]
    assert run(graph("types/1"), "s:0", Tensor(DataType.STRING, texts), "out_s:0").array.tolist() == texts.tolist()


def test_arrays_that_cannot_be_written(graph):
    array = np.frombuffer(np.arange(4, dtype=np.float32).tobytes(), np.float32)
    assert run(graph("types/1"), "f32:0", Tensor(DataType.FLOAT, array), "out_f32:0").array.tolist() == [0, 1, 2, 3]


def test_results_belong_to_the_caller(graph):
    given = floats(1, 2)
    first = run(graph("types/1"), "f32:0", given, "out_f32:0").array
    first[:] = 7
    assert given.array.tolist() == [1, 2]
    assert run(graph("types/1"), "f32:0", given, "out_f32:0").array.tolist() == [1, 2]


# Names.


def test_feeds_and_fetches_go_by_name_in_any_order(graph):
    shapes = graph("shapes/1")
    total, difference = shapes.run(["b:0", "a:0"], [floats(1), floats(5)], ["add_1:0", "sub:0"])
    assert (total.array.tolist(), difference.array.tolist()) == ([6], [4])
    difference, total = shapes.run(["a:0", "b:0"], [floats(5), floats(1)], ["sub:0", "add_1:0"])
    assert (total.array.tolist(), difference.array.tolist()) == ([6], [4])


def test_a_tensor_fetched_twice(graph):
    results = graph("half_plus_two/1").run(["x:0"], [floats(4)], ["y:0", "y:0"])
    assert [result.array.tolist() for result in results] == [[4], [4]]


def test_a_name_without_a_number_is_the_first_output(graph):
    assert run(graph("half_plus_two/1"), "x", floats(2), "y").array.tolist() == [3]


def test_a_tensor_cannot_be_fed_and_fetched(graph):
    wanted = (Code.INVALID_ARGUMENT, "y:0 is both fed and fetched.")
    assert refused(lambda: run(graph("half_plus_two/1"), "y:0", floats(11), "y:0")) == wanted


def test_names_that_the_graph_has(graph):
    loaded = graph("half_plus_two/1")
    assert loaded.has("x:0")
    assert loaded.has("y")
    assert not loaded.has("nope:0")
    assert not loaded.has("")


@pytest.mark.parametrize("name", ["nope:0", "nope", "", "ü:0"])
def test_unknown_names_are_refused_in_tensorflow_s_words(graph, name):
    loaded = graph("half_plus_two/1")
    wanted = (
        Code.INVALID_ARGUMENT,
        f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph",
    )
    assert refused(lambda: run(loaded, name, floats(1), "y:0")) == wanted
    assert refused(lambda: run(loaded, "x:0", floats(1), name)) == wanted


def test_an_output_that_the_operation_does_not_have(graph):
    code, _ = refused(lambda: run(graph("half_plus_two/1"), "x:0", floats(1), "y:7"))
    assert code in (Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE)
    assert run(graph("half_plus_two/1"), "x:0", floats(2), "y:0").array.tolist() == [3]


def test_a_feed_that_is_missing(graph):
    code, message = refused(lambda: graph("half_plus_two/1").run([], [], ["y:0"]))
    assert code is Code.INVALID_ARGUMENT
    assert "You must feed a value for placeholder tensor 'x'" in message


def test_a_feed_of_another_type_or_shape_than_the_graph_can_take(graph):
    wrong = Tensor(DataType.DOUBLE, np.ones(1))
    code, message = refused(lambda: run(graph("half_plus_two/1"), "x:0", wrong, "y:0"))
    assert code is Code.INVALID_ARGUMENT
    assert "double" in message
    assert "float" in message
    code, message = refused(lambda: graph("shapes/1").run(["a:0", "b:0"], [floats(1, 2), floats(1, 2, 3)], ["sub:0"]))
    assert code is Code.INVALID_ARGUMENT
    assert "Incompatible shapes: [2] vs. [3]" in message


# TensorFlow's own errors.


@pytest.mark.parametrize(
    ("feed", "tensor", "fetch", "code", "message"),
    [
        ("x:0", floats(float("nan")), "CheckNumerics:0", Code.INVALID_ARGUMENT, "Tensor had NaN values"),
        ("s:0", strings([b"\xff?"]), "StringToNumber:0", Code.INVALID_ARGUMENT, "\udcff?"),
        ("i:0", Tensor(DataType.INT32, np.array([9], np.int32)), "GatherV2:0", Code.INVALID_ARGUMENT, "indices[0] = 9"),
        ("x:0", floats(1, 2, 3), "Reshape:0", Code.INVALID_ARGUMENT, "reshape"),
        ("x:0", floats(1), "add:0", Code.FAILED_PRECONDITION, "ninitialized"),
        (
            "s:0",
            strings([b"/no/such/file"]),
            "map/TensorArrayV2Stack/TensorListStack:0",
            Code.NOT_FOUND,
            "/no/such/file; No such file or directory",
        ),
    ],
)
@pytest.mark.parametrize("is_inline", [True, False])
def test_a_failing_run_has_tensorflow_s_code_and_message(graph, feed, tensor, fetch, code, message, is_inline):
    failing = graph("failing/1")
    got, text = refused(lambda: run(failing, feed, tensor, fetch, is_inline=is_inline))
    assert got is code
    assert message in text
    assert run(failing, "x:0", floats(4), "Sqrt:0").array.tolist() == [2]


# Time.


def microseconds(*values):
    return Tensor(DataType.INT64, np.array(values, np.int64))


def test_a_run_that_takes_too_long_is_cancelled(graph):
    slow = graph("slow/1")
    start = time.monotonic()
    code, _ = refused(lambda: run(slow, "us:0", microseconds(5_000_000), "Identity:0", timeout=0.2, is_inline=False))
    assert code is Code.DEADLINE_EXCEEDED
    assert 0.2 <= time.monotonic() - start < 4
    assert run(slow, "us:0", microseconds(1), "Identity:0", timeout=30, is_inline=False).array.tolist() == [1]


@pytest.mark.parametrize("timeout", [None, 30, 0.5, 1e6])
def test_a_run_that_is_in_time(graph, timeout):
    result = run(graph("slow/1"), "us:0", microseconds(1000), "Identity:0", timeout=timeout, is_inline=False)
    assert result.array.tolist() == [1000]


# What a model brings along.


def test_variables_are_restored_and_kept(graph):
    module = graph("module/1")
    assert run(module, "serving_default_x:0", floats(1), "StatefulPartitionedCall_1:0").array.shape == (1,)
    by = Tensor(DataType.INT64, np.array(2, np.int64))
    first, second = (run(module, "count_by:0", by, "StatefulPartitionedCall:0").array.item() for _ in range(2))
    assert second == first + 2


def test_tables_read_their_assets(graph, tmp_path):
    words = (MODELS / "table/1/assets/vocab.txt").read_bytes().split()
    result = run(graph("table/1"), "words:0", strings([*words, b"nowhere"]), "Identity:0")
    assert result.array[:-1].tolist() == list(range(len(words)))
    assert result.array[-1] not in range(len(words))
    moved = shutil.copytree(MODELS / "table/1", tmp_path / "moved äöü")
    copy = Graph(moved)
    assert run(copy, "words:0", strings(words[::-1]), "Identity:0").array.tolist() == list(range(len(words)))[::-1]
    copy.close()


def test_the_meta_graph_tells_the_signatures(graph):
    meta_graph = import_proto("tensorflow.core.protobuf.meta_graph_pb2").MetaGraphDef
    signatures = meta_graph.FromString(graph("half_plus_two/3").meta_graph).signature_def
    assert signatures.keys() == {"serving_default", "plus_hundred", "both", "only_in_3"}
    assert signatures["serving_default"].inputs["x"].name == "x:0"


# Loading and closing.


def test_the_graph_of_other_tags():
    other = Graph(MODELS / "tagged/1", tags=("other",))
    assert run(other, "x:0", floats(2), "y:0").array.shape == (1,)
    other.close()
    for tags in (("serve",), ("other", "serve"), ()):
        code, message = refused(lambda tags=tags: Graph(MODELS / "tagged/1", tags=tags))
        assert code is Code.NOT_FOUND
        assert "Could not find meta graph def matching supplied tags" in message


def test_threads_of_the_config():
    config = import_proto("tensorflow.core.protobuf.config_pb2").ConfigProto(
        intra_op_parallelism_threads=2, inter_op_parallelism_threads=3
    )
    graph = Graph(MODELS / "half_plus_two/1", config=config.SerializeToString())
    for is_inline in (True, False):
        assert run(graph, "x:0", floats(2), "y:0", is_inline=is_inline).array.tolist() == [3]
    graph.close()
    code, message = refused(lambda: Graph(MODELS / "half_plus_two/1", config=b"\xff\xff"))
    assert code is Code.INVALID_ARGUMENT
    assert message == "Unparseable ConfigProto"


def test_what_cannot_be_loaded(tmp_path):
    code, message = refused(lambda: Graph(MODELS / "broken/2"))
    assert code is Code.DATA_LOSS
    assert "Can't parse" in message
    assert refused(lambda: Graph(tmp_path))[0] is Code.NOT_FOUND
    assert refused(lambda: Graph(tmp_path / "nowhere"))[0] is Code.NOT_FOUND
    half = shutil.copytree(MODELS / "module/1", tmp_path / "half")
    (half / "variables/variables.data-00000-of-00001").unlink()
    assert refused(lambda: Graph(half))[0] in (Code.NOT_FOUND, Code.DATA_LOSS)


def test_a_closed_graph_is_not_run():
    graph = Graph(MODELS / "half_plus_two/1")
    graph.close()
    graph.close()
    with pytest.raises(ValueError, match="the SavedModel is closed"):
        run(graph, "x:0", floats(1), "y:0")


# Threads.


@pytest.mark.parametrize("is_inline", [True, False])
def test_threads_run_it_at_once(graph, is_inline):
    types, turns = graph("types/1"), 100
    start = threading.Barrier(8)

    def call(caller):
        start.wait(30)
        for turn in range(turns):
            number = caller * turns + turn
            text = str(number).encode() * (turn % 20)
            one, other = types.run(
                ["f32:0", "s:0"],
                [floats(number), strings([text, b"", text])],
                ["out_f32:0", "out_s:0"],
                is_inline=is_inline,
            )
            assert one.array.tolist() == [number]
            assert other.array.tolist() == [text, b"", text]
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(8)))


def test_runs_do_not_wait_for_each_other(graph):
    slow = graph("slow/1")
    start = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: run(slow, "us:0", microseconds(300_000), "Identity:0"), range(6)))
    assert time.monotonic() - start < 1.2  # one after the other they take 1.8 s


# Processes.


def test_no_python_of_tensorflow_is_imported(python):
    source = f"""
import sys
from pathlib import Path
import numpy as np
from runtimes.tensor import Tensor
from runtimes.tensorflow_c_graph import Graph
graph = Graph(Path({str(MODELS / "half_plus_two/1")!r}))
print(graph.run(["x:0"], [Tensor(1, np.ones(1, np.float32))], ["y:0"])[0].array.tolist())
print({{"tensorflow", "tensorflow.python", "keras", "torch"}} & set(sys.modules))
"""
    assert python(source).splitlines() == ["[2.5]", "set()"]


def test_memory_of_a_model_comes_back(python):
    source = f"""
from pathlib import Path
import numpy as np
from runtimes.tensor import Tensor
from runtimes.tensorflow_c_graph import Graph

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

array = np.empty(100, object)
array[:] = [b"x" * 1000] * 100
for cycle in range(1, 201):
    graph = Graph(Path({str(MODELS / "types/1")!r}))
    for _ in range(20):
        graph.run(["s:0"], [Tensor(7, array)], ["out_s:0"], is_inline=False)
    graph.close()
    if cycle in (50, 200):
        print(resident())
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the size of a process is read from /proc, which Linux has")
    after_50, after_200 = map(int, python(source).split())
    assert after_200 - after_50 < 10_000  # KiB; the strings of one run of each cycle would be 15,000
