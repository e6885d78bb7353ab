"""Indices: negative ones, repeated ones, unknown axes, types."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HEADER = '<ir_version: 8, opset_import: ["" : {opset}]>\n'


def graph(text, opset=17):
    return HEADER.format(opset=opset) + text


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_gather_of_unknown_axes(check, kind):
    text = graph(f"g (float[A, B] x, {kind}[C, D] i) => (float[A, C, D] y) {{ y = Gather<axis=-1>(x, i) }}")
    check(text, {"x": floats(3, 4), "i": np.array([[0, -1, 3], [-4, 2, 1]], kind)}, tflite=True)


@pytest.mark.parametrize("indices", ["int64 i = {-1}", "int64[2] i = {-1, 0}", "int64[1] i = {1}"])
def test_gather_at_known_indices(check, indices):
    outputs = "float[A, C] y" if "[" not in indices else "float[A, I, C] y"
    text = graph(f"g (float[A, B, C] x) => ({outputs}) <{indices}> {{ y = Gather<axis=1>(x, i) }}")
    check(text, {"x": floats(3, 4, 2)}, tflite=True)


def test_gather_from_a_table(check):
    text = graph("g (int64[B, S] i) => (float[B, S, 2] y) <float[3, 2] t = {1, 2, 3, 4, 5, 6}> { y = Gather(t, i) }")
    check(text, {"i": np.array([[0, 2, -1], [1, -3, 0]])}, tflite=True)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements_of_fewer_places(check, axis):
    text = graph(
        f"g (float[A, B, C] x, int64[D, E, F] i) => (float[D, E, F] y) {{ y = GatherElements<axis={axis}>(x, i) }}"
    )
    indices = np.random.default_rng(1).integers(-3, 3, size=(2, 2, 2))
    check(text, {"x": floats(3, 4, 5), "i": indices}, tflite=True)


@pytest.mark.parametrize(
    ("batch", "shape"), [(0, (4, 2)), (0, (2, 3, 1)), (1, (3, 5, 1)), (1, (3, 2)), (2, (3, 4, 2, 1))]
)
def test_gather_nd_of_unknown_axes(check, batch, shape):
    rank = 3 + len(shape) - 1 - shape[-1] - batch
    sizes = ",".join([*"IJKL"[: len(shape) - 1], str(shape[-1])])
    text = graph(f"g (float[A, B, C] x, int64[{sizes}] i) => (float[{','.join('OPQRS'[:rank])}] y) "
                 f"{{ y = GatherND<batch_dims={batch}>(x, i) }}")  # fmt: skip
    check(text, {"x": floats(3, 4, 5), "i": np.random.default_rng(1).integers(-3, 3, size=shape)}, tflite=True)


REDUCTIONS = ["none", "add", "mul", "max", "min"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["float", "int32", "int64", "double"])
def test_scatter_elements(check, reduction, kind):
    dtype = {"float": np.float32, "double": np.float64}.get(kind) or np.dtype(kind)
    text = graph(f"g ({kind}[A, B] x, int64[C, D] i, {kind}[C, D] u) => ({kind}[A, B] y) "
                 f'{{ y = ScatterElements<axis=-1, reduction="{reduction}">(x, i, u) }}', 18)  # fmt: skip
    x = np.arange(12).reshape(3, 4).astype(dtype)
    indices = np.array([[0, -1, 1], [2, 1, -4]]) if reduction == "none" else np.array([[0, -1, 0], [2, 2, 2]])
    call = {"x": x, "i": indices, "u": np.array([[7, -8, 9], [2, 3, -5]], dtype)}
    check(text, call, tflite=kind in ("float", "int32") and reduction != "mul")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("depth", [1, 2])
def test_scatter_nd(check, reduction, depth):
    text = graph(f"g (float[A, B, C] x, int64[N, {depth}] i, float[{'N, B, C' if depth == 1 else 'N, C'}] u) => "
                 f'(float[A, B, C] y) {{ y = ScatterND<reduction="{reduction}">(x, i, u) }}', 18)  # fmt: skip
    indices = np.array([[0], [-1], [0]] if depth == 1 else [[0, 1], [-1, -2], [0, 1]])
    if reduction == "none":
        indices = indices[:2]
    updates = floats(len(indices), *((3, 2) if depth == 1 else (2,)))
    call = {"x": floats(4, 3, 2) * 2, "i": indices, "u": updates}
    empty = {"x": floats(4, 3, 2), "i": indices[:0], "u": updates[:0]}
    check(text, call, empty)
    check(text, call, tflite=reduction != "mul")


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_infinite_numbers_survive_a_reduction(check, reduction):
    text = graph('g (float[6] x, int64[5] i, float[5] u) => (float[6] y) { y = ScatterElements<reduction="'
                 f'{reduction}">(x, i, u) }}', 18)  # fmt: skip
    inf = np.inf
    x = np.array([-inf, inf, -inf, inf, 1, 2], np.float32)
    u = np.array([-inf, inf, inf, -inf, -inf], np.float32)
    # Not in TensorFlow Lite: its converter makes the largest finite number of an infinite constant.
    check(text, {"x": x, "i": np.array([0, 1, 2, 3, 4]), "u": u})


def test_of_several_updates_at_one_place_the_last_one_counts(check):
    text = graph("g (float[4] x, int64[3] i, float[3] u) => (float[4] y) { y = ScatterElements(x, i, u) }")
    check(text, {"x": floats(4), "i": np.array([1, 1, 1]), "u": np.array([5, 5, 7], np.float32)}, tflite=True)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "string"])
def test_types_of_scatter(check, dtype):
    text = graph(f"g ({dtype}[4] x, int64[2] i, {dtype}[2] u) => ({dtype}[4] y) {{ y = ScatterElements(x, i, u) }}")
    kind = object if dtype == "string" else np.dtype(dtype)
    values = np.array(list("abcd"), object) if dtype == "string" else np.arange(4).astype(kind)
    check(text, {"x": values, "i": np.array([3, 0]), "u": values[1:3]})


def test_one_hot_of_unknown_axes(check):
    text = graph("g (int64[A, B] i, int64[1] d, float[2] v) => (float[A, C, B] y) { y = OneHot<axis=1>(i, d, v) }")
    indices = np.array([[0, -1, 4], [-5, 7, -9]])
    check(text, {"i": indices, "d": np.array([5]), "v": np.array([2, 3], np.float32)})


def test_one_hot_of_a_known_depth(check):
    text = graph("g (int64[A] i) => (float[A, 5] y) <int64 d = {5}, float[2] v = {0, 1}> { y = OneHot(i, d, v) }")
    check(text, {"i": np.array([0, -1, 4])}, tflite=True)


@pytest.mark.parametrize("kind", ["float", "int64", "int32", "bool", "uint8"])
def test_non_zero_of_unknown_axes(check, kind):
    dtype = {"float": np.float32}.get(kind) or np.dtype(kind)
    text = graph(f"g ({kind}[A, B] x) => (int64[2, N] y) {{ y = NonZero(x) }}")
    call = {"x": np.array([[0, 1, 2], [3, 0, 0]]).astype(dtype)}
    check(text, call, {"x": np.zeros((2, 3), dtype)})
    check(text, call, tflite=kind in ("float", "int64", "bool"))


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("kind", ["float", "int64", "int32", "double"])
def test_top_k(check, largest, axis, kind):
    dtype = {"float": np.float32, "double": np.float64}.get(kind) or np.dtype(kind)
    text = graph(f"g ({kind}[A, B] x, int64[1] k) => ({kind}[C, D] y, int64[C, D] i) "
                 f"{{ y, i = TopK<axis={axis}, largest={largest}>(x, k) }}")  # fmt: skip
    x = np.random.default_rng(0).integers(-4, 4, size=(4, 5)).astype(dtype)
    if kind.startswith("int"):
        x[0, 0], x[1, 1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    check(text, {"x": x, "k": np.array([3])}, tflite=kind != "double")


def test_top_k_of_opset_9(check):
    text = graph("g (float[A, 5] x) => (float[A, 2] y, int64[A, 2] i) { y, i = TopK<k=2>(x) }", 9)
    check(text, {"x": floats(3, 5)}, tflite=True)


@pytest.mark.parametrize("is_sorted", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("kind", ["float", "int64"])
def test_unique(check, is_sorted, axis, kind):
    dtype = np.float32 if kind == "float" else np.int64
    stated = "" if axis is None else f"axis={axis}, "
    sizes = "N" if axis is None else "C, D"
    text = graph(f"g ({kind}[A, B] x) => ({kind}[{sizes}] y, int64[E] i, int64[F] j, int64[G] n) "
                 f"{{ y, i, j, n = Unique<{stated}sorted={is_sorted}>(x) }}")  # fmt: skip
    x = np.array([[3, 1, 3, 1], [-2, 1, -2, 0], [3, 1, 3, 1], [0, 0, 0, 0]], dtype)
    check(text, {"x": x})
    check(text, {"x": x}, tflite=True)


def test_unique_of_strings(check):
    text = graph("g (string[A] x) => (string[N] y, int64[M] i) { y, i = Unique<sorted=0>(x) }")
    check(text, {"x": np.array(["b", "a", "b"], object)})
