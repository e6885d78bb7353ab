"""Shapes: axes that are unknown, shapes that the graph computes, old opsets."""

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.slow

HEADER = '<ir_version: 8, opset_import: ["" : {opset}]>\n'


def graph(text, opset=17):
    return HEADER.format(opset=opset) + text


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def static_shape():
    """The shape that TensorFlow finds for the output of a model."""

    def found(text):
        from pipeline.onnx_to_tf.convert import to_module

        module = to_module(onnx.parser.parse_model(text))
        (output,) = module.concrete.structured_outputs.values()
        return output.shape.as_list()

    return found


RESHAPES = {
    "batch by Gather": "b = Gather(s, zero) bv = Unsqueeze(b, axes) t = Concat<axis=0>(bv, rest) y = Reshape(x, t)",
    "batch by Slice": "bv = Slice(s, axes, one) t = Concat<axis=0>(bv, rest) y = Reshape(x, t)",
    "batch by Shape": "bv = Shape<start=0, end=1>(x) t = Concat<axis=0>(bv, rest) y = Reshape(x, t)",
    "zero": "y = Reshape(x, kept)",
    "minus one beside the batch": "bv = Slice(s, axes, one) t = Concat<axis=0>(bv, found) y = Reshape(x, t)",
    "batch by Cast": "i = Cast<to=6>(s) j = Cast<to=7>(i) bv = Slice(j, axes, one) t = Concat<axis=0>(bv, rest) "
    "y = Reshape(x, t)",
    "batch by Split": "bv, others = Split(s, parts) t = Concat<axis=0>(bv, rest) y = Reshape(x, t)",
    "batch by Gather of a vector": "b = Gather(s, axes) t = Concat<axis=0>(b, rest) y = Reshape(x, t)",
    "batch squeezed": "v = Slice(s, axes, one) b = Squeeze(v) bv = Unsqueeze(b, axes) t = Concat<axis=0>(bv, rest) "
    "y = Reshape(x, t)",
}


@pytest.mark.parametrize("how", RESHAPES)
def test_a_reshape_by_a_computed_shape_keeps_what_is_known(check, static_shape, how):
    text = graph(
        f"""g (float[B, 4, 6] x) => (float[D0, D1, D2, D3] y)
        <int64 zero = {{0}}, int64[1] axes = {{0}}, int64[1] one = {{1}}, int64[3] rest = {{4, 2, 3}},
         int64[3] found = {{-1, 2, 3}}, int64[4] kept = {{0, -1, 2, 3}}, int64[2] parts = {{1, 2}}>
        {{ s = Shape(x) {RESHAPES[how]} }}"""
    )
    assert static_shape(text) == [None, 4, 2, 3]
    check(text, {"x": floats(2, 4, 6)}, {"x": floats(5, 4, 6)}, tflite=True)


def test_two_unknown_axes(check, static_shape):
    text = graph(
        """g (float[B, S, 12] x) => (float[B, S, 3, 4] y) <int64[2] heads = {3, 4}, int64[1] a = {0}, int64[1] b = {2}>
        { s = Shape(x) p = Slice(s, a, b) t = Concat<axis=0>(p, heads) y = Reshape(x, t) }"""
    )
    assert static_shape(text) == [None, None, 3, 4]
    check(text, {"x": floats(2, 5, 12)}, {"x": floats(1, 3, 12)}, tflite=True)


def test_sizes_that_are_computed(check):
    text = graph(
        """g (float[B, C, H, W] x) => (float[D0, D1] y) <int64 zero = {0}, int64 one = {1}, int64[1] a = {0},
            int64[1] rest = {-1}>
        { s = Shape(x) b = Gather(s, zero) c = Gather(s, one) bc = Mul(b, c) v = Unsqueeze(bc, a)
          t = Concat<axis=0>(v, rest) y = Reshape(x, t) }"""
    )
    check(text, {"x": floats(2, 3, 4, 5)})


@pytest.mark.parametrize("shape", [[0, -1], [6, 4], [-1], [2, 0, -1]])
def test_a_shape_that_is_an_input(check, shape):
    sizes = ",".join("DEFG"[: len(shape)])
    text = graph(f"g (float[A, B, C] x, int64[{len(shape)}] s) => (float[{sizes}] y) {{ y = Reshape(x, s) }}")
    check(text, {"x": floats(2, 3, 4), "s": np.array(shape)})


def test_a_shape_of_unknown_length(check):
    text = graph(
        """g (float[A, B, C] x, int64[N] s) => (float[M] y) <int64[1] flat = {-1}>
        { r = Reshape(x, s) y = Reshape(r, flat) }"""
    )
    check(text, {"x": floats(2, 3, 4), "s": np.array([0, -1])}, {"x": floats(2, 3, 4), "s": np.array([0, 0, 2, -1])})


def test_allow_zero(check):
    text = graph("g (float[A, B] x) => (float[C, D, E] y) <int64[3] s = {3, 0, 5}> { y = Reshape<allowzero=1>(x, s) }")
    check(text, {"x": np.zeros((0, 4), np.float32)})


def test_an_empty_batch(check):
    text = graph("g (float[B, 4] x) => (float[B, 2, 2] y) <int64[3] s = {-1, 2, 2}> { y = Reshape(x, s) }")
    check(text, {"x": np.zeros((0, 4), np.float32)})


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten_of_unknown_axes(check, axis):
    text = graph(f"g (float[A, 3, C] x) => (float[D, E] y) {{ y = Flatten<axis={axis}>(x) }}")
    check(text, {"x": floats(2, 3, 4)}, tflite=True)


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_and_unsqueeze_of_two_opsets(check, opset):
    if opset == 11:
        body = "{ u = Unsqueeze<axes=[0, -1]>(x) y = Squeeze<axes=[0, -2]>(u) }"
    else:
        body = "<int64[2] a = {0, -1}, int64[2] b = {-2, 0}> { u = Unsqueeze(x, a) y = Squeeze(u, b) }"
    check(graph(f"g (float[A, 1] x) => (float[B, C] y) {body}", opset), {"x": floats(3, 1)}, tflite=True)


def test_axes_that_are_inputs(check):
    text = graph(
        """g (float[A, B] x, int64[2] a, int64[1] b) => (float[C, D, E] y) { u = Unsqueeze(x, a) y = Squeeze(u, b) }"""
    )
    check(text, {"x": floats(3, 2), "a": np.array([-1, 0]), "b": np.array([-4])}, tflite=True)


def test_squeeze_of_whatever_is_one(check):
    check(graph("g (float[A, B, 1] x) => (float[C] y) { y = Squeeze(x) }"), {"x": floats(1, 3, 1)})


def test_expand_by_a_computed_shape(check, static_shape):
    text = graph("""g (float[B, 4] x, float[1, 4] m) => (float[B, 4] y) { s = Shape(x) y = Expand(m, s) }""")
    assert static_shape(text) == [None, 4]
    check(text, {"x": floats(3, 4), "m": floats(1, 4)}, tflite=True)


@pytest.mark.parametrize("shape", [[3, 1], [1, 4], [2, 1, 4], [1]])
def test_expand_both_ways(check, shape):
    outputs = ",".join("DEFG"[: max(2, len(shape))])
    text = graph(f"g (float[A, B] x, int64[{len(shape)}] s) => (float[{outputs}] y) {{ y = Expand(x, s) }}")
    check(text, {"x": floats(3, 4), "s": np.array(shape)}, {"x": floats(3, 1), "s": np.array(shape)}, tflite=True)


def test_constant_of_a_computed_shape(check, static_shape):
    text = graph(
        """g (float[B, 4] x) => (int64[B, 4] y)
        { s = Shape(x) y = ConstantOfShape<value = int64[1] {7}>(s) }"""
    )
    assert static_shape(text) == [None, 4]
    check(text, {"x": floats(3, 4)}, tflite=True)


@pytest.mark.parametrize("dtype", ["float16", "bool", "uint8", "int8", "double", "uint32", "uint64", "int16"])
def test_types_of_constant_of_shape(check, dtype):
    text = graph(f"g (int64[2] s) => ({dtype}[A, B] y) {{ y = ConstantOfShape<value = {dtype}[1] {{1}}>(s) }}")
    check(text, {"s": np.array([2, 3])})


def test_eye_like_of_unknown_axes(check):
    text = graph("g (float[A, B] x) => (int32[A, B] y) { y = EyeLike<dtype=6, k=-1>(x) }")
    check(text, {"x": floats(3, 4)}, {"x": floats(4, 2)}, tflite=True)


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "float", "double"])
def test_range_of_each_type(check, dtype):
    text = graph(f"g ({dtype} a, {dtype} b, {dtype} c) => ({dtype}[N] y) {{ y = Range(a, b, c) }}")
    kind = {"float": np.float32, "double": np.float64}.get(dtype) or np.dtype(dtype).type
    numbers = lambda *values: {n: np.array(v, kind) for n, v in zip("abc", values, strict=True)}  # noqa: E731
    check(text, numbers(1, 10, 3), numbers(10, 0, -4), numbers(3, 1, 1))


def test_range_up_to_a_size(check):
    text = graph(
        """g (float[B, S] x) => (int64[S] y) <int64 zero = {0}, int64 one = {1}>
        { s = Shape(x) n = Gather(s, one) y = Range(zero, n, one) }"""
    )
    check(text, {"x": floats(2, 5)}, tflite=True)


def test_size_and_shape_of_known_and_unknown(check):
    text = graph("g (float[B, 4] x) => (int64 n, int64[1] s, int64[2] t) "
                 "{ n = Size(x) s = Shape<start=-1>(x) t = Shape<start=-9, end=9>(x) }")  # fmt: skip
    check(text, {"x": floats(3, 4)}, tflite=True)


@pytest.mark.parametrize("perm", ["", "<perm=[0, 2, 3, 1]>", "<perm=[0, 1, 2, 3]>"])
def test_transpose_of_unknown_axes(check, perm):
    text = graph(f"g (float[A, B, C, D] x) => (float[E, F, G, H] y) {{ y = Transpose{perm}(x) }}")
    check(text, {"x": floats(2, 3, 4, 5)}, tflite=True)
