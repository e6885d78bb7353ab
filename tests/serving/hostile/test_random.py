"""Whatever comes: random messages, bodies and paths."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimes.tensorflow_protos import import_proto
from tests.serving.hostile.target import MISTAKE_STATUSES, MISTAKES, messages

pytestmark = pytest.mark.slow  # starts servers


names = st.sampled_from(["half_plus_two", "types", "shapes", "varlen", "table", "example"])
aliases = st.sampled_from(["x", "a", "b", "s", "i", "f32", "inputs", "other", "us"])
signatures = st.sampled_from(
    ["", "serving_default", "s", "b", "c64", "f16", "bf16", "i8", "u64", "scalar", "scalar_string", "unknown", "matrix",
     "defaults", "empty_inner", "rank3", "fixed", "classify", "regress", "to_qint8", "__saved_model_init_op"]
)  # fmt: skip
sizes = st.sampled_from([0, 1, 1, 2, 2, 3, 8, -1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1])
ints32, ints64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32)

FIELDS: dict[str, Any] = {
    "float_val": floats,
    "double_val": st.floats(),
    "int_val": ints32,
    "string_val": st.binary(max_size=9),
    "scomplex_val": floats,
    "int64_val": ints64,
    "bool_val": st.booleans(),
    "dcomplex_val": st.floats(),
    "half_val": ints32,
    "uint32_val": st.integers(0, 2**32 - 1),
    "uint64_val": st.integers(0, 2**64 - 1),
}


@st.composite
def tensor_protos(draw: Any) -> Any:
    proto = import_proto("tensorflow.core.framework.tensor_pb2").TensorProto()
    proto.dtype = draw(st.integers(0, 30) | st.sampled_from([1, 1, 7, 9, 101, 107, 2**31 - 1, -1]))
    for size in draw(st.lists(sizes, max_size=4) | st.just([1] * 40)):
        proto.tensor_shape.dim.add(size=size, name=draw(st.sampled_from(["", "batch"])))
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False, False, False, True]))
    proto.version_number = draw(st.sampled_from([0, 0, -1]))
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
        getattr(proto, name).extend(draw(st.lists(FIELDS[name], max_size=8)))
    if draw(st.integers(0, 3)) == 0:
        proto.tensor_content = draw(st.binary(max_size=32))
    if draw(st.integers(0, 9)) == 0:
        proto.resource_handle_val.add(name=draw(st.text(max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        proto.variant_val.add(type_name=draw(st.text(max_size=3))).tensors.add(dtype=1)
    return proto


@st.composite
def predict_requests(draw: Any) -> bytes:
    request = messages().PredictRequest()
    if draw(st.integers(0, 9)):
        request.model_spec.name = draw(names) if draw(st.integers(0, 9)) else draw(st.text(max_size=5))
        request.model_spec.signature_name = draw(signatures | st.text(max_size=5))
        if draw(st.integers(0, 4)) == 0:
            request.model_spec.version.value = draw(st.sampled_from([1, 3]) | ints64)
        elif draw(st.integers(0, 4)) == 0:
            request.model_spec.version_label = draw(st.sampled_from(["stable", "bad"]) | st.text(max_size=5))
    for alias in draw(st.lists(aliases | st.text(max_size=3), max_size=3)):
        request.inputs[alias].CopyFrom(draw(tensor_protos()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["y", "x", "sum"]) | st.text(max_size=3), max_size=2)))
    data: bytes = request.SerializeToString()
    return data


many = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@many
@given(request=predict_requests())
def test_any_predict_request(request, target):
    assert target.grpc(request) in {"OK", *MISTAKES}


TENSOR_SIGNATURES = [
    ("types", "f32", "f32", 1), ("types", "f64", "f64", 2), ("types", "i32", "i32", 3), ("types", "u8", "u8", 4),
    ("types", "i16", "i16", 5), ("types", "i8", "i8", 6), ("types", "s", "s", 7), ("types", "c64", "c64", 8),
    ("types", "i64", "i64", 9), ("types", "b", "b", 10), ("types", "bf16", "bf16", 14), ("types", "u16", "u16", 17),
    ("types", "f16", "f16", 19), ("types", "u32", "u32", 22), ("types", "u64", "u64", 23),
    ("shapes", "unknown", "x", 1), ("shapes", "scalar", "x", 1), ("shapes", "scalar_string", "x", 7),
    ("shapes", "matrix", "x", 1), ("shapes", "rank3", "x", 1), ("shapes", "empty_inner", "x", 1),
]  # fmt: skip


@many
@given(kind=st.sampled_from(TENSOR_SIGNATURES), proto=tensor_protos(), keeps_type=st.booleans())
def test_any_tensor(kind, proto, keeps_type, target):
    model, signature, alias, dtype = kind
    request = messages().PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.inputs[alias].CopyFrom(proto)
    if not keeps_type:
        request.inputs[alias].dtype = dtype
    assert target.grpc(request.SerializeToString()) in {"OK", *MISTAKES}


scalars = st.none() | st.booleans() | floats | ints64 | st.text(max_size=5) | st.just({"b64": "AA=="})
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(aliases | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]) | st.text(max_size=3),
    values | st.lists(values, max_size=3),
    max_size=3,
).map(lambda value: json.dumps(value).encode())
likely = st.fixed_dictionaries({}, optional={"signature_name": signatures, "context": values}).flatmap(
    lambda head: st.sampled_from(["instances", "inputs", "examples"]).flatmap(
        lambda key: st.lists(values, max_size=3).map(lambda rows: json.dumps({**head, key: rows}).encode())
    )
)


@st.composite
def damaged(draw: Any) -> bytes:
    body = bytearray(draw(likely))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\\u", b"\\ud800", b"1e999", b"NaN", b'"', b"[", b"]", b"{", b"}", b",", b"\0"])
        )
    return bytes(body)


@many
@given(
    model=names,
    rest=st.sampled_from(["", "", "", "/versions/1", "/versions/99", "/labels/stable", "/labels/no"]),
    verb=st.sampled_from([":predict", ":predict", ":classify", ":regress"]),
    body=documents | likely | damaged() | st.binary(max_size=40),
)
def test_any_rest_body(model, rest, verb, body, target):
    assert target.post(body, f"/v1/models/{model}{rest}{verb}")[0] in {200, *MISTAKE_STATUSES}


@many
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE"]),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=12).map(lambda text: f"/v1/models/{text}")
    | st.from_regex(
        r"/v1/models/(half_plus_two|%[0-9a-f]{2})?(/(versions|labels)/[-%0-9a-z]{0,25})?(/metadata|:[a-z]+)?"
    ),
)
def test_any_path(method, path, target):
    line = f"{method} {path.strip()} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    found = target.exchange(line.encode("latin-1", "replace"))
    assert int(found.split()[1]) in {200, 405, *MISTAKE_STATUSES}
