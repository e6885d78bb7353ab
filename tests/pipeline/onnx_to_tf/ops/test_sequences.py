"""Sequences and optionals inside of a model: against ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.slow

SIMPLE = Path(onnx.__file__).parent / "backend" / "test" / "data" / "simple"


def text(graph: str, opset: int = 18) -> str:
    """A model for onnx's parser."""
    return f'<ir_version: 8, opset_import: ["": {opset}]> {graph}'


def floats(*shape: int) -> Any:
    """Random numbers."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", [f"test_sequence_model{number}" for number in range(1, 9)])
def test_models_of_onnx(check: Any, name: str) -> None:
    """ONNX's own models of sequences, where they end in tensors."""
    model = onnx.load(SIMPLE / name / "model.onnx")
    if not all(value.type.HasField("tensor_type") for value in (*model.graph.input, *model.graph.output)):
        pytest.skip("a sequence is an input or an output")
    call = {}
    defaults = {tensor.name for tensor in model.graph.initializer}
    for position, value in enumerate(value for value in model.graph.input if value.name not in defaults):
        file = SIMPLE / name / "test_data_set_0" / f"input_{position}.pb"
        call[value.name] = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
    check(model, call)


@pytest.mark.parametrize("position", [0, 1, -1, 2])
def test_insert_erase_at_runtime_positions(check: Any, position: int) -> None:
    """Elements of other lengths, at a position that comes at run time."""
    model = text("""g (float[n] x, float[m] y, int64 p) => (float[k] a, float[k] b, int64 c, float[k] d) {
        s = SequenceConstruct(x, y)
        t = SequenceInsert(s, x, p)
        u = SequenceErase(t, p)
        a = ConcatFromSequence<axis = 0>(t)
        b = ConcatFromSequence<axis = 0>(u)
        c = SequenceLength(t)
        d = SequenceAt(t, p)
    }""")
    check(model, {"x": floats(2), "y": floats(3), "p": np.array(position, np.int64)})


def test_known_positions(check: Any) -> None:
    """All of it is resolved at conversion: TFLite sees no list."""
    model = text("""g (float[2, 3] x, float[2, 3] y) => (float[2, 6] a, float[2, 2, 3] b, float[2, 3] d)
        <int64 p = {-1}> {
        e = SequenceEmpty()
        s = SequenceInsert(e, x)
        t = SequenceInsert(s, y, p)
        u = SequenceErase(t)
        v = SequenceInsert(u, x)
        a = ConcatFromSequence<axis = -1>(t)
        b = ConcatFromSequence<axis = 1, new_axis = 1>(v)
        d = SequenceAt(t, p)
    }""")
    check(model, {"x": floats(2, 3), "y": floats(2, 3) + 1}, tflite=True)


@pytest.mark.parametrize("shape", ["n, 5", "4, n", "n, m", "4, 5"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_split_without_lengths(check: Any, shape: str, axis: int, keepdims: int) -> None:
    """In slices of one."""
    ranks = ("a, b", "a, b, c") if keepdims else ("a", "a, b")
    model = text(f"""g (float[{shape}] x, int64 p) => (float[{ranks[0]}] a, float[{ranks[1]}] b, int64 n) {{
        s = SplitToSequence<axis = {axis}, keepdims = {keepdims}>(x)
        a = SequenceAt(s, p)
        b = ConcatFromSequence<axis = 1, new_axis = 1>(s)
        n = SequenceLength(s)
    }}""")
    check(model, {"x": floats(4, 5), "p": np.array(-1, np.int64)})


@pytest.mark.parametrize("split", [np.array(2, np.int64), np.array([1, 3], np.int64), np.array(3, np.int64)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("shape", ["4, 4", "n, m"])
def test_split_in_lengths(check: Any, split: Any, axis: int, is_known: bool, shape: str) -> None:
    """In parts, known at conversion or not; the last may be shorter."""
    kind = "int64" if split.ndim == 0 else "int64[2]"
    values = ", ".join(map(str, split.ravel()))
    given, stated = ("", f"<{kind} l = {{{values}}}>") if is_known else (f", {kind} l", "")
    model = text(f"""g (float[{shape}] x{given}) => (float[a, b] y, float[a, b] z) {stated} {{
        p = Constant<value_int = 1>()
        s = SplitToSequence<axis = {axis}>(x, l)
        y = SequenceAt(s, p)
        z = ConcatFromSequence<axis = {axis}>(s)
    }}""")
    check(model, {"x": floats(4, 4), **({} if is_known else {"l": split})})


@pytest.mark.parametrize("new_axis", [0, 1])
def test_a_loop_gathers_a_sequence(check: Any, new_axis: int) -> None:
    """The pattern of exported scripts: a list that grows in a loop."""
    ranks = "k, l, o" if new_axis else "k, l"
    model = text(f"""g (float[a, 2] x, int64 n) => (float[{ranks}] y, int64 z) <bool t = {{1}}> {{
        e = SequenceEmpty()
        s = Loop (n, t, e) <body = b (int64 i, bool c, seq(float[a, 2]) v) => (bool o, seq(float[a, 2]) r) {{
            o = Identity(c)
            f = Cast<to = 1>(i)
            d = Add(x, f)
            r = SequenceInsert(v, d)
        }}>
        y = ConcatFromSequence<axis = 1, new_axis = {new_axis}>(s)
        z = SequenceLength(s)
    }}""")
    check(model, *({"x": floats(3, 2), "n": np.array(n, np.int64)} for n in (1, 4)))


def test_branches_with_sequences_of_other_lengths(check: Any) -> None:
    """What an If gives has a length that is known at run time."""
    model = text("""g (float[a] x, bool c) => (float[k] y, int64 n) {
        s = If (c) <then_branch = t () => (seq(float[a]) p) { p = SequenceConstruct(x, x) },
                    else_branch = e () => (seq(float[a]) q) { q = SequenceConstruct(x) }>
        y = ConcatFromSequence<axis = 0>(s)
        n = SequenceLength(s)
    }""")
    check(model, *({"x": floats(3), "c": np.array(c)} for c in (True, False)))


@pytest.mark.parametrize("split", ["x", "x, l"])
def test_map(check: Any, split: str) -> None:
    """A body for each element, of a sequence of known length or not, with a second sequence and a tensor."""
    model = text(f"""g (float[4] x, int64 l, float[2] w) => (float[k] y) {{
        s = SplitToSequence({split})
        m = SequenceMap (s, s, w) <body = b (float[n] a, float[m] c, float[2] d) => (float[o] e) {{
            f = Add(a, c)
            e = Concat<axis = 0>(f, d)
        }}>
        y = ConcatFromSequence<axis = 0>(m)
    }}""")
    check(model, {"x": floats(4), "l": np.array(3, np.int64), "w": floats(2)})


def test_optionals_known_at_conversion(check: Any) -> None:
    """One with an element and one without."""
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["n"])
    nodes = [
        onnx.helper.make_node("Optional", ["x"], ["o"]),
        onnx.helper.make_node("Optional", [], ["p"], type=kind),
        onnx.helper.make_node("OptionalGetElement", ["o"], ["y"]),
        onnx.helper.make_node("OptionalHasElement", ["o"], ["a"]),
        onnx.helper.make_node("OptionalHasElement", ["p"], ["b"]),
    ]
    value = onnx.helper.make_tensor_value_info
    outputs = [value("y", 1, ["n"]), value("a", 9, []), value("b", 9, [])]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, ["n"])], outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    check(model, {"x": floats(3)})


def test_a_sequence_and_an_optional_carried_through_branches(check: Any) -> None:
    """A loop's optional is empty to begin with and then not; a branch inside of the loop inserts and erases."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["a"])
    sequence = onnx.helper.make_sequence_type_proto(kind)
    optional = onnx.helper.make_optional_type_proto(kind)
    typed = onnx.helper.make_value_info

    def graph(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> onnx.GraphProto:
        return onnx.helper.make_graph(nodes, name, inputs, outputs)

    filled = graph(
        "filled",
        [
            node("OptionalGetElement", ["held"], ["got"]),
            node("Add", ["got", "x"], ["sum"]),
            node("Optional", ["sum"], ["first"]),
            node("SequenceInsert", ["list", "sum", "zero"], ["longer"]),
        ],
        [],
        [typed("first", optional), typed("longer", sequence)],
    )
    empty = graph(
        "empty",
        [
            node("Optional", ["x"], ["second"]),
            node("SequenceErase", ["list"], ["shorter"]),
        ],
        [],
        [typed("second", optional), typed("shorter", sequence)],
    )
    body = graph(
        "body",
        [
            node("Identity", ["c"], ["o"]),
            node("OptionalHasElement", ["held"], ["has"]),
            node("If", ["has"], ["next", "after"], then_branch=filled, else_branch=empty),
        ],
        [value("i", 7, []), value("c", 9, []), typed("held", optional), typed("list", sequence)],
        [value("o", 9, []), typed("next", optional), typed("after", sequence)],
    )
    nodes = [
        node("Constant", [], ["zero"], value_int=0),
        node("Optional", [], ["none"], type=kind),
        node("SequenceConstruct", ["x", "x"], ["start"]),
        node("Loop", ["n", "", "none", "start"], ["last", "all"], body=body),
        node("OptionalHasElement", ["last"], ["b"]),
        node("OptionalGetElement", ["last"], ["y"]),
        node("ConcatFromSequence", ["all"], ["z"], axis=0),
    ]
    whole = graph(
        "g",
        nodes,
        [value("x", 1, ["a"]), value("n", 7, [])],
        [value("y", 1, ["k"]), value("z", 1, ["l"]), value("b", 9, [])],
    )
    model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    check(model, *({"x": floats(3), "n": np.array(n, np.int64)} for n in (1, 2, 4)))


def test_a_body_emitted_for_each_element_keeps_nothing(check: Any) -> None:
    """What is known of one element, here its shape, is not taken for the next one's."""
    model = text("""g (float[2, 3] x, float[4, 3] y) => (int64[n] z) {
        s = SequenceConstruct(x, y)
        m = SequenceMap (s) <body = b (float[a, b] v) => (int64[2] w) {
            h = Shape(v)
            w = Add(h, h)
        }>
        z = ConcatFromSequence<axis = 0>(m)
    }""")
    given = check(model, {"x": floats(2, 3), "y": floats(4, 3)})
    assert given["z"].tolist() == [4, 6, 8, 6]
