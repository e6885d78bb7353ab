"""Branches and loops: against ONNX Runtime, with what is unknown at conversion, and in TFLite."""

from typing import Any

import numpy as np
import pytest
from onnx.parser import parse_model

pytestmark = pytest.mark.slow


def text(graph: str, opset: int = 17) -> str:
    """A model for onnx's parser."""
    return f'<ir_version: 8, opset_import: ["": {opset}]> {graph}'


def floats(*values: float) -> Any:
    """A vector."""
    return np.array(values, np.float32)


def test_if_with_branches_of_other_shapes(check: Any) -> None:
    """Both take from outside, one a weight: variables are read inside of a branch."""
    model = text("""g (float[n] x, bool c) => (float[m] y) <float[2] w = {1.5, 2.5}> {
        y = If (c) <then_branch = t () => (float[k] a) { a = Concat<axis = 0>(x, x, w) },
                    else_branch = e () => (float[k] b) { b = Concat<axis = 0>(x, w) }>
    }""")
    check(model, {"x": floats(1, 2, 3), "c": np.array(True)}, {"x": floats(1), "c": np.array(False)}, tflite=True)


def test_if_with_a_known_condition_is_one_branch(check: Any) -> None:
    """The other branch is not even looked at."""
    model = text("""g (float[n] x) => (float[m] y) <bool c = {1}> {
        y = If (c) <then_branch = t () => (float[k] a) { a = Add(x, x) },
                    else_branch = e () => (float[k] b) { b = com.nobody.Unknown(x) }>
    }""").replace('"": 17', '"": 17, "com.nobody": 1')
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    module = to_module(parse_model(model))
    np.testing.assert_array_equal(module.serve(tf.constant(floats(1, 2)))["y"], [2, 4])
    assert not [op for op in module.concrete.graph.get_operations() if op.type in ("If", "StatelessIf")]


def test_nested_ifs(check: Any) -> None:
    """An inner branch takes a value of the outer branch and one of the model."""
    model = text("""g (float[n] x, bool c, bool d) => (float[n] y) {
        y = If (c) <
            then_branch = t () => (float[n] a) {
                s = Add(x, x)
                a = If (d) <then_branch = tt () => (float[n] p) { p = Add(s, x) },
                            else_branch = te () => (float[n] q) { q = Identity(s) }>
            },
            else_branch = e () => (float[n] b) { b = Add(x, x) }>
    }""")
    calls = [{"x": floats(1, 2), "c": np.array(c), "d": np.array(d)} for c in (True, False) for d in (True, False)]
    check(model, *calls, tflite=True)


def scalar(value: float) -> Any:
    """A number."""
    return np.array(value, np.float32)


COUNTED = """g (float[2] x, int64 n) => (float[2] y, float[m, 2] s) <float[2] w = {0.5, 2}> {
    y, s = Loop (n, , x) <body = b (int64 i, bool c, float[2] v) => (bool o, float[2] r, float[2] t) {
        o = Identity(c)
        r = Add(v, w)
        t = Add(r, x)
    }>
}"""


def test_loop_that_counts(check: Any) -> None:
    """Its trip count comes at run time; none at all gives an empty scan output."""
    check(text(COUNTED), *({"x": floats(1, 2), "n": np.array(n, np.int64)} for n in (3, 0, 5)))
    # The interpreter of TFLite, in Python, cannot give a tensor without elements.
    check(text(COUNTED), *({"x": floats(1, 2), "n": np.array(n, np.int64)} for n in (3, 5)), tflite=True)


def test_loop_of_a_known_count(check: Any) -> None:
    """The trip count is an initializer."""
    model = text(COUNTED.replace(", int64 n)", ")").replace("<float[2] w", "<int64 n = {4}, float[2] w"))
    check(model, {"x": floats(1, 2)}, tflite=True)


@pytest.mark.parametrize("limit", [1, 4, 2**63 - 1])
def test_loop_with_count_and_condition(check: Any, limit: int) -> None:
    """Whichever ends first; the condition also before the first iteration."""
    model = text("""g (float x, float most, bool first, int64 n) => (float y, float[m] s) {
        y, s = Loop (n, first, x) <body = b (int64 i, bool c, float v) => (bool o, float r, float t) {
            r = Add(v, x)
            o = Less(r, most)
            t = Add(r, r)
        }>
    }""")
    calls = [
        {"x": scalar(1), "most": scalar(most), "first": np.array(first), "n": np.array(limit, np.int64)}
        for most, first in ((3, True), (7, True), (7, False))
    ]
    check(model, *calls)


def test_while_loop(check: Any) -> None:
    """No trip count."""
    model = text("""g (float x, float most, bool first) => (float y) {
        y = Loop ( , first, x) <body = b (int64 i, bool c, float v) => (bool o, float r) {
            r = Add(v, x)
            o = Less(r, most)
        }>
    }""")
    call = {"x": scalar(1), "most": scalar(6), "first": np.array(True)}
    check(model, call, tflite=True)


def test_loop_whose_value_grows(check: Any) -> None:
    """A carried value of another shape each time; a carried integer is not taken for known."""
    model = text("""g (float[2] x, int64 n) => (float[k] y, int64 z) <int64 one = {1}, bool t = {1}> {
        y, z = Loop (n, t, x, one) <body = b (int64 i, bool c, float[2] v, int64 u)
            => (bool o, float[j] r, int64 w) {
            o = Identity(c)
            r = Concat<axis = 0>(v, x)
            w = Add(u, i)
        }>
    }""")
    check(model, *({"x": floats(1, 2), "n": np.array(n, np.int64)} for n in (0, 1, 4)))


def test_empty_scan_output_of_an_unknown_axis(check: Any) -> None:
    """No iteration: the axis is empty too."""
    model = text("""g (float[a] x, int64 n) => (float[k, j] s) <bool t = {1}> {
        s = Loop (n, t) <body = b (int64 i, bool c) => (bool o, float[j] r) { o = Identity(c) r = Add(x, x) }>
    }""")
    given = check(model, {"x": floats(1, 2), "n": np.array(2, np.int64)})
    assert given["s"].shape == (2, 2)
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    empty = to_module(parse_model(model)).serve(tf.constant(floats(1, 2)), tf.constant(0, tf.int64))["s"]
    assert empty.shape == (0, 0)


def test_nested_loops(check: Any) -> None:
    """The inner one runs as often as the outer one's iteration says, and takes values of both graphs outside."""
    model = text("""g (float[2] x, int64 n) => (float[2] y, float[k, 2] s) <bool t = {1}, float[2] w = {1, 3}> {
        y, s = Loop (n, t, x) <body = b (int64 i, bool c, float[2] v) => (bool o, float[2] r, float[2] q) {
            o = Identity(c)
            d = Add(v, w)
            r = Loop (i, c, d) <body = bb (int64 ii, bool cc, float[2] vv) => (bool oo, float[2] rr) {
                oo = Identity(cc)
                dd = Add(vv, d)
                rr = Add(dd, w)
            }>
            q = Add(r, x)
        }>
    }""")
    check(model, *({"x": floats(1, 2), "n": np.array(n, np.int64)} for n in (0, 1, 4)))
    check(model, *({"x": floats(1, 2), "n": np.array(n, np.int64)} for n in (1, 4)), tflite=True)


def test_loop_that_never_ends_is_refused() -> None:
    """Neither a count nor a condition that could change."""
    from contract.errors import UnsupportedOpError
    from pipeline.onnx_to_tf.convert import to_module

    model = text("""g (float x) => (float y) {
        y = Loop ( , , x) <body = b (int64 i, bool c, float v) => (bool o, float r) { o = Identity(c) r = Add(v, x) }>
    }""")
    with pytest.raises(UnsupportedOpError, match="nothing ends it"):
        to_module(parse_model(model))


@pytest.mark.parametrize("length", ["3", "n"])
def test_scan_with_axes_and_directions(check: Any, length: str) -> None:
    """One input along its second axis and backwards, one output backwards and along its second axis."""
    model = text(f"""g (float[2] h, float[{length}, 2] x, float[2, {length}] z)
        => (float[2] y, float[2, k] s, float[k, 2] r) {{
        y, s, r = Scan <num_scan_inputs = 2, scan_input_axes = [0, 1], scan_input_directions = [0, 1],
            scan_output_axes = [1, 0], scan_output_directions = [1, 0],
            body = b (float[2] v, float[2] a, float[2] c) => (float[2] w, float[2] p, float[2] q) {{
                t = Add(v, a)
                w = Add(t, c)
                p = Add(w, h)
                q = Add(a, c)
            }}>(h, x, z)
    }}""")
    draw = np.random.default_rng(0)
    call = {
        "h": floats(1, 2),
        "x": draw.normal(size=(3, 2)).astype(np.float32),
        "z": draw.normal(size=(2, 3)).astype(np.float32),
    }
    check(model, call, tflite=True)


@pytest.mark.parametrize("lengths", [False, True])
def test_scan_8(check: Any, lengths: bool) -> None:
    """The first form: a batch, and sequences of other lengths."""
    given, first = ("int64[2] l, ", "l") if lengths else ("", "")
    model = text(
        f"""g ({given}float[2, 3] h, float[2, 4, 3] x) => (float[2, 3] y, float[2, 4, 3] s) {{
        y, s = Scan <num_scan_inputs = 1, directions = [1],
            body = b (float[3] v, float[3] a) => (float[3] w, float[3] p) {{ w = Add(v, a) p = Add(w, a) }}>
            ({first}, h, x)
    }}""",
        opset=8,
    )
    draw = np.random.default_rng(0)
    call = {
        **({"l": np.array([2, 4], np.int64)} if lengths else {}),
        "h": draw.normal(size=(2, 3)).astype(np.float32),
        "x": draw.normal(size=(2, 4, 3)).astype(np.float32),
    }
    check(model, call)


def test_gradient_through_a_loop() -> None:
    """A weight that only the body reads trains."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    module = to_module(parse_model(text(COUNTED)))
    with tf.GradientTape() as tape:
        outputs = module.serve(tf.constant(floats(1, 2)), tf.constant(3, tf.int64))
        loss = tf.reduce_sum(outputs["y"]) + tf.reduce_sum(outputs["s"])
    (gradient,) = tape.gradient(loss, list(module.weights.values()))
    np.testing.assert_allclose(gradient, [9, 9])
