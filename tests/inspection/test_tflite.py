"""What is told of a .tflite file is what the chain wrote of it, and what LiteRT's own schema says."""

import json
import struct
from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]
import pytest
from ai_edge_litert import schema_py_generated as schema

from contract.errors import FormatError
from inspection import Kind, inspect, tflite, tflite_names

GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts" / "0.1.0"


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


def numbers(enumeration):
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def test_names_are_the_schema_s():
    assert dict(enumerate(tflite_names.BUILTIN_OPERATORS)) == numbers(schema.BuiltinOperator)
    theirs = {number: name.lower() for number, name in numbers(schema.TensorType).items()}
    assert dict(enumerate(tflite._DTYPES)) == theirs


def test_the_border_has_the_quantization_that_the_chain_wrote():
    path = GOLDEN / "tflite" / "or_gate_pytorch.int8.tflite"
    details = json.loads(path.with_suffix(".json").read_text())["details"]
    found = {one.name: one for one in look_into(path).content.inputs_and_outputs}
    assert found.keys() == {"x", "y"}
    for tensor in (*details["inputs"], *details["outputs"]):
        one = found[tensor["name"]]
        assert one.signature == "serving_default"
        assert one.dtype == tensor["dtype"]
        assert one.scale == pytest.approx(tensor["quantization"]["scale"])
        assert one.zero_point == tensor["quantization"]["zero_point"]
    assert found["x"].shape == ("?", 2)


def test_operators_weights_and_quantized_tensors(small):
    found = look_into(small["tflite"]).content
    assert [(one.operator, one.version, one.kind, one.count, one.weight_bytes) for one in found.operators] == [
        ("FULLY_CONNECTED", 4, "builtin", 2, 18),
        ("LOGISTIC", 2, "builtin", 2, 0),
    ]
    # Two layers, 2x2 and 2x1: int8 weights, int32 biases.
    assert [(one.operator, one.size_bytes) for one in found.weights_by_operator] == [
        ("FULLY_CONNECTED", 4 + 2 * 4),
        ("FULLY_CONNECTED", 2 + 4),
    ]
    assert (found.subgraphs, found.tensors, found.weight_bytes) == (1, 9, 18)
    assert found.metadata == ("min_runtime_version", "CONVERSION_METADATA")
    assert {one.granularity for one in found.quantized_tensors} == {"per tensor"}
    assert len(found.quantized_tensors) == 9


def packed(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def by_hand():
    """Two subgraphs without signatures: a per-channel convolution, a custom and a Flex operator, a shared weight."""

    def code(number, *, custom=None, version=1):
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = number, min(number, 127)
        entry.customCode, entry.version = custom, version
        return entry

    def tensor(name, shape, kind, *, buffer=0, scales=(), axis=0):
        entry = schema.TensorT()
        entry.name, entry.shape, entry.type, entry.buffer = name, shape, kind, buffer
        if scales:
            entry.quantization = schema.QuantizationParametersT()
            entry.quantization.scale = list(scales)
            entry.quantization.zeroPoint = [0] * len(scales)
            entry.quantization.quantizedDimension = axis
        return entry

    def operator(index, inputs, outputs):
        entry = schema.OperatorT()
        entry.opcodeIndex, entry.inputs, entry.outputs = index, inputs, outputs
        return entry

    def buffer(content):
        entry = schema.BufferT()
        entry.data = list(content) or None
        return entry

    def subgraph(tensors, inputs, outputs, operators):
        entry = schema.SubGraphT()
        entry.tensors, entry.inputs, entry.outputs, entry.operators = tensors, inputs, outputs, operators
        return entry

    kinds, codes = schema.TensorType, schema.BuiltinOperator
    model = schema.ModelT()
    model.version, model.description = 3, "by hand"
    model.operatorCodes = [
        code(codes.CONV_2D, version=3),
        code(codes.CUSTOM, custom="Mine"),
        code(codes.CUSTOM, custom="FlexErf"),
        code(codes.STABLEHLO_ADD),
    ]
    model.buffers = [buffer(b""), buffer(bytes(12))]
    weight = tensor("w", [3, 1, 1, 4], kinds.INT8, buffer=1, scales=(0.5, 0.25, 0.125), axis=0)
    model.subgraphs = [
        subgraph(
            [tensor("in", [1, 4], kinds.FLOAT32), weight, tensor("out", [1, 3], kinds.FLOAT32)],
            [0],
            [2],
            [operator(0, [0, 1, -1], [2]), operator(1, [2], [2]), operator(2, [2], [2])],
        ),
        subgraph([weight, tensor("sum", [1], kinds.FLOAT32)], [], [1], [operator(3, [0, 0], [1])]),
    ]
    return model


def test_what_the_golden_file_does_not_have(write):
    found = look_into(write("m.tflite", packed(by_hand()))).content
    assert [(one.operator, one.version, one.kind, one.weight_bytes) for one in found.operators] == [
        ("CONV_2D", 3, "builtin", 12),
        ("FlexErf", 1, "flex", 0),
        ("Mine", 1, "custom", 0),
        ("STABLEHLO_ADD", 1, "builtin", 24),
    ]
    assert [(one.signature, one.name, one.scale) for one in found.inputs_and_outputs] == [
        (None, "in", None),
        (None, "out", None),
    ]
    assert (found.subgraphs, found.weight_bytes, found.description) == (2, 12, "by hand")
    assert [(one.subgraph, one.operator, one.output, one.size_bytes) for one in found.weights_by_operator] == [
        (1, "STABLEHLO_ADD", "sum", 24),
        (0, "CONV_2D", "out", 12),
    ]
    first, _ = found.quantized_tensors
    assert (first.granularity, first.axis, first.channels, first.scale) == ("per channel", 0, 3, 0.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 9), "operator code 9 of 4"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "inputs", [7]), "tensor 7 of 3"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "inputs", [-2]), "tensor -2 of 3"),
        (lambda model: setattr(model.subgraphs[0].tensors[0], "buffer", 5), "buffer 5 of 2"),
    ],
)
def test_a_reference_to_what_is_not_there_is_named(write, change, reason):
    model = by_hand()
    change(model)
    with pytest.raises(FormatError, match=rf"m\.tflite: a damaged TFLite file: it refers to {reason}"):
        look_into(write("m.tflite", packed(model)))


def test_a_model_without_a_graph(write):
    model = by_hand()
    model.subgraphs = []
    with pytest.raises(FormatError, match="it has no subgraph"):
        look_into(write("m.tflite", packed(model)))


def test_vectors_beyond_the_file(small):
    content = bytearray(small["tflite"].read_bytes())
    at = content.index(struct.pack("<I", 15) + b"serving_default")
    content[at : at + 4] = struct.pack("<I", 2**32 - 1)
    small["tflite"].write_bytes(content)
    with pytest.raises(FormatError, match="a damaged TFLite file: it ends before its signature"):
        look_into(small["tflite"])


def test_half_a_file(small, write):
    half = write("half.tflite", small["tflite"].read_bytes()[:900])
    with pytest.raises(FormatError, match=r"half\.tflite: a damaged TFLite file: it ends before its "):
        look_into(half)
    with pytest.raises(FormatError, match=r"its identifier is b'', not b'TFL3'"):
        look_into(write("none.tflite", b"abc"))


def test_tables_that_overlap_do_not_take_for_ever(write):
    # All of 50,000 subgraphs are the same table, and so are all of its 50,000 tensors.
    count = 50_000
    subgraph_at = 44 + 4 * count
    tensor_at = subgraph_at + 12 + 4 * count
    content = struct.pack("<I4s", 32, b"TFL3")
    content += struct.pack("<5H2x", 10, 8, 0, 0, 4) + struct.pack("<3H2x", 6, 8, 4) + struct.pack("<2H", 4, 4)
    content += struct.pack("<iI", 32 - 8, 4)
    content += struct.pack(f"<{1 + count}I", count, *(subgraph_at - 44 - 4 * index for index in range(count)))
    content += struct.pack("<iI", subgraph_at - 20, 4)
    content += struct.pack(
        f"<{1 + count}I", count, *(tensor_at - subgraph_at - 12 - 4 * index for index in range(count))
    )
    content += struct.pack("<i", tensor_at - 28)
    with pytest.raises(FormatError, match="it refers to the same bytes again and again, at last for its tensor"):
        look_into(write("m.tflite", content))


def test_the_content_tells_without_the_suffix(small):
    assert look_into(small["tflite"].rename(small["tflite"].with_suffix(".bin"))).kind is Kind.TFLITE
