"""Slices, parts, joins and padding: bounds that are inputs, unknown axes, old opsets."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HEADER = '<ir_version: 8, opset_import: ["" : {opset}]>\n'
MAX, MIN = 2**63 - 1, -(2**63) + 1


def graph(text, opset=17):
    return HEADER.format(opset=opset) + text


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


SLICES = [
    (0, MAX, 1),
    (1, -1, 1),
    (-3, MAX, 2),
    (-1, MIN, -1),
    (MAX, MIN, -2),
    (5, 1, -2),
    (-100, 100, 3),
    (3, 3, 1),
    (-100, MIN, -1),
    (4, 0, -1),
]


@pytest.mark.parametrize("axis", ["known", "unknown"])
@pytest.mark.parametrize("bounds", SLICES)
def test_slices_of_known_bounds(check, bounds, axis):
    start, end, step = bounds
    text = graph(
        f"""g (float[A, {7 if axis == "known" else "B"}] x) => (float[C, D] y) <int64[1] s = {{{start}}},
        int64[1] e = {{{end}}}, int64[1] a = {{-1}}, int64[1] by = {{{step}}}> {{ y = Slice(x, s, e, a, by) }}"""
    )
    check(text, {"x": floats(2, 7)})


@pytest.mark.parametrize("axes", ["inputs", "initializer"])
def test_slices_by_inputs(check, axes):
    given, held = (", int64[1] a", "") if axes == "inputs" else ("", "<int64[1] a = {-1}>")
    text = graph(
        f"g (float[A, B] x, int64[1] s, int64[1] e, int64[1] by{given}) => (float[C, D] y) {held}"
        "{ y = Slice(x, s, e, a, by) }"
    )
    calls = [
        {"x": floats(2, 7), **{n: np.array([v]) for n, v in zip(("s", "e", "by"), bounds, strict=True)}}
        for bounds in SLICES
    ]
    if axes == "inputs":
        calls = [call | {"a": np.array([-1])} for call in calls]
    check(text, *calls)
    if axes == "initializer":
        # TensorFlow Lite's interpreter gives no empty tensor.
        check(text, *(call for call in calls if call["s"] != call["e"]), tflite=True)


def test_slice_of_opset_9(check):
    text = graph("g (float[A, 5, C] x) => (float[D, E, F] y) { y = Slice<starts=[1, -3], ends=[4, 2147483647], "
                 "axes=[1, 2]>(x) }", 9)  # fmt: skip
    check(text, {"x": floats(2, 5, 6)}, tflite=True)


def test_a_slice_up_to_a_size_of_another_tensor(check):
    text = graph(
        """g (float[1, S] x, float[1, 9] t) => (float[1, T] y) <int64[1] z = {0}, int64[1] one = {1}, int64 i = {1}>
        { s = Shape(x) n = Gather(s, i) e = Unsqueeze(n, z) y = Slice(t, z, e, one) }"""
    )
    check(text, {"x": floats(1, 4), "t": floats(1, 9)}, tflite=True)


@pytest.mark.parametrize(("opset", "size"), [(11, 6), (13, 6), (18, 6), (18, 7), (18, 5)])
def test_equal_split_of_an_unknown_axis(check, opset, size):
    attribute = ", num_outputs=3" if opset == 18 else ""
    text = graph(f"g (float[A, B] x) => (float[A, C] p, float[A, D] q, float[A, E] r) "
                 f"{{ p, q, r = Split<axis=1{attribute}>(x) }}", opset)  # fmt: skip
    check(text, {"x": floats(2, size)})


def test_split_by_an_input(check):
    text = graph("g (float[A, B] x, int64[2] s) => (float[A, C] p, float[A, D] q) { p, q = Split<axis=-1>(x, s) }")
    check(text, {"x": floats(2, 7), "s": np.array([2, 5])}, {"x": floats(2, 7), "s": np.array([7, 0])}, tflite=False)


def test_split_of_opset_2(check):
    text = graph("g (float[A, 7] x) => (float[A, C] p, float[A, D] q) { p, q = Split<axis=1, split=[3, 4]>(x) }", 9)
    check(text, {"x": floats(2, 7)}, tflite=True)


def test_concat_of_unknown_axes(check):
    text = graph("g (float[A, B] x, float[A, C] y) => (float[A, D] z) { z = Concat<axis=-1>(x, y, x) }")
    check(text, {"x": floats(2, 3), "y": floats(2, 4)}, tflite=True)


PADS = {
    "constant": [
        ([0, 1, 2, 0, 3, 1], (2, 4, 5)),
        ([0, -1, 2, 0, 1, -2], (2, 4, 5)),
        ([1, -1, -1, -1, 0, -1], (2, 4, 5)),
    ],
    "edge": [([0, 1, 2, 0, 3, 1], (2, 4, 5)), ([0, 6, 0, 0, 7, 0], (2, 4, 5)), ([0, -1, 2, 0, 3, 1], (2, 4, 5))],
    "reflect": [([0, 1, 2, 0, 3, 1], (2, 4, 5)), ([0, 0, 4, 0, 0, 4], (2, 4, 5))],
    "wrap": [([0, 1, 2, 0, 3, 1], (2, 4, 5))],
}


@pytest.mark.parametrize("pads_are", ["known", "input"])
@pytest.mark.parametrize("axes_are", ["known", "unknown"])
@pytest.mark.parametrize(("mode", "pads", "shape"), [(mode, *case) for mode, cases in PADS.items() for case in cases])
def test_padding(check, mode, pads, shape, axes_are, pads_are):
    sizes = ",".join(map(str, shape)) if axes_are == "known" else "A,B,C"
    values = ", ".join(map(str, pads))
    given, held = ("", f"<int64[6] p = {{{values}}}>") if pads_are == "known" else (", int64[6] p", "")
    text = graph(f'g (float[{sizes}] x{given}) => (float[D, E, F] y) {held} {{ y = Pad<mode="{mode}">(x, p) }}', 19)
    call = {"x": floats(*shape)} | ({} if pads_are == "known" else {"p": np.array(pads)})
    check(text, call, tflite=(axes_are, pads_are) == ("known", "known"))


def test_reflection_beyond_the_other_edge(check):
    text = graph('g (float[2, 3] x) => (float[D, E] y) <int64[4] p = {0, 7, 3, 5}> { y = Pad<mode="reflect">(x, p) }')
    check(text, {"x": floats(2, 3)}, reference=True, tflite=True)


def test_pad_of_stated_axes_with_a_value(check):
    text = graph(
        """g (float[A, B, C] x, float v) => (float[D, E, F] y) <int64[2] p = {1, 2}, int64[1] a = {-2}>
        { y = Pad(x, p, v, a) }""",
        18,
    )
    check(text, {"x": floats(2, 3, 4), "v": np.array(1.5, np.float32)}, tflite=True)


def test_pad_of_axes_that_are_inputs(check):
    text = graph("g (float[A, B, C] x, int64[4] p, int64[2] a) => (float[D, E, F] y) { y = Pad(x, p, , a) }", 18)
    check(text, {"x": floats(2, 3, 4), "p": np.array([1, 0, 2, -1]), "a": np.array([-1, 0])})


def test_pad_of_opset_10(check):
    text = graph("g (float[A, B] x) => (float[D, E] y) { y = Pad<pads=[1, 0, 0, 2], value=2.5>(x) }", 10)
    check(text, {"x": floats(2, 3)}, tflite=True)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "double", "float16"])
def test_types_of_pad(check, dtype):
    kind = {"double": np.float64}.get(dtype) or np.dtype(dtype)
    text = graph(f"g ({dtype}[A, B] x) => ({dtype}[D, E] y) <int64[4] p = {{1, 0, 0, 2}}> {{ y = Pad(x, p) }}", 19)
    check(text, {"x": np.ones((2, 3), kind)})


def test_tile_by_an_input_and_by_a_computed_vector(check):
    check(graph("g (float[A, B] x, int64[2] r) => (float[C, D] y) { y = Tile(x, r) }"),
          {"x": floats(2, 3), "r": np.array([2, 3])}, tflite=True)  # fmt: skip
    check(
        graph(
            """g (float[B, C] x, float[1, 4] t) => (float[B, 4] y) <int64[1] z = {0}, int64[1] one = {1}>
            { s = Shape(x) b = Slice(s, z, one) r = Concat<axis=0>(b, one) y = Tile(t, r) }"""
        ),
        {"x": floats(3, 2), "t": floats(1, 4)},
        tflite=True,
    )


@pytest.mark.parametrize("upper", [0, 1])
def test_triangles_of_unknown_axes(check, upper):
    text = graph(f"g (float[A, B, C] x, int64 k) => (float[A, B, C] y) {{ y = Trilu<upper={upper}>(x, k) }}")
    calls = [{"x": floats(2, 3, 5), "k": np.array(k)} for k in (-4, -1, 0, 2, 9)]
    check(text, *calls, tflite=True)


def test_compress_by_a_shorter_condition(check):
    text = graph("g (float[A, B] x, bool[N] c) => (float[A, C] y, float[M] z) "
                 "{ y = Compress<axis=-1>(x, c) z = Compress(x, c) }")  # fmt: skip
    check(text, {"x": floats(2, 4), "c": np.array([True, False, True])}, tflite=True)


@pytest.mark.parametrize("shape", [[3, 9], [4, 4], [7, 3]])
def test_center_crop_pad_to_an_input(check, shape):
    text = graph("g (float[A, B, C] x, int64[2] s) => (float[A, D, E] y) { y = CenterCropPad<axes=[1, -1]>(x, s) }", 18)
    check(text, {"x": floats(2, 4, 5), "s": np.array(shape)}, reference=True)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_of_unknown_sizes(check, mode):
    text = graph(
        f'g (float[N, 18, H, W] x) => (float[N, 2, I, J] y) {{ y = DepthToSpace<blocksize=3, mode="{mode}">(x) }}'
    )
    check(text, {"x": floats(2, 18, 3, 4)}, {"x": floats(1, 18, 1, 2)}, tflite=True)


def test_space_to_depth_of_unknown_sizes(check):
    text = graph("g (float[N, 3, H, W] x) => (float[N, 12, I, J] y) { y = SpaceToDepth<blocksize=2>(x) }")
    check(text, {"x": floats(2, 3, 4, 6)}, tflite=True)


def test_reverse_sequence_of_unknown_sizes(check):
    text = graph("g (float[N, T, C] x, int64[N] n) => (float[N, T, C] y) "
                 "{ y = ReverseSequence<batch_axis=0, time_axis=1>(x, n) }")  # fmt: skip
    check(text, {"x": floats(2, 4, 3), "n": np.array([3, 1])}, tflite=True)
