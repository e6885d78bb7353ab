"""Casts between the types of networks, of small types at run time, and of texts."""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.slow

TYPES = {"float": TensorProto.FLOAT, "int32": TensorProto.INT32, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_types_of_networks(check, source, target):
    model = f"""<ir_version: 8, opset_import: ["": 13]>
        graph ({source}[N] x) => ({target}[N] y) {{ y = Cast<to = {TYPES[target]}>(x) }}"""
    x = np.array([-2.7, -1, -0.5, 0, 0.5, 1, 2.7, 100]).astype({"float": "float32"}.get(source, source))
    check(model, {"x": x}, tflite=True)


def test_bfloat16_takes_the_nearest():
    import tensorflow as tf

    from pipeline.onnx_to_tf import to_module

    # ONNX's own test cuts the bits off; ONNX Runtime rounds, as here.
    model = f"""<ir_version: 8, opset_import: ["": 13]> graph (float[N] x) => (float[N] y)
        {{ b = Cast<to = {TensorProto.BFLOAT16}>(x) y = Cast<to = {TensorProto.FLOAT}>(b) }}"""
    x = np.random.default_rng(4).normal(size=100).astype(np.float32)
    given = to_module(onnx.parser.parse_model(model)).serve(tf.constant(x))["y"].numpy()
    np.testing.assert_array_equal(given, x.astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("dtype", ["FLOAT8E4M3FN", "FLOAT8E5M2", "FLOAT8E4M3FNUZ", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"])
def test_every_code_of_a_small_type_comes_back(dtype):
    import tensorflow as tf

    from pipeline.onnx_to_tf import to_module

    small = ir.DataType(getattr(TensorProto, dtype)).numpy()
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["wide"], ["y"], to=getattr(TensorProto, dtype)),
        ],
        "codes",
        [helper.make_tensor_value_info("x", getattr(TensorProto, dtype), ["N", "M"])],
        [helper.make_tensor_value_info(n, t, ["N", "M"])
         for n, t in (("wide", TensorProto.FLOAT), ("y", getattr(TensorProto, dtype)))],
    )  # fmt: skip
    module = to_module(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11))
    codes = np.arange(16 if "FLOAT4" in dtype else 256, dtype=np.uint8).reshape(2, -1)
    outputs = module.serve(tf.constant(codes.view(small)))
    np.testing.assert_array_equal(outputs["wide"].numpy(), codes.view(small).astype(np.float32))
    wide, back = codes.view(small).astype(np.float32), outputs["y"].numpy()
    largest = np.nanmax(wide[np.isfinite(wide)])
    # Saturated, as the operator is unless told otherwise, infinity becomes the largest value.
    np.testing.assert_array_equal(back.astype(np.float32), np.where(np.isinf(wide), np.copysign(largest, wide), wide))
    assert outputs["wide"].shape == codes.shape
    empty = module.serve(tf.constant(codes[:0].view(small)))
    assert empty["wide"].shape == (0, codes.shape[1])


def test_numbers_of_texts(check):
    model = f"""<ir_version: 8, opset_import: ["": 13]> graph (string[N] x) => (float[N] y)
        {{ y = Cast<to = {TensorProto.FLOAT}>(x) }}"""
    check(model, {"x": np.array(["1.5", "-3", "1e-5", "INF", "-INF", "NaN"], object)})
